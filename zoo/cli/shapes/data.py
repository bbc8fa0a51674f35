"""Facts of a data set."""

from __future__ import annotations

from typing import Annotated

from typing_extensions import TypedDict

from pipeline.data.account import Reason, SplitName
from zoo.cli.shapes.common import exact


@exact
class NotUsed(TypedDict):
    """Files, or lines of a list, that a split does not use."""

    reason: Reason
    count: int
    example: Annotated[str, "the first one: a path below the data set's folder, or a line"]


@exact
class SplitFigures(TypedDict):
    """One split."""

    images: Annotated[int, "images that are used"]
    identities: int
    cameras: Annotated[int | None, "null if the data set has no cameras"]
    not_used: list[NotUsed]
    copies: Annotated[int, "gallery images that copy a query of their identity; they do not count as its answers"]
    unanswerable: Annotated[int, "queries without a correct answer, which do not count"]


Splits = dict[SplitName, SplitFigures]


@exact
class SizeFigures(TypedDict):
    """Image sizes in pixels, over all images."""

    least: int
    median: float
    most: int


@exact
class PairFigures(TypedDict):
    """Two images."""

    one: Annotated[str, "path below the data set's folder"]
    other: Annotated[str, "path below the data set's folder"]
    bits: Annotated[int, "differing bits of their 256-bit perceptual hashes; 0 for equal files"]


@exact
class PairsFigures(TypedDict):
    """Pairs of equal images."""

    pairs: int
    other_identity: Annotated[int, "pairs of different identities"]
    train_test: Annotated[int, "pairs across training and test"]
    examples: Annotated[list[PairFigures], "at most five, the most serious first"]


@exact
class DataOverview(TypedDict):
    """Overview of a data set."""

    name: str
    folder: Annotated[str, "absolute; paths are below it"]
    license: str
    splits: Annotated[Splits, "`train`, `query` and `gallery`"]
    images_per_identity: Annotated[
        dict[SplitName, dict[str, int]], "by split and number of images: how many identities have that many"
    ]
    images_per_camera: Annotated[
        dict[SplitName, dict[str, int]], "by split and camera; empty if the data set has no cameras"
    ]
    alone: Annotated[dict[SplitName, list[str]], "by split: images that are the only one of their identity"]
    width: SizeFigures
    height: SizeFigures
    sizes: Annotated[int, "number of different sizes"]
    exact: Annotated[PairsFigures, "equal files under different names"]
    near: Annotated[PairsFigures, "different files that look the same: at most 20 of 256 bits differ"]
    refused: Annotated[list[str], "why `zoo build` would refuse the data set, one text per problem"]
    sheet: Annotated[str | None, "the contact sheet, if one was requested"]
