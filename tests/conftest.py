"""A tiny catalogue and a finished build of it, shared by tests that inspect results."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from filelock import FileLock

from pipeline.stages.export import deployed, write_graph
from tests.helpers import alive_network, draw_vehicles, random_images
from zoo.cli import main

CATALOGUE = """\
default: tiny

datasets:
  squares:
    path: squares
    pattern: '(?P<identity>\\d+)_c(?P<camera>\\d+)_\\d+_\\d+\\.jpg$'
    train: {folder: image_train}
    query: {folder: image_query}
    gallery: {folder: image_test}

models:
  tiny:
    description: a network that learns little
    dataset: squares
    targets: [onnxruntime-cpu, openvino-cpu]
    input: {height: 32, width: 32}
    network: {architecture: resnet10t, embedding: 16}
    sampling: {identities: 4, images: 2, pad: 2}
    gate: {identities: 2}
    teacher: {pretrained: false, epochs: 2}
    distill: {init: teacher, epochs: 3, learn_epochs: 1, sparsity: proximal, sparsity_weight: 14, rggr: {bank: 16}}
    precision: int8
    calibrate: {images: 16, min_images: 8, max_map_drop_points: 5}
    measure: {batches: [1, 2], calls: 50, max_seconds: 2}
"""


def pytest_sessionstart() -> None:
    """Restore signals that child processes need, in case we were started with them ignored, as by nohup."""
    for number, default in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, default)


# Files and folders that run one after another in one process, since they share what is costly; then single files that
# take long. In this order, so that no core waits for another's last file.
TOGETHER = (
    # processes forked from one (`tests.forked`) that takes 14 s for its imports
    (
        "tests/zoo/test_kill.py",
        "tests/pipeline/test_distributed.py",
        "tests/zoo/registry/test_killed_pull.py",
        "tests/pipeline/test_loading.py",
        "tests/pipeline/test_data.py",
    ),
    # a browser, and sites
    ("tests/zoo/site/",),
    # an S3 server, of which only one can run at a time
    (
        "tests/zoo/registry/test_whole_way.py",
        "tests/zoo/registry/test_together.py",
        "tests/zoo/registry/test_publish.py",
        "tests/zoo/registry/test_pull.py",
    ),
    # a build that waits for a device, and an interpreter without zoo
    ("tests/zoo/elsewhere/",),
    ("tests/zoo/test_build.py",),
    ("tests/pipeline/test_training.py",),
    ("tests/pipeline/test_merge.py",),
    ("tests/pipeline/test_budget.py",),
    ("tests/pipeline/test_selection.py",),
    ("tests/pipeline/test_deap.py",),
    ("tests/targets/ssh/test_lost.py",),
    ("tests/targets/test_ncnn.py",),
    ("tests/pipeline/test_width_graphs.py",),
    ("tests/pipeline/test_export.py",),
    ("tests/pipeline/test_golden.py",),
    ("tests/targets/browser/test_target.py",),
    ("tests/targets/test_litert.py",),
    ("tests/targets/test_executorch.py",),
    ("tests/zoo/documents/test_runner.py",),
    ("tests/zoo/registry/test_hub.py",),
    ("tests/zoo/registry/test_hostile_places.py",),
    ("tests/zoo/registry/test_shipped.py",),
    ("tests/pipeline/test_sites.py",),
    ("tests/zoo/cli/test_terminal.py",),
    ("tests/zoo/cli/test_streams.py",),
    ("tests/zoo/use/test_commands.py",),
)
NOTHING = Path(__file__).parent / "no-prebuilt"  # tests see no releases that come with zoo unless they name some
FIRST = [(start, files[0]) for files in TOGETHER for start in files]


def _file(nodeid: str) -> str:
    return nodeid.partition("::")[0]


def _place(nodeid: str) -> int:
    """Place of a test's file in `FIRST`; after the last one for files that are not there."""
    return next((at for at, (start, _) in enumerate(FIRST) if nodeid.startswith(start)), len(FIRST))


def pytest_configure(config: pytest.Config) -> None:
    """Keep xdist from starting with the files that have most tests; import faster.

    Bytecode is kept even where PYTHONDONTWRITEBYTECODE is set, as in images of containers: each process of the suite,
    and each that a test starts, would compile everything again. Collection makes millions of objects that stay.
    """
    config.option.loadscopereorder = False
    sys.dont_write_bytecode = False
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    gc.disable()
    if not hasattr(config, "workerinput"):
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", tempfile.gettempdir())
        own = os.environ["TMPDIR"] = tempfile.tempdir = tempfile.mkdtemp(prefix="zoo-tests-")
        config.add_cleanup(lambda: shutil.rmtree(own, ignore_errors=True))


# What libraries leave in the temporary folder: of multiprocessing, since xdist's processes end without their finalizers
# and a folder of torch's that stays empty.
LEFT = ("pymp-", "torchinductor_")


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail if a test, or zoo itself, left something in the temporary folder, which the whole run has for its own."""
    if hasattr(session.config, "workerinput") or session.exitstatus != pytest.ExitCode.OK:
        return
    left = sorted(path.name for path in Path(tempfile.gettempdir()).iterdir() if not path.name.startswith(LEFT))
    if left:
        print(f"\nleft in the temporary folder: {', '.join(left)}", file=sys.stderr)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_collection_finish() -> None:
    """Collect no garbage among what was imported: it took a seventh of the time of tests that export networks."""
    gc.freeze()
    gc.set_threshold(10_000, 10, 10)
    gc.enable()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Run each file, and each group of files, in one process.

    Not `--dist loadgroup`: xdist 3.8 stores groups in an attribute that pytest 9.2 no longer has.
    """
    from xdist.scheduler import LoadFileScheduling

    class ByFiles(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return FIRST[at][1] if (at := _place(nodeid)) < len(FIRST) else _file(nodeid)

    return ByFiles(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order files from the longest; skip GPU tests without a GPU."""
    items.sort(key=lambda item: _place(item.nodeid))
    if torch.cuda.is_available():
        return
    for item in items:
        if item.get_closest_marker("gpu"):  # keywords also contain folder names
            item.add_marker(pytest.mark.skip(reason="no CUDA device"))


@pytest.fixture(scope="session", autouse=True)
def _no_pauses() -> Iterator[None]:
    """Nobody compares these latencies: threads of the session before may spin on. Nor does it matter what else the
    machine does: a quiet one is not waited for, and times count whatever they are.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("targets.measuring.latency.PAUSE_SECONDS", 0)
        patch.setattr("targets.measuring.turns.STEADY", 1e9)
        patch.setattr("targets.measuring.conditions.BUSY_CORES", 1e9)
        patch.setattr("targets.measuring.conditions.HELD_BACK", 1e9)
        patch.setenv("ZOO_QUIET_SECONDS", "0")
        patch.setenv("ZOO_PREBUILT", str(NOTHING))
        yield


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, np.ndarray, np.ndarray]:
    """A graph, images, and torch's embeddings of them."""
    path = tmp_path_factory.mktemp("graph") / "model.onnx"
    model, images = deployed(alive_network()), random_images(9)
    write_graph(model, images, 18, path)
    with torch.inference_mode():
        return path, images, model(torch.from_numpy(images)).numpy()


@dataclass(frozen=True)
class Workshop:
    """A folder with a catalogue, data and a home; `zoo` is the command line inside it."""

    root: Path

    @property
    def home(self) -> Path:
        return self.root / ".zoo"

    @property
    def catalogue(self) -> Path:
        return self.root / "zoo.yaml"

    def zoo(self, *arguments: str) -> Result:
        """Run the command line in this process."""
        environment = {
            "ZOO_CATALOGUE": str(self.catalogue),
            "ZOO_HOME": str(self.home),
            "ZOO_DATA": str(self.root / "data"),
        }
        return CliRunner().invoke(main, arguments, env=environment, catch_exceptions=False)

    def refused(self, *arguments: str) -> str:
        """Run, expect an error of one or two lines, and return it."""
        result = self.zoo(*arguments)
        assert result.exit_code == 1, result.output
        assert "Traceback" not in result.stderr
        _, error, message = ("\n" + result.stderr).partition("\nError: ")  # progress may precede it
        assert error, result.stderr
        return message.strip()

    def build(self, *arguments: str) -> Result:
        """Run `zoo build`, expecting success."""
        result = self.zoo("build", *arguments)
        assert result.exit_code == 0, result.output
        return result


def make_workshop(root: Path) -> Workshop:
    root.mkdir(parents=True, exist_ok=True)
    (root / "zoo.yaml").write_text(CATALOGUE)
    draw_vehicles(root / "data" / "squares", train=10)
    return Workshop(root)


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    """An empty workshop."""
    return make_workshop(tmp_path / "workshop")


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    """A workshop in which `tiny` is built; read-only. All processes of a run share it.

    Its times are of an idle machine, as far as it can tell: commands in processes of their own read them, too.
    """
    root = tmp_path_factory.getbasetemp()
    root = (root.parent if "PYTEST_XDIST_WORKER" in os.environ else root) / "finished"
    with FileLock(f"{root}.lock"):
        if not (root / "built").exists():
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr("targets.machine.sensors.busy_seconds", lambda *_: (0.0, 0.0))
                patch.setattr("targets.machine.cgroup.throttled_seconds", lambda *_: 0.0)
                make_workshop(root).build("tiny")
            (root / "built").touch()
    return Workshop(root)


@pytest.fixture
def built(finished: Workshop, tmp_path: Path) -> Workshop:
    """A copy of the finished workshop that a test may change."""
    shutil.copytree(finished.root, tmp_path / "built", symlinks=True)
    return Workshop(tmp_path / "built")
