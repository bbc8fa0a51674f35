"""config.pbtxt, read with Triton's own protobuf."""

import importlib.util
from pathlib import Path

import pytest

from zoo.views.triton import BACKENDS


@pytest.fixture(scope="module")
def proto():
    """`model_config_pb2` of tritonclient, without gRPC, which its package would import."""
    found = importlib.util.find_spec("tritonclient")
    if found is None or not found.submodule_search_locations:
        pytest.skip("tritonclient (extra dev) is not installed")
    path = Path(found.submodule_search_locations[0]) / "grpc/model_config_pb2.py"
    spec = importlib.util.spec_from_file_location("model_config_pb2", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def read(proto, out):
    from google.protobuf import text_format

    return text_format.Parse((out / "tiny/config.pbtxt").read_text(), proto.ModelConfig())


@pytest.mark.parametrize("backend", BACKENDS)
def test_triton_reads_what_the_graph_takes(export, proto, backend):
    out, record = export("triton", backend=backend)
    config = read(proto, out)
    assert config.name == "tiny"
    named = {"onnxruntime": "onnxruntime_onnx", "openvino": "", "tensorrt": "tensorrt_plan"}
    assert (config.platform, config.backend) == (named[backend], "openvino" if backend == "openvino" else "")
    (entry,), (left,) = config.input, config.output
    assert (entry.name, left.name) == (record.input.name, record.output.name)
    assert (entry.data_type, left.data_type) == (proto.TYPE_UINT8, proto.TYPE_FP32)
    if backend == "openvino":  # that backend needs the batch in the shapes
        assert config.max_batch_size == 0
        assert ([*entry.dims], [*left.dims]) == ([-1, 32, 32, 3], [-1, 16])
        assert [one.kind for one in config.instance_group] == [proto.ModelInstanceGroup.KIND_CPU]
        assert (out / "tiny/1" / config.default_model_filename).is_file()
    else:
        assert config.max_batch_size == 32
        assert ([*entry.dims], [*left.dims]) == ([32, 32, 3], [16])
        assert config.HasField("dynamic_batching")


def test_another_input_is_in_the_configuration(export, proto):
    out, _ = export("triton", layout="nchw", dtype="float32", range="1", max_batch=4)
    config = read(proto, out)
    assert (config.input[0].data_type, [*config.input[0].dims]) == (proto.TYPE_FP32, [3, 32, 32])
    assert config.max_batch_size == 4


def test_a_fixed_batch_is_part_of_the_shapes(export, proto):
    out, _ = export("triton", batch=4)
    config = read(proto, out)
    assert (config.max_batch_size, [*config.input[0].dims]) == (0, [4, 32, 32, 3])
    assert [*config.output[0].dims] == [4, 16]
    assert not config.HasField("dynamic_batching")


def test_int8_for_openvino_is_its_own_model(export, proto):
    out, _ = export("triton", "int8", "openvino")
    assert read(proto, out).default_model_filename == "model.xml"
    assert {path.name for path in (out / "tiny/1").iterdir()} == {"model.xml", "model.bin"}
