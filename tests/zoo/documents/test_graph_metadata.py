"""Facts inside graphs, as ONNX, ONNX Runtime and OpenVINO read them; and what does not change."""

import hashlib
import sys

import numpy as np
import onnx
import onnxruntime
import openvino
import pytest

from targets.contract import Job
from targets.files import sha256
from targets.openvino import OpenVino
from targets.settings import TargetSettings
from tests.zoo.shelf import SIZE, write_graph
from zoo.documents.graph_metadata import facts, read_facts, write_facts
from zoo.documents.protobuf import metadata
from zoo.home import Home
from zoo.release.local import find_release

TOLD = facts("big@1.0.0", ("Apache-2.0", "CC0-1.0 <&>"), SIZE, 8, "a" * 64, "b" * 64)
PICTURES = np.random.default_rng(0).integers(0, 256, (3, SIZE.height, SIZE.width, 3), np.uint8)


@pytest.fixture
def graph(tmp_path):
    return write_graph(tmp_path / "model.onnx")


@pytest.fixture
def model(tmp_path, graph):
    """The same graph for OpenVINO."""
    OpenVino(TargetSettings("openvino")).compile(graph, tmp_path, Job(SIZE.height, SIZE.width, (1,)))
    return tmp_path / "model.xml"


def embedded(graph):
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    return session.run(None, {"images": PICTURES})[0]


def test_onnx_and_onnx_runtime_read_them(graph):
    write_facts(graph, TOLD)
    read = {one.key: one.value for one in onnx.load(graph).metadata_props}
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    assert read == session.get_modelmeta().custom_metadata_map
    assert {key: read[f"zoo.{key}"] for key in TOLD} == TOLD
    assert (read["zoo.height"], read["zoo.width"], read["zoo.layout"]) == ("24", "32", "NHWC")
    assert (read["zoo.mean"], read["zoo.std"]) == ("0.485,0.456,0.406", "0.229,0.224,0.225")
    assert (read["zoo.release"], read["zoo.license"]) == ("big@1.0.0", "Apache-2.0")
    onnx.checker.check_model(graph, full_check=True)


def test_the_measured_graph_is_the_first_part_of_the_file(graph):
    before, embeddings = graph.read_bytes(), embedded(graph)
    write_facts(graph, TOLD)
    after = graph.read_bytes()
    assert after.startswith(before)
    assert len(after) > len(before)
    assert np.array_equal(embedded(graph), embeddings)
    assert read_facts(graph)["source_sha256"] == hashlib.sha256(before).hexdigest()


def test_openvino_reads_them_and_computes_the_same(model, tmp_path):
    runner, weights, digest = OpenVino(TargetSettings("openvino", threads=1)), model.with_suffix(".bin"), sha256(model)
    before, content = runner.load(tmp_path).embed(PICTURES), weights.read_bytes()
    write_facts(model, TOLD)
    read = openvino.Core().read_model(model)
    assert {key: read.get_rt_info(["zoo", key]).astype(str) for key in TOLD} == TOLD
    assert read.get_rt_info(["zoo", "half"]).astype(str) == "no"  # what the target itself keeps there
    assert read_facts(model) == {**TOLD, "source_sha256": digest, "half": "no"}
    assert np.array_equal(runner.load(tmp_path).embed(PICTURES), before)
    assert weights.read_bytes() == content


def test_a_linked_result_of_the_store_stays_as_it_was(graph, tmp_path):
    before = graph.read_bytes()
    shipped = tmp_path / "shipped.onnx"
    shipped.hardlink_to(graph)
    write_facts(shipped, TOLD)
    assert graph.read_bytes() == before
    assert read_facts(graph) == {}


@pytest.mark.parametrize("name", ["model.engine", "model.bin", "network.json", "page.xml"])
def test_other_files_are_not_touched(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(b"<page/>")
    write_facts(path, TOLD)
    assert path.read_bytes() == b"<page/>"
    assert read_facts(path) == {}


def test_equal_facts_give_equal_bytes(tmp_path):
    paths = [write_graph(tmp_path / name / "model.onnx") for name in ("a", "b")]
    for path in paths:
        write_facts(path, TOLD)
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_they_are_read_without_a_runtime(graph, monkeypatch):
    write_facts(graph, TOLD)
    for name in ("onnx", "onnxruntime", "openvino", "google.protobuf"):
        monkeypatch.setitem(sys.modules, name, None)
    assert {key: read_facts(graph)[key] for key in TOLD} == TOLD


def test_all_metadata_are_read_as_onnx_reads_them(graph):
    """Of tools, too, in every kind of field, and with the last of equal keys."""
    model = onnx.load(graph)
    model.ir_version, model.model_version, model.doc_string = 10, 2**40, "a" * 300
    for key, value in (("ä", "ö" * 200), ("empty", ""), ("twice", "1"), ("twice", "2")):
        model.metadata_props.add(key=key, value=value)
    onnx.save(model, graph)
    write_facts(graph, TOLD)
    read = {one.key: one.value for one in onnx.load(graph).metadata_props}
    assert metadata(graph) == read
    assert (read["twice"], len(read)) == ("2", len(TOLD) + 1 + 3)


@pytest.mark.parametrize("content", [b"", b"\xff" * 20, b"\x3a\xff\x7f", b"\x07", b"\x72\x03\x0a\x01\xff", b"<net>"])
def test_a_damaged_graph_has_no_facts(tmp_path, content):
    """`zoo verify` is what finds the damage."""
    for name in ("model.onnx", "model.xml"):
        (tmp_path / name).write_bytes(content)
        assert read_facts(tmp_path / name) == {}


def test_a_built_release_has_them_in_every_graph_and_its_manifest_names_these_files(finished):
    release = find_release(Home(finished.home), "tiny")
    folder, manifest = release.path.parent, release.manifest
    digests = {artifact.path: artifact.sha256 for artifact in manifest.artifacts}
    graphs = [path for path in digests if path.endswith((".onnx", ".xml"))]
    assert len(graphs) == 3  # of all targets, of onnxruntime-cpu, of openvino-cpu
    stored = {sha256(path) for path in (finished.home / "store").rglob("model.*") if "record" not in path.parts}
    for path in graphs:
        told = read_facts(folder / path)
        assert (told["release"], told["embedding"]) == ("tiny@1.0.0", "16")
        assert told["network_sha256"] == digests["network/network.safetensors"]
        assert told["recipe_sha256"] == manifest.recipe_digest
        assert digests[path] == sha256(folder / path)
        assert told["source_sha256"] in stored  # what was measured is still in the store, as it was


def test_the_size_in_a_measurement_is_that_of_the_shipped_files(finished):
    release = find_release(Home(finished.home), "tiny")
    shipped = [one for one in release.measured if one.ships]
    assert {one.target for one in shipped} == {"onnxruntime-cpu", "openvino-cpu"}
    for one in shipped:
        files = [file.size_bytes for file in release.manifest.artifacts if file.target == one.target]
        assert one.size_bytes == sum(files)


def test_zoo_show_prints_them(finished):
    shown = finished.zoo("show", "tiny").stdout
    assert "zoo.release" in shown
    assert "metadata in graph/model.onnx" in shown
