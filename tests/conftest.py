"""A tiny catalogue and one finished build of it, shared by tests that look at results."""

from __future__ import annotations

import shutil
import signal
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result

from tests.helpers import draw_vehicles
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
    teacher: {pretrained: false, epochs: 2}
    distill: {init: teacher, epochs: 3, learn_epochs: 1, sparsity: proximal, sparsity_weight: 14, rggr: {bank: 16}}
    precision: int8
    calibrate: {images: 16, min_images: 8, max_map_drop_points: 5}
    measure: {batches: [1, 2], calls: 50, max_seconds: 2}
"""


def pytest_sessionstart() -> None:
    """Ctrl-C is tested on processes that we start, even where we were started with it ignored, as by nohup."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """GPU tests are skipped without one."""
    if torch.cuda.is_available():
        return
    for item in items:
        if "gpu" in item.keywords:
            item.add_marker(pytest.mark.skip(reason="no CUDA device"))


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
        """Run, expect a refusal in one or two lines, and give it back."""
        result = self.zoo(*arguments)
        assert result.exit_code == 1, result.output
        assert "Traceback" not in result.stderr
        _, error, message = ("\n" + result.stderr).partition("\nError: ")  # progress may stand before it
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
    draw_vehicles(root / "data" / "squares")
    return Workshop(root)


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    """An empty workshop."""
    return make_workshop(tmp_path / "workshop")


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    """A workshop in which `tiny` is built; not to be changed."""
    shop = make_workshop(tmp_path_factory.mktemp("finished"))
    shop.build("tiny")
    return shop


@pytest.fixture
def built(finished: Workshop, tmp_path: Path) -> Workshop:
    """A copy of the finished workshop, to do with as one likes."""
    shutil.copytree(finished.root, tmp_path / "built", symlinks=True)
    return Workshop(tmp_path / "built")
