"""What a graph takes and gives, from the options of the command line and from the graph itself.

A graph says its layout and often its size, and seldom its normalisation: ONNX has fields for it, which few exporters
write. A wrong normalisation only makes a network worse, so it is never guessed.

Source: ONNX, "Metadata", docs/MetadataProps.md, for `Image.…` and the denotations of axes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pydantic import ValidationError

from pipeline.data.images import Input
from pipeline.errors import ForeignError
from pipeline.foreign.reading import listed
from pipeline.foreign.settings import Channels, Foreign, Layout

if TYPE_CHECKING:
    import onnx

Three = tuple[float, float, float]
Range = Literal["1", "255"]
AXES: dict[Layout, tuple[int, int, int]] = {"NCHW": (1, 2, 3), "NHWC": (3, 1, 2)}  # of channels, height, width
RANGES: dict[str, tuple[Range, Three | None, Three | None]] = {
    "NominalRange_0_255": ("255", None, None),
    "Normalized_0_1": ("1", None, None),
    "Normalized_1_1": ("1", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
}  # Image.NominalPixelRange → range, mean, deviation
FORMATS: dict[str, Channels] = {"Rgb8": "RGB", "Bgr8": "BGR"}  # Image.BitmapPixelFormat
NORMALISED = "--mean 0.485,0.456,0.406 --std 0.229,0.224,0.225"  # ImageNet's


@dataclass(frozen=True)
class Asked:
    """Options of the command line; None: read it from the graph.

    Attributes:
        size: height and width, pixels.
        mean, std: in the order of `channels` and the units of `range`.
        range: largest value of a pixel before mean and deviation apply.
        output: name of a value of the graph.
    """

    size: tuple[int, int] | None = None
    mean: Three | None = None
    std: Three | None = None
    range: Range | None = None
    layout: Layout | None = None
    channels: Channels | None = None
    output: str | None = None


def image_input(model: onnx.ModelProto, name: str) -> onnx.ValueInfoProto:
    """The one input of a graph: floats or uint8, with four axes.

    Args:
        name: of the file, for errors.

    Raises:
        ForeignError: there is another number of inputs, or it takes no batch of images.
    """
    from onnx import TensorProto

    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in weights]
    if len(inputs) != 1:
        names = listed([value.name for value in inputs]) or "none"
        raise ForeignError(
            f"{name} has {len(inputs)} inputs ({names}). Export the part of the network that takes images."
        )
    value: onnx.ValueInfoProto = inputs[0]
    kind = value.type.tensor_type.elem_type
    if kind not in (TensorProto.FLOAT, TensorProto.UINT8):
        raise ForeignError(
            f"{name} takes {TensorProto.DataType.Name(kind).lower()}, not float32 or uint8. Export it for float32."
        )
    if not value.type.tensor_type.HasField("shape"):
        raise ForeignError(f"{name} does not say the shape of its input {value.name}. Export it with one: N×3×H×W.")
    rank = len(value.type.tensor_type.shape.dim)
    if rank == 3:
        raise ForeignError(
            f"{name} takes one image without a batch axis ({shape_text(value)}). Export it for "
            f"torch.zeros(1, 3, H, W), with dynamic_axes={{{value.name!r}: {{0: 'batch'}}}}."
        )
    if rank != 4:
        raise ForeignError(f"{name} takes an input of shape {shape_text(value)}, not a batch of images N×3×H×W.")
    return value


def shape_text(value: onnx.ValueInfoProto) -> str:
    """The shape of a value: sizes, names of dynamic axes, and ? for unknown ones."""
    dims = value.type.tensor_type.shape.dim
    return "×".join(str(dim.dim_value) if dim.HasField("dim_value") else dim.dim_param or "?" for dim in dims)


def fixed(value: onnx.ValueInfoProto) -> list[int | None]:
    """Sizes of axes; None where an axis is dynamic."""
    dims = value.type.tensor_type.shape.dim
    return [dim.dim_value if dim.HasField("dim_value") and dim.dim_value > 0 else None for dim in dims]


def describe(model: onnx.ModelProto, name: str, sha256: str, asked: Asked) -> tuple[Input, Foreign]:
    """Size and normalisation of a graph's input, and the other facts about it.

    Args:
        model: see `pipeline.foreign.reading.read_model`.
        name: of the file, for errors.
        sha256: of the file.

    Raises:
        ForeignError: the graph does not take batches of colour images, what is asked contradicts it, or neither tells.
    """
    value = image_input(model, name)
    told = {entry.key: entry.value for entry in model.metadata_props}
    layout = _layout(value, name, asked.layout)
    height, width = _size(value, name, layout, asked.size)
    channels = asked.channels or FORMATS.get(told.get("Image.BitmapPixelFormat", ""), "RGB")
    mean, std = _normalisation(value, name, channels, told.get("Image.NominalPixelRange", ""), asked)
    try:
        size = Input(height=height, width=width, mean=mean, std=std)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = first["loc"][0]
        raise ForeignError(f"{name} takes images of {height}×{width}: {key}: {first['msg'].lower()}.") from None
    return size, Foreign(sha256=sha256, output=_output(model, name, asked.output), layout=layout, channels=channels)


def _layout(value: onnx.ValueInfoProto, name: str, asked: Layout | None) -> Layout:
    sizes = fixed(value)
    marked = [dim.denotation for dim in value.type.tensor_type.shape.dim]
    if asked is None and "DATA_CHANNEL" in marked:
        asked = "NCHW" if marked.index("DATA_CHANNEL") == 1 else "NHWC"
    possible: list[Layout] = [layout for layout, (axis, *_) in AXES.items() if sizes[axis] in (3, None)]
    if not possible or (asked and asked not in possible):
        where = (
            f"not 3 channels in {asked}" if asked and possible else "and no axis has the 3 channels of a colour image"
        )
        raise ForeignError(f"{name} takes images of shape {shape_text(value)}, {where}. zoo gives RGB or BGR images.")
    sure = [layout for layout in possible if sizes[AXES[layout][0]] == 3]
    if asked is None and len(sure) != 1:
        raise ForeignError(
            f"{name} takes images of shape {shape_text(value)}, which does not tell the axis of the channels. Add "
            "--layout nchw or nhwc."
        )
    return asked or sure[0]


def _size(value: onnx.ValueInfoProto, name: str, layout: Layout, asked: tuple[int, int] | None) -> tuple[int, int]:
    sizes = fixed(value)
    found = [sizes[axis] for axis in AXES[layout][1:]]
    if asked is None:
        if None in found:
            raise ForeignError(
                f"{name} takes images of any size ({shape_text(value)}). Give the one that it was trained with, as in "
                "--size 256x128 (height x width)."
            )
        return found[0], found[1]  # type: ignore[return-value]
    if any(has not in (None, wanted) for has, wanted in zip(found, asked, strict=True)):
        raise ForeignError(
            f"{name} takes images of shape {shape_text(value)} ({layout}), not of {asked[0]}×{asked[1]}. Leave --size "
            "out, or export the network for that size."
        )
    return asked


def _normalisation(
    value: onnx.ValueInfoProto, name: str, channels: Channels, told: str, asked: Asked
) -> tuple[Three, Three]:
    """Mean and deviation of RGB in 0 … 1."""
    from onnx import TensorProto

    range_, mean, std = asked.range, asked.mean, asked.std
    given = range_ or mean or std
    if value.type.tensor_type.elem_type == TensorProto.UINT8:
        if given:
            raise ForeignError(
                f"{name} takes uint8 pixels, which it normalises itself. Leave --mean, --std and --range out."
            )
        range_ = "255"
    elif not given:
        if told not in RANGES:
            raise ForeignError(
                f"{name} does not say how its images are normalised, and zoo does not guess it. Take it from the code "
                f"that runs the network: ImageNet's is {NORMALISED}; pixels as they are: --range 255."
            )
        range_, mean, std = RANGES[told]
    largest = float(range_ or 1)
    mean, std = mean or (0.0, 0.0, 0.0), std or (1.0, 1.0, 1.0)
    if max(map(abs, mean)) > largest:
        raise ForeignError(f"a mean of {max(mean, key=abs):g} is beyond pixels of 0 … {largest:g}: add --range 255.")

    def as_rgb(numbers: Three) -> Three:
        first, second, third = (round(number / largest, 12) for number in numbers)
        return (third, second, first) if channels == "BGR" else (first, second, third)

    return as_rgb(mean), as_rgb(std)


def _output(model: onnx.ModelProto, name: str, asked: str | None) -> str:
    outputs = {value.name: value for value in model.graph.output}
    if asked is not None:
        inner = {output for node in model.graph.node for output in node.output}
        if asked not in outputs and asked not in inner:
            raise ForeignError(f"{name} has no value {asked[:80]!r}. Its outputs are {listed([*outputs])}.")
        return asked
    if len(outputs) != 1:
        shapes = {key: shape_text(value) for key, value in outputs.items()}
        shown = listed([f"{key} ({shape})" if shape else key for key, shape in shapes.items()])
        raise ForeignError(f"{name} has {len(outputs)} outputs: {shown}. Name the embedding with --output.")
    return str(next(iter(outputs)))
