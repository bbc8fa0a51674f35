"""TensorRT and TensorRT-RTX without a GPU: engines built ahead of time, and refusals before loading."""

import dataclasses
import json
from importlib.metadata import PackageNotFoundError
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from calibration.quantize import Quantizer
from pipeline.stages.export import deployed
from targets.contract import Job
from targets.errors import BadOption, ForeignEngine, Unusable
from targets.nvidia.engine import Place, read_engine, write_engine
from targets.nvidia.tensorrt import GENERATIONS, TensorRt, TensorRtRtx
from targets.settings import PRECISIONS, TargetSettings
from tests.graphs import unquantised
from tests.helpers import alive_network, random_images
from tests.targets.boards import jetson_here
from tests.targets.engine_layers import read_layers
from tests.targets.fake_cuda import FakeCuda
from tests.targets.refusal import refusal

JOB = Job(32, 32, (1, 4))


def rtx(*capabilities, device="GPU", **options):
    """A target of TensorRT-RTX; skips where it is not installed."""
    pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX is not installed")
    given = {"capabilities": list(capabilities), **options} if capabilities else options
    return TensorRtRtx(TargetSettings(runtime="tensorrt-rtx", device=device, options=given))


@pytest.fixture(scope="module")
def engine(graphs, tmp_path_factory):
    """An engine for SM 86 and 89; read-only."""
    folder = tmp_path_factory.mktemp("engine")
    rtx(86, 89).compile(graphs["int8"], folder, JOB)
    return folder


@pytest.fixture
def copied(engine, tmp_path):
    """A copy of that engine that a test may change."""
    for file in engine.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    return tmp_path


@pytest.mark.parametrize("capability", [86, 89, 120])
def test_engines_are_built_for_absent_gpus(capability, graphs, tmp_path):
    target, sizes = rtx(capability), {}
    assert target.compiles_ahead
    assert target.check_compiler().endswith(f"for SM {capability}")
    for precision, graph in graphs.items():
        folder = tmp_path / precision
        folder.mkdir()
        target.compile(graph, folder, JOB)
        record = target.check_form(folder)
        assert (record.capabilities, record.batches) == ((capability,), (1, 1, 4))
        assert record.flags == ("STRONGLY_TYPED",)
        sizes[precision] = record.size_bytes
    # weights are stored in the graph's precision; every int8 layer brings about 0.3 MB of kernels
    assert sizes["fp16"] < 0.55 * sizes["fp32"]
    assert sizes["int8"] < 0.75 * sizes["fp16"]


def test_one_engine_serves_ampere_and_later_if_no_capabilities_are_named(graphs, tmp_path):
    rtx().compile(graphs["fp16"], tmp_path, JOB)
    assert rtx().check_form(tmp_path).capabilities == (80, 86, 89, 120, 121)


def test_the_side_file_records_everything_known(engine):
    import tensorrt_rtx

    record = json.loads((engine / "engine.json").read_text())
    assert record.pop("built") == {
        "runtime": "tensorrt_rtx",
        "version": tensorrt_rtx.__version__,
        **dict.fromkeys(("gpu", "sm", "driver", "cuda")),
    }
    assert len(record.pop("sha256")) == 64
    assert record.pop("size_bytes") == (engine / "model.engine").stat().st_size
    assert record == {"capabilities": [86, 89], "flags": ["STRONGLY_TYPED"], "batches": [1, 1, 4]}


def test_fp32_is_not_tf32_unless_asked_for(graphs, tmp_path):
    rtx(86, tf32=True).compile(graphs["fp32"], tmp_path, JOB)
    assert read_engine(tmp_path)[0].flags == ("STRONGLY_TYPED", "TF32")


def test_every_layer_of_an_int8_graph_is_between_q_and_dq(graphs, tmp_path):
    layers = [node.name for node in onnx.load(graphs["fp32"]).graph.node if node.op_type in ("Conv", "Gemm", "MatMul")]
    assert unquantised(graphs["int8"]) == []
    assert unquantised(graphs["fp32"]) == unquantised(graphs["fp16"]) == layers
    quantizer = Quantizer(graphs["fp32"], random_images(8), "symmetric", tmp_path)
    quantizer.write(tmp_path / "mixed.onnx", excluded=[layers[0], layers[-1]])
    assert unquantised(tmp_path / "mixed.onnx") == [layers[0], layers[-1]]


def test_building_reports_progress(graphs, tmp_path):
    told = []
    rtx(86).compile(graphs["fp16"], tmp_path, dataclasses.replace(JOB, tell=lambda _, share: told.append(share)))
    assert len(told) > 20
    assert told == sorted(told)
    assert 0 <= told[0] < 0.1
    assert told[-1] == 1


def test_a_build_can_be_interrupted(graphs, tmp_path):
    def tell(what, share):
        if share > 0.1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rtx(86).compile(graphs["fp16"], tmp_path, dataclasses.replace(JOB, tell=tell))
    assert not list(tmp_path.iterdir())


def write_nodes(path, *nodes):
    """A graph from uint8 images to embeddings."""
    images = helper.make_tensor_value_info("images", TensorProto.UINT8, ["batch", 32, 32, 3])
    embeddings = helper.make_tensor_value_info("embeddings", TensorProto.FLOAT, ["batch", 3, 32, 32])
    graph = helper.make_graph(list(nodes), "graph", [images], [embeddings])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), path)


def test_a_graph_that_is_refused(graphs, tmp_path):
    target = rtx(86)
    cast: Any = {"to": TensorProto.FLOAT}
    transpose: Any = {"perm": [0, 3, 1, 2]}
    first = helper.make_node("Transpose", ["images"], ["t"], name="first", **transpose)
    write_nodes(tmp_path / "order.onnx", first, helper.make_node("Cast", ["t"], ["embeddings"], **cast))
    message = refusal(target.compile, tmp_path / "order.onnx", tmp_path, JOB)
    assert message.startswith("tensorrt_rtx refuses order.onnx: node first (Transpose): ")
    assert "UInt8" in message

    cast = helper.make_node("Cast", ["images"], ["t"], **cast)
    write_nodes(tmp_path / "odd.onnx", cast, helper.make_node("Nonesuch", ["t"], ["embeddings"], name="odd"))
    assert "refuses odd.onnx: node odd (Nonesuch): " in refusal(target.compile, tmp_path / "odd.onnx", tmp_path, JOB)

    (tmp_path / "noise.onnx").write_bytes(b"nonsense")
    assert "Failed to parse" in refusal(target.compile, tmp_path / "noise.onnx", tmp_path, JOB)
    other_size = dataclasses.replace(JOB, height=64)
    assert "Dimension mismatch" in refusal(target.compile, graphs["fp32"], tmp_path, other_size)
    assert "can't build fp32.onnx: " in refusal(
        rtx(75).compile, graphs["fp32"], tmp_path, JOB
    )  # Turing has no fp32 GEMM
    assert not (tmp_path / "model.engine").exists()


def test_an_unknown_capability():
    message = refusal(lambda: rtx(86, 87), of=BadOption)
    assert message.endswith("can't build for SM 87, only for 75, 80, 86, 89, 120, 121.")
    with pytest.raises(BadOption, match="has no option 'capabilities'"):
        TensorRt(TargetSettings(runtime="tensorrt", options={"capabilities": [86]}))
    known = {int(name[2:]) for name in __import__("tensorrt_rtx").ComputeCapability.__members__ if name[:2] == "SM"}
    assert known >= set(GENERATIONS)


@pytest.mark.parametrize("place", [0, 0.5, 1])
def test_a_damaged_engine_is_refused_before_it_is_loaded(place, copied):
    file = copied / "model.engine"
    content = bytearray(file.read_bytes())
    content[int(place * (len(content) - 1))] ^= 1
    file.write_bytes(content)
    assert "is damaged: " in refusal(rtx(86).load, copied)
    assert "is damaged: " in refusal(rtx(86).check_form, copied)
    file.write_bytes(content[: len(content) // 2])
    assert "is damaged: " in refusal(rtx(86).load, copied)


def test_an_undamaged_file_that_is_not_an_engine(copied):
    write_engine(copied, b"nonsense" * 99, Place("tensorrt_rtx", "1.7.1"), (86,), (), (1, 1, 4))
    assert "is not an engine of TensorRT-RTX" in refusal(rtx(86).check_form, copied)


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"built": 1}', '{"built": {"runtime": "tensorrt_rtx"}}'])
def test_a_damaged_side_file(content, copied):
    (copied / "engine.json").write_text(content)
    assert "engine.json is damaged" in refusal(rtx(86).load, copied)


@pytest.mark.parametrize("name", ["engine.json", "model.engine"])
def test_half_of_an_engine(name, copied):
    (copied / name).unlink()
    assert f"{name} is missing" in refusal(rtx(86).load, copied)


def test_a_foreign_engine_is_refused_before_it_is_loaded(copied, monkeypatch):
    FakeCuda(sm=120).install(monkeypatch)
    assert "is for SM 86, 89, but this GPU is Fake with SM 120" in refusal(rtx(86).load, copied, of=ForeignEngine)
    FakeCuda(sm=89).install(monkeypatch)
    assert "can't load this engine" in refusal(rtx(86).load, copied)  # it fits, but there is no real GPU
    side_file = copied / "engine.json"
    side_file.write_text(side_file.read_text().replace('"version": "1.', '"version": "0.'))
    assert "built by tensorrt_rtx 0." in refusal(rtx(86).load, copied, of=ForeignEngine)


def test_missing_packages_are_named(monkeypatch):
    with pytest.raises(BadOption, match="device: TensorRT-RTX runs on GPU .*, not on CPU. Set `device: GPU`"):
        rtx(device="CPU")
    FakeCuda().install(monkeypatch)
    with pytest.raises(Unusable, match="there is no GPU 1 here, only 0 to 0. Set another `device:`"):
        rtx(device="GPU.1").check()
    monkeypatch.setattr("targets.carried.version", lambda _: "10.3.0")
    monkeypatch.setattr("importlib.import_module", lambda _: __import__("no_such_module"))
    with pytest.raises(Unusable, match="TensorRT 10.3.0 does not start: No module named 'no_such_module'"):
        TensorRt(TargetSettings(runtime="tensorrt", device="GPU")).check()


def test_a_jetson_has_tensorrt_from_its_system(monkeypatch, tmp_path):
    def no_package(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr("targets.carried.version", no_package)
    target = TensorRt(TargetSettings(runtime="tensorrt", device="GPU"))
    with pytest.raises(Unusable, match=r"tensorrt is not installed. Run: pip install .*\[tensorrt\]"):
        target.check()
    jetson_here(monkeypatch, tmp_path, "NVIDIA Jetson Orin Nano Developer Kit", "36.4.3")
    with pytest.raises(Unusable, match="tensorrt is not installed. Run: sudo apt install python3-libnvinfer"):
        target.check()


class Stand(TensorRt):
    """TensorRT simulated by TensorRT-RTX, which has all functions in use."""

    package, distribution = "tensorrt_rtx", "tensorrt_rtx_cu13"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # TensorRT-RTX deprecates its timing cache
def test_a_device_builds_for_itself(graphs, tmp_path, monkeypatch):
    FakeCuda(sm=87, driver=12060, runtime=12090).install(monkeypatch)
    pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX is not installed")
    target = Stand(TargetSettings(runtime="tensorrt", device="GPU"))
    assert not target.compiles_ahead
    assert target.check() == target.check_compiler()
    assert target.check().endswith(" on Fake (SM 87)")
    target.compile(graphs["fp16"], tmp_path, dataclasses.replace(JOB, cache=tmp_path / "cache"))
    record = target.check_form(tmp_path)
    assert (record.built.gpu, record.built.sm, record.built.cuda) == ("Fake", 87, "12.6")
    assert record.capabilities == (87,)
    (timing,) = (tmp_path / "cache").iterdir()
    assert timing.name == f"tensorrt_rtx-{record.built.version}-sm87.timing"
    assert timing.stat().st_size > 0


@pytest.mark.parametrize(
    ("machine", "why"),
    [
        ({"driver": 0}, "no NVIDIA driver is loaded here"),
        ({"count": 0}, "sees no GPU here"),
        (
            {"driver": 12060, "runtime": 13050},
            "for CUDA 13.5, the driver for CUDA 12.6. Run: pip install 'cuda-bindings>",
        ),
    ],
)
def test_a_machine_without_a_usable_gpu(machine, why, monkeypatch, graphs, tmp_path):
    FakeCuda(**machine).install(monkeypatch)
    assert why in refusal(rtx().check, of=Unusable)
    assert "SM 80, 86" in rtx().check_compiler()
    here = TensorRtRtx(TargetSettings(runtime="tensorrt-rtx", device="GPU", options={"capabilities": []}))
    assert not here.compiles_ahead
    assert why in refusal(here.check_compiler, of=Unusable)
    assert why in refusal(here.compile, graphs["fp16"], tmp_path, JOB, of=Unusable)


def test_a_gpu_that_tensorrt_rtx_does_not_support_is_refused_before_compiling(monkeypatch, graphs, tmp_path):
    FakeCuda(sm=90).install(monkeypatch)
    pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX is not installed")
    here = TensorRtRtx(TargetSettings(runtime="tensorrt-rtx", device="GPU", options={"capabilities": []}))
    for attempt in (here.check, here.check_compiler, lambda: here.compile(graphs["fp16"], tmp_path / "new", JOB)):
        assert "does not support Fake (SM 90), only SM 75, 80, 86, 89" in refusal(attempt, of=Unusable)
    assert not (tmp_path / "new").exists()
    rtx().compile(graphs["fp16"], tmp_path, JOB)  # for others, it can


def installed_target(runtime):
    """A target of a runtime on the GPU here; skips where it is not installed."""
    kind, options = {"tensorrt": (TensorRt, {}), "tensorrt-rtx": (TensorRtRtx, {"capabilities": []})}[runtime]
    target = kind(TargetSettings(runtime=runtime, device="GPU", options=options))
    try:
        target.check()
    except Unusable as error:
        pytest.skip(str(error))
    return target


@pytest.mark.gpu
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("runtime", ["tensorrt", "tensorrt-rtx"])
def test_a_gpu_embeds_as_torch_does(runtime, precision, graphs, tmp_path):
    import torch

    target, images = installed_target(runtime), random_images(9)
    target.compile(graphs[precision], tmp_path, dataclasses.replace(JOB, cache=tmp_path / "cache"))
    session = target.load(tmp_path, tmp_path / "cache")
    with torch.inference_mode():
        expected = deployed(alive_network())(torch.from_numpy(images)).numpy()
    for count in (9, 1, 4):
        found = session.embed(images[:count])
        assert found.dtype == np.float32
        assert found.shape == (count, 16)
        cosine = (found * expected[:count]).sum(1).mean()
        assert cosine > {"fp32": 0.9999, "fp16": 0.999, "int8": 0.9}[precision]  # random weights quantise badly
        assert session.compute_ms > 0
    session.close()
    assert list((tmp_path / "cache").iterdir())


@pytest.mark.gpu
def test_layers_are_really_int8(graphs, tmp_path):
    target = installed_target("tensorrt")
    target.compile(graphs["int8"], tmp_path, JOB)
    layers = read_layers(target, tmp_path)
    convolutions = [layer for layer in layers if "conv" in layer.name.lower() and layer.kind != "Reformat"]
    assert convolutions
    assert all(layer.int8 for layer in convolutions)
