"""Export: the graph equals the network, and its checks detect differences."""

import copy

import onnx
import pytest
import torch

import pipeline.stages.export
from pipeline.data.dataset import open_dataset
from pipeline.engine.progress import Silent
from pipeline.engine.work import Work
from pipeline.errors import CheckFailed
from pipeline.method.compactor import insert_compactors
from pipeline.method.merge import merge_site, prune_site
from pipeline.networks.build import Network
from pipeline.networks.cost import graph_cost, network_cost
from pipeline.networks.serialization import save_network
from pipeline.networks.sites import find_sites
from pipeline.stages.export import Export, deployed, export_network, write_graph
from tests.helpers import SMALL, alive_network, draw_vehicles, random_images
from tests.pipeline.test_data import VERI

TINY = Network(architecture="resnet10t", embedding=16)


@pytest.fixture(scope="module")
def graph(tmp_path_factory):
    path = tmp_path_factory.mktemp("graph") / "model.onnx"
    write_graph(deployed(alive_network("resnet26")), random_images(2), 18, path)
    return path


def test_preprocessing_is_inside_and_casts_first(graph):
    model = onnx.load(graph).graph
    dims = model.input[0].type.tensor_type.shape.dim
    assert model.input[0].type.tensor_type.elem_type == onnx.TensorProto.UINT8
    assert dims[0].dim_param
    assert [dim.dim_value for dim in dims[1:]] == [32, 32, 3]
    (first,) = [node for node in model.node if model.input[0].name in node.input]
    (second,) = [node for node in model.node if first.output[0] in node.input]
    assert (first.op_type, second.op_type) == ("Cast", "Transpose")


def test_the_graph_costs_what_the_network_costs(graph):
    found, expected = graph_cost(graph), network_cost(alive_network("resnet26"), SMALL)
    assert (found.macs, found.kernel_parameters) == (expected.macs, expected.kernel_parameters)


@pytest.fixture
def source(tmp_path):
    """The folder of an earlier stage."""
    folder = tmp_path / "network"
    folder.mkdir()
    return folder


@pytest.fixture
def stage(tmp_path, source):
    """Arguments of `export_network`."""
    draw_vehicles(tmp_path / "veri")
    data = open_dataset("veri", VERI, tmp_path, tmp_path / "drawn")
    out = tmp_path / "out"
    out.mkdir()
    save_network(source, alive_network(), TINY, SMALL)
    work = Work(out, tmp_path, "cpu", Silent())  # type: ignore[arg-type]
    return lambda: export_network(work, data=data, input=SMALL, settings=Export(), network=source)


def test_a_graph_with_other_weights_fails_the_build(stage, monkeypatch):
    honest = pipeline.stages.export.write_graph

    def wrong(_model, *rest):
        other = alive_network()
        with torch.no_grad():
            other.head[2].weight.add_(torch.randn_like(other.head[2].weight))  # type: ignore[arg-type]
        honest(deployed(other), *rest)

    monkeypatch.setattr(pipeline.stages.export, "write_graph", wrong)
    with pytest.raises(CheckFailed, match="have cosine"):
        stage()


def test_a_graph_of_the_uncompacted_network_fails_the_build(stage, source, monkeypatch):
    """The same function with more channels, as if the unpruned network had been exported."""
    sites = find_sites(network := alive_network())
    insert_compactors(network, sites)
    for site in sites:
        network.get_submodule(site.place).compactor.weight.data[5:] = 0
        merge_site(network, site)
    honest = pipeline.stages.export.write_graph
    monkeypatch.setattr(pipeline.stages.export, "write_graph", lambda _model, *rest: honest(deployed(unpruned), *rest))
    unpruned = copy.deepcopy(network)
    for site in sites:
        prune_site(network, site, torch.arange(5), torch.arange(site.channels) < 5)
    save_network(source, network, TINY, SMALL)
    with pytest.raises(CheckFailed, match="export is not that of the compacted network"):
        stage()


def test_a_correct_graph_passes(stage, tmp_path):
    stage()
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"model.onnx", "export.json"}
