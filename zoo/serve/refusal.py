"""An answer that says what is wrong, why, and what to do next."""

from __future__ import annotations

import math
from http import HTTPStatus
from typing import TypedDict

from targets.errors import first_line
from zoo.sanitize import one_line


def sentence(error: Exception | str) -> str:
    """The first line of a message of others, as a sentence."""
    text = one_line(error if isinstance(error, str) else first_line(error)).rstrip(".")
    return f"{text[:1].upper()}{text[1:]}."


class Problem(TypedDict):
    """The body of an answer with an error."""

    status: int
    what: str
    why: str
    next: str


class Refusal(Exception):
    """Ends a request with an error.

    Args:
        reason: a short name for metrics.
        what, why, then: sentences for the client.
        retry_after: seconds after which it may succeed.
        close: whether the rest of the body is not read, so that the connection has to end.
    """

    def __init__(
        self,
        status: HTTPStatus,
        reason: str,
        what: str,
        why: str,
        then: str,
        retry_after: float | None = None,
        close: bool = False,
    ) -> None:
        super().__init__(f"{what} {why} {then}")
        self.status, self.reason, self.close = status, reason, close
        self.problem: Problem = {"status": status.value, "what": what, "why": why, "next": then}
        self.headers = {} if retry_after is None else {"Retry-After": str(max(1, math.ceil(retry_after)))}
