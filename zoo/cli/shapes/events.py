"""A line of `--events`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from typing_extensions import TypedDict

from zoo.cli.shapes.parts import Moment, exact


@exact
class Said(TypedDict):
    """Words for people; they may change."""

    event: Literal["said"]
    time: Moment
    text: str


@exact
class Began(TypedDict):
    """Something that advances begins; `name` tells it from what is under way beside it."""

    event: Literal["began"]
    time: Moment
    name: str
    total: Annotated[int, "steps"]
    done: Annotated[int, "steps; more than 0 where it goes on"]


@exact
class Advanced(TypedDict):
    """It came so far: at most five a second, and always the last step."""

    event: Literal["advanced"]
    time: Moment
    name: str
    total: int
    done: int
    figures: Annotated[dict[str, float | None], "as of now, such as `loss`; null for what is no finite number"]


@exact
class Ended(TypedDict):
    """It ended or was broken off, and was last told to be so far."""

    event: Literal["ended"]
    time: Moment
    name: str
    total: int
    done: int


@exact
class Figures(TypedDict):
    """Figures that stay, such as those of an epoch."""

    event: Literal["figures"]
    time: Moment
    title: str
    figures: Annotated[dict[str, float | None], "null for what is no finite number"]


@exact
class Result(TypedDict):
    """The last line: it is done."""

    event: Literal["result"]
    time: Moment
    result: Annotated[Any, "what `--json` prints"]


@exact
class Error(TypedDict):
    """The last line: it is not, and standard error has the same text."""

    event: Literal["error"]
    time: Moment
    message: str
    exit_code: int


EVENTS: Mapping[str, Any] = {
    "said": Said,
    "began": Began,
    "advanced": Advanced,
    "ended": Ended,
    "figures": Figures,
    "result": Result,
    "error": Error,
}
