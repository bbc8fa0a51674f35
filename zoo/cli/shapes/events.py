"""A line of `--events`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from typing_extensions import TypedDict

from zoo.cli.shapes.common import Moment, exact


@exact
class Said(TypedDict):
    """Text for people; it may change."""

    event: Literal["said"]
    time: Moment
    text: str


@exact
class Began(TypedDict):
    """A task with progress starts; `name` tells it from concurrent ones."""

    event: Literal["began"]
    time: Moment
    name: str
    total: Annotated[int, "steps"]
    done: Annotated[int, "steps; more than 0 if it resumes"]


@exact
class Advanced(TypedDict):
    """Progress of a task: at most five events a second, and always the last step."""

    event: Literal["advanced"]
    time: Moment
    name: str
    total: int
    done: int
    figures: Annotated[dict[str, float | None], "current figures, such as `loss`; null if not finite"]


@exact
class Ended(TypedDict):
    """A task ended or was interrupted, at this step."""

    event: Literal["ended"]
    time: Moment
    name: str
    total: int
    done: int


@exact
class Figures(TypedDict):
    """Final figures, such as those of an epoch."""

    event: Literal["figures"]
    time: Moment
    title: str
    figures: Annotated[dict[str, float | None], "null if not finite"]


@exact
class Result(TypedDict):
    """The last line if the command succeeded."""

    event: Literal["result"]
    time: Moment
    result: Annotated[Any, "what `--json` prints"]


@exact
class Error(TypedDict):
    """The last line if the command failed; standard error has the same text."""

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
