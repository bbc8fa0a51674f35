"""What is told of a data set."""

from __future__ import annotations

from typing import Annotated

from typing_extensions import TypedDict

from pipeline.data.account import Reason, SplitName
from zoo.cli.shapes.parts import exact


@exact
class NotUsed(TypedDict):
    """Files, or lines of a list, that a split does not use."""

    reason: Reason
    count: int
    example: Annotated[str, "the first one: a path below the data set's folder, or a line"]


@exact
class SplitFigures(TypedDict):
    """What a split is made of."""

    images: Annotated[int, "that are used"]
    identities: int
    cameras: Annotated[int | None, "null where the data set knows no cameras"]
    not_used: list[NotUsed]
    copies: Annotated[int, "gallery images that are copies of a query of their identity, and no answers to it"]
    unanswerable: Annotated[int, "queries without a right answer, which do not count"]


Splits = dict[SplitName, SplitFigures]


@exact
class SizeFigures(TypedDict):
    """Pixels, over all images."""

    least: int
    median: float
    most: int


@exact
class PairFigures(TypedDict):
    """Two images."""

    one: Annotated[str, "path below the data set's folder"]
    other: Annotated[str, "path below the data set's folder"]
    bits: Annotated[int, "of 256 bits of their perceptual hashes, how many differ; 0 for equal files"]


@exact
class PairsFigures(TypedDict):
    """Pairs of images that are the same."""

    pairs: int
    other_identity: Annotated[int, "pairs of different identities"]
    train_test: Annotated[int, "pairs of which one is trained and one tested on"]
    examples: Annotated[list[PairFigures], "at most five, the most serious first"]


@exact
class DataOverview(TypedDict):
    """What a data set is made of."""

    name: str
    folder: Annotated[str, "absolute; paths are below it"]
    license: str
    splits: Annotated[Splits, "`train`, `query` and `gallery`"]
    images_per_identity: Annotated[
        dict[SplitName, dict[str, int]], "by split and number of images: how many identities have so many"
    ]
    images_per_camera: Annotated[
        dict[SplitName, dict[str, int]], "by split and camera; empty where the data set knows no cameras"
    ]
    alone: Annotated[dict[SplitName, list[str]], "by split: images that are alone of their identity"]
    width: SizeFigures
    height: SizeFigures
    sizes: Annotated[int, "how many different sizes there are"]
    exact: Annotated[PairsFigures, "equal files under different names"]
    near: Annotated[PairsFigures, "different files that look the same: at most 20 of 256 bits differ"]
    refused: Annotated[list[str], "why `zoo build` would refuse the data set, a text for each problem"]
    sheet: Annotated[str | None, "the picture that was drawn, if it was asked for"]
