"""The graphs for DeepStream and for Triton's TensorRT, parsed and built by TensorRT-RTX without a GPU."""

from importlib.util import find_spec

import pytest

from targets.nvidia.builder import _parse
from targets.nvidia.log import make_log

pytestmark = pytest.mark.skipif(find_spec("tensorrt_rtx") is None, reason="tensorrt_rtx is not installed")


@pytest.mark.parametrize("precision", ["fp32", "int8"])
@pytest.mark.parametrize(("consumer", "backend"), [("deepstream", None), ("triton", "tensorrt")])
def test_the_network_is_as_it_is_fed(export, consumer, backend, precision):
    import tensorrt_rtx as trt

    out, record = export(consumer, precision, backend)
    (graph,) = out.rglob("*.onnx")
    builder = trt.Builder(make_log(trt))
    network, _parser = _parse(trt, builder, builder.create_builder_config(), graph, None)
    entry, left = network.get_input(0), network.get_output(0)
    kinds = {"deepstream": trt.DataType.FLOAT, "triton": trt.DataType.UINT8}
    assert (entry.name, entry.dtype, left.name) == (record.input.name, kinds[consumer], record.output.name)
    assert tuple(left.shape) == (-1, record.output.dimension)


@pytest.mark.parametrize("precision", ["fp32", "int8"])
@pytest.mark.parametrize(("consumer", "backend"), [("deepstream", None), ("triton", "tensorrt")])
def test_an_engine_is_built_for_the_profile_of_the_script(export, consumer, backend, precision):
    import tensorrt_rtx as trt

    out, record = export(consumer, precision, backend)
    (graph,) = out.rglob("*.onnx")
    (script,) = out.rglob("*.sh")
    given = [word for word in script.read_text().split() if "Shapes=" in word]
    shapes = [tuple(map(int, word.rpartition(":")[2].split("x"))) for word in given]
    assert [shape[0] for shape in shapes] == [1, 8, record.max_batch]
    builder = trt.Builder(make_log(trt))
    config = builder.create_builder_config()
    network, _parser = _parse(trt, builder, config, graph, None)
    config.num_compute_capabilities = 1
    config.set_compute_capability(trt.ComputeCapability.SM89, 0)
    profile = builder.create_optimization_profile()
    profile.set_shape(network.get_input(0).name, *shapes)
    config.add_optimization_profile(profile)
    assert builder.build_serialized_network(network, config) is not None, make_log(trt).reason()
