"""`zoo export`: what is written, what was checked before, and what is refused."""

import configparser
import json
import os
import subprocess
import sys
from dataclasses import replace
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import openvino
import pytest
import yaml
from jsonschema import Draft202012Validator

from targets.errors import ArtifactFailed, Unusable
from targets.files import sha256
from zoo.cli.export import BACKENDS as OFFERED_BACKENDS
from zoo.cli.export import CONSUMERS as OFFERED
from zoo.errors import ExportError, OutputError
from zoo.layout import GRAPH
from zoo.use.golden import read_golden
from zoo.views import deepstream, gate
from zoo.views import export as exporting
from zoo.views.consumers import CONSUMERS
from zoo.views.record import VIEW, view_schema
from zoo.views.source import find_source
from zoo.views.triton import BACKENDS
from zoo.views.view import View
from zoo.views.wrapping import wrap

DOCS = Path(__file__).parents[3] / "docs"
EVERYONE = [(name, None) for name in CONSUMERS if name != "triton"] + [("triton", one) for one in BACKENDS]


def test_the_schema_is_published():
    assert json.loads((DOCS / "view.schema.json").read_text()) == view_schema()


def test_the_command_line_has_every_consumer_and_backend():
    assert tuple(CONSUMERS) == OFFERED
    assert BACKENDS == OFFERED_BACKENDS


@pytest.mark.parametrize(("consumer", "backend"), EVERYONE)
def test_every_consumer_gets_a_graph_that_gives_the_release_s_embedding(export, tiny, consumer, backend):
    out, record = export(consumer, backend=backend)
    golden = read_golden(tiny.path.parent)
    (graph,) = out.rglob("*.onnx")
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    entry, left = session.get_inputs()[0], session.get_outputs()[0]
    assert (entry.name, left.name) == (record.input.name, record.output.name)
    assert entry.type == {"uint8": "tensor(uint8)", "float32": "tensor(float)"}[record.input.dtype]
    told = record.input
    view = View(
        told.layout, told.dtype, told.range, told.colors, told.batch, told.mean or (0,) * 3, told.std or (1,) * 3
    )
    row = session.run([left.name], {entry.name: view.feed(golden.picture[None])})[0][0]
    assert row @ golden.embedding > 0.9999
    assert record.check.cosine > 0.9999


@pytest.mark.parametrize(("consumer", "backend"), EVERYONE)
def test_the_record_says_what_was_made_from_what(export, tiny, consumer, backend):
    out, record = export(consumer, backend=backend)
    written = json.loads((out / VIEW).read_text())
    Draft202012Validator(view_schema()).validate(written)
    assert written == record.model_dump(mode="json")
    origin = written["origin"]
    graph = {one.path: one.sha256 for one in tiny.manifest.artifacts}[GRAPH]
    assert (origin["release"], origin["graph_sha256"]) == ("tiny@1.0.0", graph)
    assert origin["content_sha256"] == tiny.manifest.content_sha256
    there = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    assert {one["path"] for one in written["files"]} == there - {VIEW}
    assert all(sha256(out / one["path"]) == one["sha256"] for one in written["files"])
    assert "LICENSES.md" in there
    for path in there - {VIEW}:
        if not path.endswith(".onnx"):
            assert "/tmp" not in (out / path).read_text(), "no path of this machine"


def test_the_graph_itself_says_what_it_takes(export):
    out, record = export("onnx", layout="nchw", dtype="float32", range="1", colors="bgr", batch=2)
    found = {one.key: one.value for one in onnx.load(out / "tiny.onnx").metadata_props}
    told = {key: found[f"zoo.{key}"] for key in ("layout", "dtype", "colors", "range", "batch", "precision")}
    assert told == {
        "layout": "NCHW", "dtype": "float32", "colors": "BGR", "range": "1", "batch": "2", "precision": "fp32",
    }  # fmt: skip
    assert (found["zoo.view_for"], found["zoo.view_of_sha256"]) == ("onnx", record.origin.graph_sha256)
    assert found["zoo.mean"] == "0.485,0.456,0.406"
    assert found["zoo.normalization"].endswith("give it pixels / 255")
    assert (found["zoo.height"], found["zoo.release"]) == ("32", "tiny@1.0.0")
    assert "zoo.source_sha256" not in found, "that was of the release's file"
    out, _ = export("onnx", range="normalised", mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
    found = {one.key: one.value for one in onnx.load(out / "tiny.onnx").metadata_props}
    assert (found["zoo.mean"], found["zoo.std"]) == ("0.5,0.5,0.5", "0.25,0.25,0.25")
    assert found["zoo.normalization"].startswith("before the graph")


def test_a_consumer_that_normalises_gets_the_release_s_own_numbers_unless_others_are_given(export):
    _, record = export("onnx", range="normalised")
    assert (record.input.mean, record.input.dtype) == ((0.485, 0.456, 0.406), "float32")


def test_deepstream_s_configurations_agree_with_the_graph(export):
    out, record = export("deepstream", max_batch=16)
    section = yaml.safe_load((out / deepstream.TRACKER).read_text())["ReID"]
    assert section["inferDims"] == [3, 32, 32]
    assert (section["batchSize"], section["reidFeatureSize"]) == (16, record.output.dimension)
    assert (section["netScaleFactor"], section["offsets"], section["inputOrder"], section["colorFormat"]) == (
        1.0, [0.0, 0.0, 0.0], 0, 0,
    )  # fmt: skip
    assert (section["keepAspc"], section["addFeatureNormalization"], section["networkMode"]) == (0, 0, 0)
    assert (out / section["onnxFile"]).is_file()
    parser = configparser.ConfigParser()
    parser.read(out / deepstream.SECONDARY)
    found = dict(parser["property"])
    assert (found["network-type"], found["output-tensor-meta"], found["process-mode"]) == ("100", "1", "2")
    assert (found["infer-dims"], found["net-scale-factor"], found["offsets"]) == ("3;32;32", "1.0", "0.0;0.0;0.0")
    assert (found["maintain-aspect-ratio"], found["network-mode"]) == ("0", "0")
    assert "strongly-typed" not in found
    assert (out / found["onnx-file"]).is_file()
    assert found["model-engine-file"] == section["modelEngineFile"] == "reid.onnx_b16_gpu0_fp32.engine"
    script = (out / deepstream.SCRIPT).read_text()
    for one in ("--minShapes=input:1x3x32x32", "--optShapes=input:8x3x32x32", "--maxShapes=input:16x3x32x32"):
        assert one in script
    assert f"--saveEngine={section['modelEngineFile']}" in script


def test_deepstream_gets_int8_that_tensorrt_parses_where_the_release_was_built(export):
    out, record = export("deepstream", "int8")
    assert record.origin.graph.startswith("stage calibrate/student/int8/openvino-cpu")
    assert "networkMode: 2 " in (out / deepstream.TRACKER).read_text()
    secondary = (out / deepstream.SECONDARY).read_text()
    assert "network-mode=1\nstrongly-typed=1\n" in secondary
    assert "--stronglyTyped" in (out / deepstream.SCRIPT).read_text()


def test_the_engine_script_calls_trtexec_once(export, tmp_path):
    tool = tmp_path / "bin/trtexec"
    tool.parent.mkdir()
    tool.write_text('#!/bin/sh\ncase $1 in --help) echo "  --stronglyTyped x";; *) echo "$@"; pwd;; esac\n')
    tool.chmod(0o755)
    out, _ = export("triton", "int8", "tensorrt", max_batch=4)
    environment = {**os.environ, "PATH": f"{tool.parent}:{os.environ['PATH']}"}
    run = subprocess.run([out / "tiny/build_engine.sh"], capture_output=True, text=True, check=True, env=environment)
    assert run.stdout.splitlines() == [
        "--onnx=model.onnx --saveEngine=1/model.plan --minShapes=images:1x32x32x3 --optShapes=images:4x32x32x3 "
        "--maxShapes=images:4x32x32x3 --stronglyTyped",
        str(out / "tiny"),
    ]
    assert (out / "tiny/1").is_dir()


@pytest.mark.skipif(Path("/usr/src/tensorrt/bin/trtexec").exists(), reason="trtexec is here")
def test_the_engine_script_says_that_trtexec_is_missing(export):
    out, _ = export("deepstream")
    run = subprocess.run([out / "build_engine.sh"], capture_output=True, text=True, env={"PATH": os.defpath})
    assert run.returncode == 1
    assert run.stderr == "no trtexec here. Install NVIDIA's libnvinfer-bin, or add its folder to PATH.\n"


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_openvino_reads_the_repository_of_its_server(export, tiny, precision):
    out, record = export("ovms", precision)
    (entry,) = json.loads((out / "config.json").read_text())["model_config_list"]
    assert set(entry["config"]) == {"name", "base_path", "target_device"}
    version = out / entry["config"]["base_path"] / "1"
    (model,) = [path for path in version.iterdir() if path.suffix in (".onnx", ".xml")]
    assert model.suffix == {"fp32": ".onnx", "int8": ".xml"}[precision]
    compiled = openvino.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    assert compiled.inputs[0].get_any_name() == record.input.name
    assert compiled.outputs[0].get_any_name() == record.output.name
    golden = read_golden(tiny.path.parent)
    row = compiled([np.stack([golden.picture] * 2)])[0][1]
    assert row @ golden.embedding > golden.min_cosine[precision]


def test_another_input_for_openvino_s_server_takes_the_onnx_graph(export):
    out, record = export("ovms", "int8", colors="bgr")
    assert record.input.colors == "bgr"
    assert [*out.rglob("*.onnx")]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("--for deepstream --layout nhwc", "DeepStream feeds float32 N×3×H×W, 0 … 255, RGB: --layout can't be chosen"),
        ("--for boxmot --range 255", "BoxMOT feeds float32 N×3×H×W"),
        ("--for ultralytics --colors bgr", "Ultralytics feeds float32 N×3×H×W, 0 … 1, RGB"),
        ("--for onnx --dtype uint8 --range 1", "uint8 holds 0 … 255 only"),
        ("--for onnx --mean 0.5,0.5,0.5", "--mean is what the consumer applies: it needs --range normalised"),
        ("--for onnx --range normalised --std 0,1,1", "std three from 0.001 to 1000"),
        ("--for onnx --range normalised --mean 1e39,0,0", "mean must be three numbers from -1000 to 1000"),
        ("--for triton --max-batch 4294967296", "--max-batch must be 1 … 4096, not 4294967296"),
        ("--for onnx --backend openvino", "--backend is Triton's"),
        ("--for boxmot --max-batch 4", "BoxMOT is told of no largest batch"),
        ("--for triton --backend openvino --max-batch 4", "Triton with the backend openvino is told of no largest"),
        ("--for triton --batch 4 --max-batch 8", "--batch 4 is the only batch"),
        ("--for onnx --batch 5000", "a fixed batch must be 1 … 4096"),
        ("--for onnx --precision fp16", "tiny@1.0.0 has no graph in fp16 for this: it was built without"),
    ],
)
def test_what_a_consumer_can_not_take_is_refused(finished, tmp_path, arguments, said):
    message = finished.refused("export", "tiny", "--out", str(tmp_path / "out"), *arguments.split())
    assert said in message
    assert len(message.splitlines()) == 1
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize(
    "arguments",
    ["--for tensorflow", "", "--for onnx --precision int4", "--for onnx --mean 1,2", "--for onnx --batch 0"],
)
def test_words_that_are_not_known_are_errors_of_usage(finished, tmp_path, arguments):
    result = finished.zoo("export", "tiny", "--out", str(tmp_path / "out"), *arguments.split())
    assert result.exit_code == 2
    assert "Traceback" not in result.output
    if "tensorflow" in arguments:
        assert "'deepstream', 'triton', 'ovms', 'boxmot', 'ultralytics', 'onnx'" in result.stderr


def test_folders_that_are_there_or_can_not_be_made(finished, tmp_path):
    full = tmp_path / "full"
    full.mkdir()
    (full / "mine").write_text("kept")
    (tmp_path / "link").symlink_to(full)
    for out, said in (
        (full, "is there and not empty"),
        (full / "mine", "it is a file or a link"),
        (tmp_path / "link", "it is a file or a link"),
        (tmp_path / "no/where", "does not exist"),
        (tmp_path / ("n" * 300), "File name too long"),
        (Path("/proc/export"), "can't write /proc/export: "),
    ):
        assert said in finished.refused("export", "tiny", "--for", "onnx", "--out", str(out))
    assert (full / "mine").read_text() == "kept"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["full", "link"]


def test_an_empty_folder_will_do(export, finished, tmp_path):
    (tmp_path / "empty").mkdir()
    result = finished.zoo("export", "tiny", "--for", "onnx", "--out", str(tmp_path / "empty"))
    assert result.exit_code == 0, result.output
    assert (tmp_path / "empty" / VIEW).is_file()


def test_an_unknown_release(finished, tmp_path):
    message = finished.refused("export", "tinny", "--for", "onnx", "--out", str(tmp_path / "out"))
    assert "no release 'tinny'" in message


def test_a_view_that_is_not_the_release_is_not_written(export, monkeypatch, tmp_path):
    """As a mistake in the conversion would be: channels in the wrong order."""
    real = wrap
    wrong = View("nchw", "float32", "255", "bgr", input="input", output="fc_pred")
    monkeypatch.setattr(exporting, "wrap", lambda model, _view, facts: real(model, wrong, facts))
    with pytest.raises(
        ExportError, match=r"gives another embedding of the golden input: cosine 0\.\d+, at least 0.9999"
    ):
        export("deepstream")
    assert [*tmp_path.iterdir()] == []


def test_a_graph_that_is_not_the_release_s_any_more_is_not_wrapped(export, tiny, monkeypatch, tmp_path):
    real = find_source

    def other(*arguments):
        found = real(*arguments)
        model = onnx.load(found.files[0])
        for tensor in model.graph.initializer:
            if tensor.dims[:1] == [16]:
                tensor.raw_data = np.random.default_rng(0).normal(size=tensor.dims).astype(np.float32).tobytes()
        path = arguments[6] / "other.onnx"
        onnx.save(model, path)
        return type(found)(found.precision, found.form, (path,), found.sha256, found.origin)

    monkeypatch.setattr(exporting, "find_source", other)
    with pytest.raises(ArtifactFailed, match="produces a different embedding"):
        export("onnx")
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_the_graph_is_held_to_the_limit_of_its_own_precision(export, monkeypatch, precision):
    """A limit that nothing reaches: only a graph in that precision is refused."""
    unreachable = {"fp32": 0.0, "int8": 0.0, precision: 1.1}
    real = gate._golden
    monkeypatch.setattr(gate, "_golden", lambda *given: replace(real(*given), min_cosine=unreachable))
    for asked in ("fp32", "int8"):
        if asked == precision:
            with pytest.raises(ArtifactFailed, match=rf"in {precision} produces a different embedding .*at least 1.1"):
                export("onnx", asked)
        else:
            export("onnx", asked)


def test_a_full_disk_leaves_nothing(export, monkeypatch, tmp_path):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(exporting, "_record", full)
    with pytest.raises(OutputError, match=r"No space left on device\. Free some space"):
        export("onnx")
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize(
    ("library", "said"), [("onnx", "needs onnx: not installed"), ("onnxruntime", "onnxruntime is not installed")]
)
def test_what_has_to_be_installed_is_said(export, monkeypatch, library, said):
    if library == "onnx":
        monkeypatch.setattr("zoo.views.libraries.find_spec", lambda name: None if name == "onnx" else name)
    else:

        def missing(name):
            raise PackageNotFoundError(name)

        monkeypatch.setattr("targets.contract.library_version", missing)
    with pytest.raises((ExportError, Unusable), match=said):
        export("onnx")


@pytest.mark.parametrize("arguments", ["--for deepstream", "--for boxmot --precision int8"])
def test_torch_is_not_needed(home, tmp_path, arguments):
    blocked = "".join(f"sys.modules[{name!r}] = None\n" for name in ("torch", "torchvision", "timm", "openvino"))
    words = ["export", "tiny", *arguments.split(), "--out", str(tmp_path / "out")]
    code = f"import sys\n{blocked}from zoo.cli import main\nmain({words!r})"
    environment = {**os.environ, "ZOO_HOME": str(home.root)}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment, cwd=tmp_path)
    assert (tmp_path / "out" / VIEW).is_file()
