"""A build does not take the name of another release that was pulled."""

import json
import shutil

import pytest

from zoo.home import Home
from zoo.release.local import find_release


@pytest.fixture
def pulled(built):
    """A workshop with the pulled release, in which it is built."""
    home, released = Home(built.home), built.home / "releases/tiny/1.0.0"
    shutil.copytree(released, home.pulled / "tiny/1.0.0")
    shutil.rmtree(built.home / "releases")
    return built


def change(shop, **values):
    path = shop.home / "pulled/tiny/1.0.0/manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_the_same_content_may_be_built(pulled):
    pulled.build("tiny")
    assert find_release(Home(pulled.home), "tiny").path.is_relative_to(pulled.home / "releases")


def test_other_content_is_refused_at_the_end_and_the_name_is_kept(pulled):
    content = json.loads((pulled.home / "pulled/tiny/1.0.0/manifest.json").read_text())
    change(pulled, artifacts=[one | {"sha256": "0" * 64} for one in content["artifacts"]])
    message = pulled.refused("build", "tiny")
    assert message == (
        "tiny@1.0.0 was pulled from a registry, but this build has other content: two releases can't share a "
        "name. Raise its version (--set version=…, or `version` of the model in zoo.yaml), or remove "
        f"{pulled.home}/pulled/tiny/1.0.0; finished stages are kept."
    )
    assert not (pulled.home / "releases/tiny").exists()
    pulled.build("tiny", "--set", "version=1.0.1")


@pytest.mark.parametrize(
    ("more", "why"),
    [
        (["--set", "seed=7"], "this build has another recipe"),
        (["--target", "jetson"], "it has nothing for jetson-orin-nano"),
    ],
)
@pytest.mark.parametrize("plan", [[], ["--plan"]], ids=["build", "plan"])
def test_a_build_that_must_differ_is_refused_before_it_runs(pulled, more, why, plan):
    assert f"was pulled from a registry, but {why}" in pulled.refused("build", "tiny", *more, *plan)
