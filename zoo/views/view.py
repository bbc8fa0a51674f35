"""A view: the input and output that a consumer expects of a network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from pipeline.data.images import IMAGENET_MEAN, IMAGENET_STD
from zoo.errors import ExportError

Layout = Literal["nhwc", "nchw"]
Dtype = Literal["uint8", "float32"]
Range = Literal["255", "1", "normalised"]
Colors = Literal["rgb", "bgr"]
Three = tuple[float, float, float]
MOST = 4096  # images of a batch
WIDEST = 1000  # of a mean or deviation, beyond which float32 loses the pixels


@dataclass(frozen=True)
class View:
    """Input and output of a graph, for H×W pixels.

    Attributes:
        layout: nhwc, N×H×W×3; or nchw, N×3×H×W.
        dtype: of the input.
        range: what the consumer makes of a pixel x of 0 … 255: x itself, x / 255, or (x / 255 - mean) / std.
        colors: order of the channels.
        batch: the only batch size; None: any.
        mean, std: of RGB in 0 … 1, applied by the consumer; for `normalised` only.
        input, output: names of the tensors.
    """

    layout: Layout = "nhwc"
    dtype: Dtype = "uint8"
    range: Range = "255"
    colors: Colors = "rgb"
    batch: int | None = None
    mean: Three = IMAGENET_MEAN
    std: Three = IMAGENET_STD
    input: str = "images"
    output: str = "embeddings"

    def __post_init__(self) -> None:
        if self.dtype == "uint8" and self.range != "255":
            raise ExportError(f"uint8 holds 0 … 255 only: --range {self.range} needs --dtype float32.")
        if self.batch is not None and not 1 <= self.batch <= MOST:
            raise ExportError(f"a fixed batch must be 1 … {MOST}, not {self.batch}.")
        if not all(abs(one) <= WIDEST for one in self.mean) or not all(1 / WIDEST <= one <= WIDEST for one in self.std):
            raise ExportError(
                f"mean must be three numbers from -{WIDEST} to {WIDEST}, and std three from {1 / WIDEST:g} to {WIDEST}."
            )

    @property
    def is_plain(self) -> bool:
        """Whether it is the input and output of the release's own graphs."""
        return self == View()

    def shape(self, height: int, width: int) -> tuple[int | None, ...]:
        """Shape of the input; None is any batch."""
        inner = (height, width, 3) if self.layout == "nhwc" else (3, height, width)
        return self.batch, *inner

    @property
    def to_pixels(self) -> tuple[Three, Three] | None:
        """Factors and summands for R, G and B that give 0 … 255 again; None if the values are pixels."""
        if self.range == "255":
            return None
        if self.range == "1":
            return (255.0,) * 3, (0.0,) * 3
        (r, g, b), (red, green, blue) = self.std, self.mean
        return (255 * r, 255 * g, 255 * b), (255 * red, 255 * green, 255 * blue)

    @property
    def words(self) -> str:
        """What to give it, in words."""
        known = {"255": "0 … 255", "1": "0 … 1", "normalised": f"(x / 255 - {_list(self.mean)}) / {_list(self.std)}"}
        shape = "N×H×W×3" if self.layout == "nhwc" else "N×3×H×W"
        batch = f", N = {self.batch}" if self.batch else ""
        return f"{self.dtype} {shape}{batch}, {known[self.range]}, {self.colors.upper()}"

    def feed(self, images: np.ndarray) -> np.ndarray:
        """What a consumer with this view makes of uint8 N×H×W×3 RGB; a fixed batch is filled with the last image."""
        if self.batch:
            images = np.concatenate([images, *[images[-1:]] * (self.batch - len(images))])
        values = images.astype(np.float32)
        if self.range != "255":
            values /= np.float32(255)
        if self.range == "normalised":
            values -= np.array(self.mean, np.float32)
            values /= np.array(self.std, np.float32)
        values = values[..., ::-1] if self.colors == "bgr" else values
        values = values.transpose(0, 3, 1, 2) if self.layout == "nchw" else values
        return np.ascontiguousarray(values, np.dtype(self.dtype))


def _list(values: Three) -> str:
    return f"({', '.join(f'{one:g}' for one in values)})"
