"""Asking again what did not go well: with growing pauses, or when the server says.

Source: RFC 9110, sections 10.2.3 (Retry-After) and 15 (status codes).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import TypeVar

from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt
from tenacity.retry import retry_base
from tenacity.wait import wait_random_exponential

from zoo.registry.places import GivenUp, Later

ATTEMPTS = 8  # with growing pauses: half a minute in all
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 10.0  # s
LONGEST_ASKED = 60.0  # s; who is to come again later than that gives up
TEMPORARY = (408, 425, 429, 500, 502, 503, 504)
Answer = TypeVar("Answer")


def _seconds(asked: str | None) -> float:
    """How long a Retry-After asks to wait: seconds, or a date."""
    try:
        return 0.0 if (seconds := float(asked or 0)) < 0 else seconds
    except ValueError:
        pass
    try:
        at = parsedate_to_datetime(asked or "")
    except ValueError:
        return 0.0
    at = at if at.tzinfo else at.replace(tzinfo=timezone.utc)
    return max(0.0, (at - datetime.now(timezone.utc)).total_seconds())


def refusal(status: int, why: str, headers: Mapping[str, str]) -> OSError:
    """The error of an answer that is none: `Later` if the same may go well soon, else `GivenUp`."""
    if status not in TEMPORARY:
        return GivenUp(None, why)
    seconds = _seconds(headers.get("Retry-After"))
    if not seconds <= LONGEST_ASKED:  # nor what is no number
        return GivenUp(None, f"{why}; it asks to come again in {seconds:.0f} s")
    return Later(why, seconds)


def _pause(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    asked = error.seconds if isinstance(error, Later) else 0.0
    return max(asked, wait_random_exponential(FIRST_PAUSE, LONGEST_PAUSE)(state))


def retrying(again: retry_base) -> Retrying:
    """tenacity's loop over errors of a kind; the last one is raised as it is."""
    return Retrying(stop=stop_after_attempt(ATTEMPTS), wait=_pause, retry=again, reraise=True)


def patiently(call: Callable[[], Answer]) -> Answer:
    """What `call` gives, which is called again while it says `Later`."""
    return retrying(retry_if_exception_type(Later))(call)
