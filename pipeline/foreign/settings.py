"""What a foreign file takes and gives, beside its size and normalisation (`pipeline.data.images.Input`)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from pipeline.settings import Settings

Layout = Literal["NCHW", "NHWC"]
Channels = Literal["RGB", "BGR"]


class Foreign(Settings):
    """A network in an ONNX file. Mean and deviation are in the recipe's `input`, of RGB in 0 … 1."""

    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")] = Field(description="digest of the file")
    output: str = Field(min_length=1, description="the value of the file's graph that is the embedding")
    layout: Layout = Field(description="order of the axes of its input")
    channels: Channels = Field(description="order of the colour channels of its input")
