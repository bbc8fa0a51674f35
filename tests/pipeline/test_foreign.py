"""Foreign networks: the graph that zoo makes of a file gives the file's embeddings, or it is refused in a line."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from pipeline.errors import CheckFailed, ForeignError
from pipeline.foreign import reading
from pipeline.foreign.describing import Asked, describe
from pipeline.foreign.reading import file_parts, read_model
from pipeline.stages.export import Export
from pipeline.stages.foreign import take_graph
from tests.foreign import (
    ASKED,
    HEIGHT,
    LENGTH,
    MEAN,
    PICTURES,
    STD,
    WIDTH,
    embed_by_hand,
    foreign_model,
    taken,
    write_foreign,
)

FIXED = (1, 3, HEIGHT, WIDTH)


def refusal(path, asked=ASKED):
    with pytest.raises(ForeignError) as caught:
        taken(path, asked)
    told = str(caught.value)
    assert len(told) < 400
    assert "\n" not in told
    return told


def first(images):
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2))


def normalised(images=PICTURES, mean=MEAN, std=STD, largest=1.0):
    pixels = images.astype(np.float32) * np.float32(largest / 255)
    return ((pixels - np.array(mean, np.float32)) / np.array(std, np.float32)).astype(np.float32)


@pytest.mark.parametrize(
    ("changes", "asked", "pixels", "output"),
    [
        ({}, {}, first(normalised()), "features"),
        ({"shape": ("n", HEIGHT, WIDTH, 3)}, {}, normalised(), "features"),
        ({"shape": (None, 3, "h", "w")}, {"size": (HEIGHT, WIDTH)}, first(normalised()), "features"),
        ({"shape": FIXED, "flatten": (1, LENGTH)}, {}, first(normalised()), "features"),
        ({"shape": FIXED, "flatten": (1, -1)}, {}, first(normalised()), "features"),
        ({"shape": FIXED}, {}, first(normalised()), "features"),
        ({"spatial": True}, {}, first(normalised()), "features"),
        ({"opset": 11, "ir": 3}, {}, first(normalised()), "features"),
        ({"images": "embeddings"}, {}, first(normalised()), "features"),
        ({"more_outputs": ("flat",)}, {"output": "features"}, first(normalised()), "features"),
        ({"more_outputs": ("flat",)}, {"output": "flat"}, first(normalised()), "flat"),
        (
            {},
            {"channels": "BGR", "range": "255", "mean": (104.0, 117.0, 123.0), "std": None},
            first(normalised(PICTURES[..., ::-1], (104, 117, 123), (1, 1, 1), 255)),
            "features",
        ),
        ({}, {"range": "255", "mean": None, "std": None}, first(PICTURES.astype(np.float32)), "features"),
        ({"kind": TensorProto.UINT8}, {"mean": None, "std": None}, first(PICTURES), "features"),
        (
            {"kind": TensorProto.UINT8, "shape": ("n", HEIGHT, WIDTH, 3)},
            {"mean": None, "std": None, "channels": "BGR"},
            np.ascontiguousarray(PICTURES[..., ::-1]),
            "features",
        ),
    ],
)  # fmt: skip
def test_the_graph_gives_the_embeddings_of_the_file(changes, asked, pixels, output, tmp_path):
    path = write_foreign(tmp_path / "net.onnx", **changes)
    wrapped = taken(path, replace(ASKED, **asked))
    session = onnxruntime.InferenceSession(wrapped.model.SerializeToString(), providers=["CPUExecutionProvider"])
    (found,) = session.run(["embeddings"], {"images": PICTURES})
    expected = embed_by_hand(path, pixels, output) if output == "features" else found
    np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_allclose(found, wrapped.original.embed(PICTURES), atol=1e-5)
    shape = [axis.dim_param or axis.dim_value for axis in wrapped.model.graph.input[0].type.tensor_type.shape.dim]
    assert shape == ["batch", HEIGHT, WIDTH, 3]


def test_uint8_pixels_go_straight_into_a_cast(tmp_path):
    wrapped = taken(write_foreign(tmp_path / "net.onnx", kind=TensorProto.UINT8), Asked())
    kinds = [(node.op_type, node.input[0]) for node in wrapped.model.graph.node]
    assert kinds[0] == ("Cast", "images")
    assert [kind for kind, _ in kinds].count("Cast") == 1


def test_every_node_has_a_name_of_its_own(tmp_path):
    names = [node.name for node in taken(write_foreign(tmp_path / "net.onnx")).model.graph.node]
    assert all(names)
    assert len({*names}) == len(names)


def test_costs_are_those_of_the_network_alone(tmp_path):
    cost = taken(write_foreign(tmp_path / "net.onnx")).cost
    kernels = [8 * 3 * 9, LENGTH * 8 * 9, LENGTH * LENGTH]
    assert cost.kernel_parameters == sum(kernels)
    assert cost.parameters == sum(kernels) + LENGTH
    assert cost.macs == kernels[0] * 16 * 12 + kernels[1] * 8 * 6 + kernels[2]


def test_nothing_of_the_exporter_s_machine_stays_in_the_graph(tmp_path):
    path = write_foreign(tmp_path / "net.onnx")
    assert b"/home/somebody" in path.read_bytes()
    assert b"/home/somebody" not in taken(path).model.SerializeToString()


def test_a_graph_tells_its_layout_range_and_channels_by_onnx_s_own_fields(tmp_path):
    model = foreign_model()
    for key, value in (("Image.BitmapPixelFormat", "Bgr8"), ("Image.NominalPixelRange", "Normalized_1_1")):
        model.metadata_props.add(key=key, value=value)
    onnx.save(model, tmp_path / "net.onnx")
    size, foreign = describe(read_model(tmp_path / "net.onnx"), "net.onnx", "0" * 64, Asked())
    assert (size.mean, size.std) == ((0.5,) * 3, (0.5,) * 3)
    assert (foreign.channels, foreign.layout, foreign.output) == ("BGR", "NCHW", "features")


def test_mean_and_deviation_are_recorded_for_rgb_in_0_to_1(tmp_path):
    path = write_foreign(tmp_path / "net.onnx")
    asked = Asked(mean=(104.0, 117.0, 123.0), std=(51.0, 52.0, 53.0), range="255", channels="BGR")
    size, _ = describe(read_model(path), path.name, "0" * 64, asked)
    assert size.mean == pytest.approx((123 / 255, 117 / 255, 104 / 255))
    assert size.std == pytest.approx((53 / 255, 52 / 255, 51 / 255))


CUSTOM = helper.make_node("Sparkle", ["b"], ["unused"], domain="com.example")
NEWER = helper.make_node("Gelu", ["b"], ["unused"])  # of opset 20
QUANTISED = helper.make_node("DynamicQuantizeLinear", ["b"], ["q", "s", "z"])


@pytest.mark.parametrize(
    ("changes", "asked", "told"),
    [
        ({"more_outputs": ("flat",)}, {}, "has 2 outputs: features (n×16), flat. Name the embedding"),
        ({"more_outputs": ("flat",)}, {"output": "nothing"}, "has no value 'nothing'. Its outputs are features, flat"),
        ({}, {"output": "d"}, "has shape 1×16×8×6 for 1 images"),
        ({"extra": (CUSTOM,)}, {}, "does not define: com.example.Sparkle"),
        ({"extra": (NEWER,)}, {}, "opset 17 does not define: Gelu"),
        ({"extra": (QUANTISED,)}, {}, "is quantised already (DynamicQuantizeLinear)"),
        ({"shape": (3, HEIGHT, WIDTH)}, {}, "without a batch axis (3×32×24). Export it for torch.zeros(1, 3, H, W)"),
        ({"shape": (1, 3, 1, HEIGHT, WIDTH)}, {}, "shape 1×3×1×32×24, not a batch of images"),
        ({"shape": ("n", 1, HEIGHT, WIDTH)}, {}, "no axis has the 3 channels of a colour"),
        ({"shape": ("n", "c", "h", "w")}, {"size": (HEIGHT, WIDTH)}, "Add --layout nchw or nhwc"),
        ({"shape": ("n", 3, "h", "w")}, {}, "images of any size (n×3×h×w). Give the one"),
        ({}, {"size": (64, 64)}, "not of 64×64. Leave --size out"),
        ({"shape": ("n", 3, 8, 8)}, {}, "takes images of 8×8: height:"),
        ({}, {"mean": None, "std": None}, "does not say how its images are normalised"),
        ({}, {"mean": (123.7, 116.3, 103.5)}, "a mean of 123.7 is beyond pixels of 0 … 1: add --range 255"),
        ({"kind": TensorProto.UINT8}, {}, "takes uint8 pixels, which it normalises itself"),
        ({"kind": TensorProto.INT32}, {}, "takes int32, not float32 or uint8"),
        ({"shape": FIXED, "flatten": (LENGTH,)}, {}, "not a row of numbers for each"),
    ],
)  # fmt: skip
def test_what_can_t_be_taken_is_refused_in_a_line(changes, asked, told, tmp_path):
    assert told in refusal(write_foreign(tmp_path / "net.onnx", **changes), replace(ASKED, **asked))


def test_a_graph_for_one_image_only_is_refused_with_the_way_to_export_it(tmp_path):
    model = foreign_model(FIXED)
    (last,) = (node for node in model.graph.node if node.output[0] == "features")
    last.output[0] = "one"
    for name, shape in (("square", (4, LENGTH // 4)), ("row", (1, LENGTH))):
        model.graph.initializer.append(onnx.numpy_helper.from_array(np.array(shape, np.int64), name))
    model.graph.node.append(helper.make_node("Reshape", ["one", "square"], ["mixed"]))  # of one image only
    model.graph.node.append(helper.make_node("Transpose", ["mixed"], ["turned"]))
    model.graph.node.append(helper.make_node("Reshape", ["turned", "row"], ["features"]))
    onnx.save(model, tmp_path / "net.onnx")
    told = refusal(tmp_path / "net.onnx")
    assert "takes exactly 1 per call, and the rest of its graph does not allow other numbers" in told
    assert "dynamic_axes={'x': {0: 'batch'}}" in told


def test_a_network_in_training_mode_is_refused(tmp_path):
    model = foreign_model()
    (output,) = (node for node in model.graph.node if node.output[0] == "features")
    output.output[0] = "raw"
    model.graph.node.append(helper.make_node("ReduceMean", ["raw"], ["mean"], axes=[0], keepdims=1))
    model.graph.node.append(helper.make_node("Sub", ["raw", "mean"], ["centred"]))
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.full(LENGTH, 0.3, np.float32), "some"))
    model.graph.node.append(helper.make_node("Add", ["centred", "some"], ["features"]))
    onnx.save(model, tmp_path / "net.onnx")
    assert "Export it in evaluation mode" in refusal(tmp_path / "net.onnx")


def test_a_simplified_graph_with_other_results_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("onnxsim.simplify", lambda model: (model, False))
    with pytest.raises(CheckFailed, match=r"onnxsim changed the results of net\.onnx"):
        taken(write_foreign(tmp_path / "net.onnx"))


def test_a_graph_that_ignores_its_images_is_refused(tmp_path):
    model = foreign_model()
    for tensor in model.graph.initializer:
        if tensor.name == "second":
            tensor.CopyFrom(onnx.numpy_helper.from_array(np.zeros((LENGTH, 8, 3, 3), np.float32), "second"))
    onnx.save(model, tmp_path / "net.onnx")
    assert "the same embedding" in refusal(tmp_path / "net.onnx")


@pytest.mark.parametrize("content", [b"", b"<html>not found</html>", b"version https://git-lfs", os.urandom(200)])
def test_another_file_is_not_taken_for_onnx(content, tmp_path):
    path = tmp_path / "net.onnx"
    path.write_bytes(content)
    assert "is not an ONNX file" in refusal(path)
    path.unlink()
    assert "No such file or directory. Give an ONNX file" in refusal(path)
    for other in (path.parent, Path("/dev/zero")):
        assert "is not a file. Give the ONNX file of a network." in refusal(other)
    os.mkfifo(path)
    assert "is not a file" in refusal(path)
    with pytest.raises(ForeignError, match="File name too long. Give an ONNX file"):
        read_model(tmp_path / ("x" * 300))


def test_a_file_beyond_protobuf_s_limit_is_refused_before_it_is_read(tmp_path, monkeypatch):
    path = write_foreign(tmp_path / "net.onnx")
    monkeypatch.setattr(reading, "MAX_BYTES", 1000)
    assert "GiB of weights" in refusal(path)
    path = external(tmp_path, "net.data")
    most = path.stat().st_size + (tmp_path / "net.data").stat().st_size - 1
    monkeypatch.setattr(reading, "MAX_BYTES", most)
    assert "GiB of weights" in refusal(path)  # all files together


def test_a_file_that_was_replaced_since_it_was_described_is_refused(tmp_path):
    path = write_foreign(tmp_path / "net.onnx")
    size, described = describe(read_model(path), path.name, "0" * 64, ASKED)
    with pytest.raises(ForeignError, match=r"net\.onnx changed since this command began"):
        take_graph(None, data=None, input=size, settings=Export(), foreign=described, onnx=path)


def test_half_precision_is_refused(tmp_path):
    model = foreign_model()
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.zeros(3, np.float16), "half"))
    onnx.save(model, tmp_path / "net.onnx")
    assert "weights in float16. Give the network in float32" in refusal(tmp_path / "net.onnx")


def external(folder, location):
    """A file whose weights are in another one, at a location that it names itself."""
    path = folder / "net.onnx"
    onnx.save(foreign_model(), path, save_as_external_data=True, location="net.data", size_threshold=0)
    model = onnx.load(path, load_external_data=False)
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = location
    path.write_bytes(model.SerializeToString())
    return path


@pytest.mark.parametrize(
    "location", ["../secret", "/etc/passwd", "inside/../../secret", r"..\secret", r"C:\secret", "", "\0"]
)
def test_external_data_that_leaves_the_folder_is_refused_before_it_is_read(location, tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    os.mkfifo(tmp_path / "secret")  # to read it would wait for ever
    path = external(folder, location)
    assert "which is not in its folder. Nothing of it was read" in refusal(path)
    with pytest.raises(ForeignError, match="not in its folder"):
        file_parts(path)


@pytest.mark.parametrize("goal", ["../secret", "net.data", "nothing"])
def test_links_to_external_data_are_refused_before_they_are_followed(goal, tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    os.mkfifo(tmp_path / "secret")
    (folder / "link").symlink_to(goal)
    (folder / "inside").symlink_to(".")
    for location in ("link", "inside/net.data"):
        told = refusal(external(folder, location))
        assert f"'{location}', which is a link. Nothing of it was read. Put a copy of the file" in told


def test_a_file_that_is_itself_a_link_may_have_external_data_beside_it(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    path = external(tmp_path / "elsewhere", "net.data")
    (tmp_path / "beside").symlink_to("elsewhere")
    assert taken(tmp_path / "beside" / path.name).cost == taken(path).cost


def test_external_data_beside_the_file_counts_like_the_file(tmp_path):
    path = external(tmp_path, "net.data")
    assert file_parts(path) == {"onnx": path, "external_0": tmp_path / "net.data"}
    assert taken(path).cost == taken(write_foreign(tmp_path / "whole.onnx")).cost
    (tmp_path / "net.data").write_bytes(b"short")
    assert "can't be read: External data " in refusal(path)
    (tmp_path / "net.data").unlink()
    assert "needs net.data, which is not beside it" in refusal(path)
