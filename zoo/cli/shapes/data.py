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
