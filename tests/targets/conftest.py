"""A machine whose commands and NVML a test defines; and graphs to compile."""

import sys

import pytest

from pipeline.stages.export import deployed, write_graph
from targets.settings import PRECISIONS
from tests.helpers import alive_network, random_images
from tests.targets.boards import Library


@pytest.fixture(scope="session")
def graphs(tmp_path_factory):
    """One graph per precision, as `export` and `calibrate` make them; read-only."""
    from calibration.quantize import Quantizer, write_half
    from pipeline.stages.export import deployed, write_graph
    from tests.helpers import alive_network, random_images

    folder = tmp_path_factory.mktemp("graphs")
    paths = {precision: folder / f"{precision}.onnx" for precision in PRECISIONS}
    write_graph(deployed(alive_network()), random_images(9), 18, paths["fp32"])
    write_half(paths["fp32"], paths["fp16"])
    Quantizer(paths["fp32"], random_images(8), "symmetric", folder).write(paths["int8"])
    return paths


@pytest.fixture
def commands(tmp_path, monkeypatch):
    """The only folder where commands are found."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


@pytest.fixture
def nvml(monkeypatch):
    """An NVML that answers for a GPU."""
    library = Library()
    monkeypatch.setitem(sys.modules, "pynvml", library)
    return library


@pytest.fixture(scope="session")
def depthwise(tmp_path_factory):
    """A graph with depthwise convolutions, squeeze-and-excitation and hard activations; and images."""
    folder = tmp_path_factory.mktemp("depthwise")
    network, images = deployed(alive_network("mobilenetv3_small_050", last_stride=2)), random_images(9)
    write_graph(network, images, 18, folder / "model.onnx")
    return folder / "model.onnx", images
