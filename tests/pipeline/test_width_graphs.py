"""Graphs of narrow networks equal deployed ones, in each precision, and compress well."""

import zlib

import numpy as np
import onnx
import pytest

from pipeline.engine.processes import Processes
from pipeline.engine.work import Work
from pipeline.method.width_choice import spread_widths
from pipeline.networks.cost import graph_cost, network_cost
from pipeline.networks.factory import Network
from pipeline.progress import Silent
from pipeline.stages.width_graphs import dense_network, read_result, time_here, write_graphs, write_widths_bundle
from targets.bundles.packed import is_packed
from targets.bundles.program import compile_bundle
from targets.bundles.widths import GRAPH_NAME, open_widths
from targets.contract import make_target
from targets.errors import Unusable
from targets.settings import TargetSettings
from tests.helpers import SMALL

TARGET = TargetSettings("onnxruntime", threads=1)


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_a_graph_has_the_requested_widths_and_precision(tmp_path, precision, monkeypatch):
    monkeypatch.setattr("pipeline.stages.width_graphs.CALLS", 8)
    monkeypatch.setattr("pipeline.stages.width_graphs.MAX_SECONDS", 0.2)
    work = Work(tmp_path, tmp_path / "scratch", Processes("cpu"), Silent())
    narrowing, sites = dense_network(Network(architecture="resnet10t", embedding=16), SMALL, "coupled")
    kept = spread_widths(sites, 8, 1)[2]
    graphs = write_graphs(work, tmp_path / "graphs", narrowing, [kept], TARGET, precision)
    (graph,) = graphs.values()
    model = onnx.load(graph)
    types = {weight.data_type for weight in model.graph.initializer if np.prod(weight.dims) > 1000}
    expected = {"fp32": "FLOAT", "fp16": "FLOAT16", "int8": "INT8"}[precision]
    assert getattr(onnx.TensorProto, expected) in types
    if precision == "fp32":
        assert graph_cost(graph).macs == network_cost(narrowing.of(kept), SMALL).macs
    content = graph.read_bytes()
    assert len(zlib.compress(content)) < len(content) / 4
    told = time_here(work, graphs, SMALL, TARGET, 2)
    assert told.rows[0].p50_ms > 0
    assert (told.threads, told.runtime.name) == (1, "onnxruntime")
    before = graph.stat().st_mtime_ns
    write_graphs(work, tmp_path / "graphs", narrowing, [kept], TARGET, precision)
    assert graph.stat().st_mtime_ns == before  # an interrupted build does not make it again


@pytest.mark.slow
@pytest.mark.parametrize("runtime", ["ncnn", "litert"])
def test_a_bundle_of_widths_carries_the_artifacts_of_a_portable_runtime(runtime, tmp_path, monkeypatch):
    target = TargetSettings(runtime, threads=1)
    try:
        make_target(target).check()
        make_target(target).check_compiler()
    except Unusable as error:
        pytest.skip(str(error))
    monkeypatch.setattr("pipeline.stages.width_graphs.CALLS", 8)
    monkeypatch.setattr("pipeline.stages.width_graphs.MAX_SECONDS", 0.2)
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    work = Work(tmp_path, tmp_path / "scratch", Processes("cpu"), Silent())
    narrowing, sites = dense_network(Network(architecture="resnet10t", embedding=16), SMALL, "coupled")
    kept = spread_widths(sites, 8, 1)[1:3]
    graphs = write_graphs(work, tmp_path / "graphs", narrowing, kept, target, "int8")
    bundle = tmp_path / "some-widths.zoo"
    write_widths_bundle(bundle, graphs, SMALL, "some@1.0.0", "mine", target, 2)
    opened = open_widths(bundle, tmp_path / "opened")
    assert all(is_packed(opened.folder / GRAPH_NAME.format(name)) for name in opened.graphs)
    compile_bundle(bundle, tmp_path / "some.result", lambda _: None)
    told = read_result(tmp_path / "some.result", bundle)
    assert [row.name for row in told.rows] == ["0", "1"]
    assert told.runtime.name == runtime
