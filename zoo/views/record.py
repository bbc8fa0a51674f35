"""view.json: the manifest of a folder that `zoo export` wrote. docs/view.schema.json is its schema."""

from __future__ import annotations

import json
from typing import Any, Literal

from pydantic import Field

from targets.settings import Precision, WeightBits
from zoo.release.record import File, Licenses, Record, Sha256
from zoo.views.view import Colors, Dtype, Layout, Range

VIEW = "view.json"


class Origin(Record):
    """The release, and the graph in it."""

    release: str = Field(description="name@version; what to pull")
    content_sha256: Sha256 = Field(
        description="digest over paths and content of the release's artifacts, as in the index of a registry; "
        "identifies it wherever it is published"
    )
    graph: str = Field(
        description="artifact of the release and what was made of it, or result in the store, in words; whose weights "
        "these are"
    )
    graph_sha256: Sha256 = Field(
        description="digest of that artifact or result, as in the release's manifest for an artifact"
    )
    precision: Precision = Field(description="numeric precision of the graph")
    weight_bits: WeightBits | None = Field(
        None, description="bits of int8 weights; with 8, sums overflow on x86 without VNNI; null for other precisions"
    )


class InputRecord(Record):
    """What to give the graph."""

    name: str = Field(description="name of the tensor")
    dtype: Dtype = Field(description="type of its numbers")
    layout: Layout = Field(description="nhwc is N×H×W×3, nchw is N×3×H×W")
    range: Range = Field(
        description="what to make of a pixel x of 0 … 255: itself (255), x / 255 (1), or (x / 255 - mean) / std "
        "(normalised)"
    )
    colors: Colors = Field(description="order of the channels")
    height: int = Field(description="pixels")
    width: int = Field(description="pixels")
    batch: int | None = Field(description="the only batch size; null: any")
    mean: tuple[float, float, float] | None = Field(description="of RGB, to subtract; null unless normalised")
    std: tuple[float, float, float] | None = Field(description="of RGB, to divide by; null unless normalised")


class OutputRecord(Record):
    """What the graph gives: float32 N×D, rows of length 1."""

    name: str = Field(description="name of the tensor")
    dimension: int = Field(description="D, components of an embedding")


class Check(Record):
    """The check before it was written: the release's golden input, prepared as the consumer does."""

    cosine: float = Field(
        description="between the embeddings by this graph and by the release's graph; at least 0.9999, or nothing "
        "would have been written"
    )
    golden_cosine: float = Field(
        description="between the embedding by this graph and the release's golden one, of its fp32 graph; what the "
        "precision costs on one picture"
    )
    runtime: str = Field(description="what ran both")
    runtime_version: str = Field(description="its version")


class ViewRecord(Record):
    """A release, written for a consumer."""

    schema_version: Literal[1] = Field(1, description="version of this format")
    consumer: str = Field(description="program that it is for, as in `zoo export --for`")
    backend: str | None = Field(description="Triton's backend; null for other consumers")
    origin: Origin = Field(description="what it was made from")
    input: InputRecord = Field(description="what to give the graph")
    output: OutputRecord = Field(description="what it gives")
    max_batch: int | None = Field(description="largest batch in the consumer's configuration; null if that has none")
    check: Check = Field(description="evidence that it gives the release's embeddings")
    licenses: Licenses = Field(description="those of the release, which hold for this, too")
    zoo: str = Field(description="version of zoo that wrote it")
    files: list[File] = Field(description="every file beside this one; to detect changes")


def to_json(record: ViewRecord) -> str:
    """The record as it is written."""
    return json.dumps(record.model_dump(mode="json"), indent=2) + "\n"


def view_schema() -> dict[str, Any]:
    """The published JSON Schema."""
    schema = ViewRecord.model_json_schema(mode="serialization")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
