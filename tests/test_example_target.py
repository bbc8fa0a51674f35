"""The example of a third-party target: it installs, implements the interface, and does all that a built-in one does."""

import inspect
import json
import os
import re
import subprocess
import sys
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import pytest

from pipeline.stages.bundle import device_code
from targets.contract import Job, Session, Target, make_target, precisions_of
from targets.errors import ArtifactFailed, BadOption, UnsupportedPrecision, Unusable
from targets.machine.device import this_device
from targets.settings import TargetSettings
from tests.helpers import assert_embeds_at_any_batch

EXTENDING = Path(__file__).parents[1] / "docs" / "extending"
EXAMPLE = EXTENDING / "example-target"
PAGE = (EXTENDING / "target.md").read_text()
HERE = TargetSettings("tract", threads=1)


def on_page(language):
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A folder with the example, built and installed as anyone's package is, and its runtime."""
    folder = tmp_path_factory.mktemp("installed")
    command = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--python", sys.executable, "--no-deps"]
    fresh = ["--refresh-package", "zoo-tract"]  # uv would reuse a wheel of older sources
    runtime = re.search(r'dependencies = \["(.*?)"', (EXAMPLE / "pyproject.toml").read_text())
    done = subprocess.run([*command, *fresh, "--target", folder, EXAMPLE, runtime[1]], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def example(installed, monkeypatch):
    """The package and its entry point can be found."""
    monkeypatch.syspath_prepend(installed)
    yield installed
    sys.modules.pop("zoo_tract", None)


def with_target(workshop, *more):
    """Lay the target that docs/extending/target.md writes on the workshop's catalogue, and others beside it."""
    (block,) = on_page("yaml")
    lines = ["", block.rstrip(), *(f"  {line}" for line in more)]
    workshop.catalogue.write_text(workshop.catalogue.read_text() + "\n".join(lines) + "\n")


def test_it_implements_the_interface_exactly(example):
    target = make_target(HERE)
    for kind, found in ((Target, type(target)), (Session, sys.modules["zoo_tract"]._Session)):
        for name, member in vars(kind).items():
            if inspect.isfunction(member) and not name.startswith("_"):
                assert inspect.signature(member) == inspect.signature(getattr(found, name)), name
    for name in ("distribution", "extra", "precisions", "activations", "compiles_ahead"):
        assert isinstance(getattr(target, name), str | tuple | bool)
    assert target.gpu_bus_id is None


def test_importing_it_imports_no_runtime(example):
    script = "import sys, zoo_tract; assert 'tract' not in sys.modules and 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", script], check=True, env={**os.environ, "PYTHONPATH": str(example)})


@pytest.mark.parametrize("fixed_batch", [True, False])
def test_it_embeds_as_torch_does_at_any_batch(fixed_batch, example, exported, tmp_path):
    graph, images, expected = exported
    target, told = make_target(TargetSettings("tract", threads=1, options={"fixed_batch": fixed_batch})), []
    target.compile(graph, tmp_path, Job(32, 32, (1, 9), tell=lambda _what, share: told.append(share)))
    assert told == sorted(told)
    assert told[-1] == 1.0
    session = target.load(tmp_path)
    assert_embeds_at_any_batch(session, images, expected)
    assert session.compute_ms > 0


def test_its_errors_are_explained(example, exported, tmp_path):
    with pytest.raises(BadOption, match="has no option 'fixed_batches'. Did you mean 'fixed_batch'"):
        make_target(TargetSettings("tract", options={"fixed_batches": True}))
    with pytest.raises(BadOption, match="fixed_batch of a tract target must be true or false, not 4"):
        make_target(TargetSettings("tract", options={"fixed_batch": 4}))
    with pytest.raises(Unusable, match="one thread. Set `threads: 1`"):
        make_target(TargetSettings("tract")).check()
    with pytest.raises(Unusable, match="not on GPU"):
        make_target(TargetSettings("tract", "GPU")).check()
    with pytest.raises(UnsupportedPrecision, match="can't compute in int8, only in fp32"):
        precisions_of(make_target(HERE), HERE, "int8")
    (tmp_path / "model.onnx").write_bytes(b"nonsense")
    with pytest.raises(ArtifactFailed, match=r"tract refuses model.onnx: \S.*$"):
        make_target(HERE).compile(tmp_path / "model.onnx", tmp_path, Job(32, 32, (1,)))
    make_target(HERE).compile(exported[0], tmp_path, Job(32, 32, (1,)))
    (tmp_path / "model.nnef.tar").write_bytes(b"nonsense")
    with pytest.raises(ArtifactFailed, match=r"tract can't load \S+: \S.*$"):
        make_target(HERE).load(tmp_path)


def test_doctor_lists_it_as_its_page_says(example, workshop):
    with_target(workshop, "both: {runtime: tract}")
    lines = workshop.zoo("doctor").stdout.splitlines()
    (shown,) = [line for block in on_page("console") for line in block.splitlines() if line.startswith("usable")]
    assert re.sub(r"tract [\d.]+", f"tract {version('tract')}", shown) in lines
    place = lines.index("unusable  both: tract computes in one thread")
    assert lines[place + 1].strip() == "Set `threads: 1` in the target, so that results say so."


def test_a_bundle_carries_its_code(example):
    code = device_code("tract")
    assert code["zoo_tract.py"].read_bytes() == (EXAMPLE / "zoo_tract.py").read_bytes()
    assert "targets/bundles/program.py" in code


def bare(folder, installed):
    """Python without site-packages, but with numpy and tract: as a device has it."""
    numpy = Path(find_spec("numpy").origin).parents[1]
    for found in (*numpy.glob("numpy*"), *Path(installed).glob("tract*")):
        (folder / found.name).symlink_to(found)
    return [sys.executable, "-S"], {"PATH": os.environ["PATH"], "PYTHONPATH": str(folder), "ZOO_CACHE": str(folder)}


@pytest.mark.slow
def test_it_is_built_measured_and_runs_elsewhere_from_a_bundle(example, built, monkeypatch, tmp_path):
    with_target(built, f"far: {{runtime: tract, threads: 1, board: {json.dumps(this_device().name)}}}")
    built.build("tiny", "--target", "tract", "--precision", "fp32")

    monkeypatch.setattr(
        "pipeline.planning.deployment.is_board", lambda words: words is None
    )  # as if it were another machine
    said = built.build("tiny", "--target", "far", "--precision", "fp32").stdout.splitlines()[-1]
    (tmp_path / "site").mkdir()
    python, environment = bare(tmp_path / "site", example)
    bundle = built.home / "bundles" / said.removeprefix("python3 ")
    done = subprocess.run([*python, bundle], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert f"tiny@1.0.0 for far: tract {version('tract')} on CPU" in done.stdout

    built.zoo("receive", str(tmp_path / f"{bundle.stem}.result"))
    built.build("tiny", "--target", "far", "--precision", "fp32")
    measured = json.loads(built.zoo("show", "tiny", "--json").stdout)["measurements"]
    assert {row["target"] for row in measured} == {"tract", "far"}
    for row in measured:
        assert (row["kind"], row["precision"], row["threads"]) == ("measured", "fp32", 1)
        options = row["runtime"].pop("options")
        assert row["runtime"] == {"name": "tract", "version": version("tract"), "device": "CPU"}
        assert options in ({}, {"fixed_batch": True})
        assert row["agreement"]["mean_cosine"] > 0.99999
