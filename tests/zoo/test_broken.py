"""A runtime that refuses int8: the build ships another precision, and everything that shows it says why."""

import csv
import io
import json

import jsonschema
import pytest

from calibration.errors import NotQuantisable
from calibration.quantize import Quantizer
from pipeline.errors import CheckFailed
from pipeline.stages.measurement import BrokenVariant
from pipeline.stages.unsupported import check_left
from targets.contract import runtime_version
from targets.errors import ArtifactFailed
from targets.onnxruntime import OnnxRuntime
from targets.settings import TargetSettings
from tests.zoo.elsewhere.boards import copied
from zoo.home import Home
from zoo.release.local import find_release
from zoo.release.measurements import measurement_schema

HERE = ("tiny", "--target", "onnxruntime-cpu")
ANEW = [
    word for one in ("measure.batches=[1]", "measure.calls=8", "measure.max_seconds=0.2") for word in ("--set", one)
]
REASON = "this runtime has no kernel of QuantizeLinear in model.onnx"
VERSION = runtime_version(OnnxRuntime(TargetSettings("onnxruntime")))
ORT = {"name": "onnxruntime", "version": VERSION, "device": "CPU", "options": {}, "environment": None}


def without_int8(patch, of="compile"):
    """ONNX Runtime without int8; it can still judge the graph if only artifacts are refused."""
    ours = OnnxRuntime.compile

    def refuse(self, graph, folder, job):
        if b"QuantizeLinear" in graph.read_bytes() and (of == "calibrate" or folder.name == "artifacts"):
            raise ArtifactFailed(f"this runtime has no kernel\nof QuantizeLinear in {graph}")
        ours(self, graph, folder, job)

    patch.setattr(OnnxRuntime, "compile", refuse)


def without_quantizer(patch):
    def write(self, path, **_):
        path.write_bytes(b"half of a graph")
        raise NotQuantisable("there is nothing to quantise")

    patch.setattr(Quantizer, "write", write)


def release_of(shop):
    return find_release(Home(shop.home), "tiny")


def broken_in(release):
    return [one.model_dump(include={"network", "precision", "reason", "runtime"}) for one in release.broken]


@pytest.fixture(scope="module")
def short(finished, tmp_path_factory):
    """A workshop in which int8 was refused when compiled, and the output of the build; read-only."""
    shop = copied(finished, tmp_path_factory.mktemp("short") / "shop")
    with pytest.MonkeyPatch.context() as patch:
        without_int8(patch)
        return shop, shop.build(*HERE, "--precision", "auto", *ANEW)


def test_another_precision_ships_and_the_record_says_why(short):
    shop, printed = short
    assert f"broken: {REASON}" in printed.stderr
    release = release_of(shop)
    rows = [(row.network, row.precision) for row in release.measured]
    assert rows == [("teacher", "fp32"), ("student", "fp32"), ("student", "fp16")]
    (artifact,) = [one for one in release.manifest.artifacts if one.target]
    assert [row.precision for row in release.measured if row.ships] == [artifact.precision]
    assert broken_in(release) == [{"network": "student", "precision": "int8", "reason": REASON, "runtime": ORT}]
    records = list((release.path.parent / "measurements").iterdir())
    for record in records:
        jsonschema.validate(json.loads(record.read_text()), measurement_schema())
    assert str(shop.root) not in "".join(record.read_text() for record in records)


def test_every_view_of_the_release_shows_it(short):
    shop, printed = short
    line = f"tiny@1.0.0 on onnxruntime-cpu, student int8: broken: {REASON}"
    assert line in printed.stdout
    assert line in shop.zoo("show", "tiny").stdout
    for shape in ("terminal", "markdown"):
        assert line in shop.zoo("compare", "tiny", "--format", shape).stdout
    found = shop.zoo("compare", "tiny", "--format", "csv")
    assert line in found.stderr
    assert {row["precision"] for row in csv.DictReader(io.StringIO(found.stdout))} == {"fp32", "fp16"}
    (row,) = json.loads(shop.zoo("compare", "tiny", "--json").stdout)["broken"]
    assert (row["precision"], row["reason"]) == ("int8", REASON)
    assert shop.zoo("search", "map >= 0").stderr.strip().endswith("; not measured: 1 broken")
    card = (release_of(shop).path.parent / "README.md").read_text()
    assert f"student int8 on onnxruntime-cpu is not available. It is broken: {REASON}" in card


def test_a_second_build_reuses_all_results(short):
    shop, _ = short
    plan = json.loads(shop.zoo("build", *HERE, "--precision", "auto", *ANEW, "--plan", "--json").stdout)["steps"]
    assert not [row["step"] for row in plan if row["runs"]]


@pytest.mark.parametrize("before", ["never built", "built without it"])
def test_a_build_that_requests_int8_fails_with_the_reason(finished, short, before, tmp_path, monkeypatch):
    shop = copied(finished if before == "never built" else short[0], tmp_path / "shop")
    without_int8(monkeypatch)
    monkeypatch.setattr("pipeline.stages.measure.run_trial", lambda *_: pytest.fail("it is about to measure"))
    message = shop.refused("build", *HERE, "--precision", "int8", *ANEW)
    assert "this runtime has no kernel" in message
    assert len(message.splitlines()) <= 2


@pytest.mark.parametrize("how", ["quantised", "judged"])
def test_without_a_graph_nothing_is_compiled(built, how, monkeypatch):
    """The graph can't be made, or the target that judges it refuses it."""
    without_quantizer(monkeypatch) if how == "quantised" else without_int8(monkeypatch, of="calibrate")
    built.build(*HERE, "--precision", "auto", "--set", "calibrate.images=15", *ANEW)
    told = {"reason": REASON, "runtime": ORT}
    if how == "quantised":
        told = {"reason": "there is nothing to quantise", "runtime": None}
    assert broken_in(release_of(built)) == [{"network": "student", "precision": "int8", **told}]
    kept = [path.parent for path in built.home.glob("store/*/*/broken.json")]
    assert sorted(path.parent.name for path in kept) == ["calibrate", "compile"]
    assert all({file.name for file in path.iterdir()} == {"broken.json", "stage.json"} for path in kept)
    assert not [one for one in release_of(built).manifest.calibrations if one.precision == "int8"]


def test_a_build_fails_only_if_every_precision_that_may_ship_is_broken():
    dense, student = (
        BrokenVariant(network=network, precision="int8", reason="no kernel.", runtime=None)
        for network in ("teacher", "student")
    )
    check_left([dense], ["int8"])
    check_left([student, dense], ["int8", "fp32"])
    told = r"^nothing can ship. int8 is broken: no kernel. Allow another precision \(precision: auto\)"
    with pytest.raises(CheckFailed, match=told):
        check_left([student, dense], ["int8"])
