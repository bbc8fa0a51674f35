"""Retries with growing pauses, or after the time that the server asks for.

Source: RFC 9110, sections 10.2.3 (Retry-After) and 15 (status codes).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import TypeVar

from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt
from tenacity.retry import retry_base
from tenacity.wait import wait_random_exponential

from zoo.registry.places import GivenUp, Later
from zoo.sanitize import one_line, without_secrets

logger = logging.getLogger(__name__)
ATTEMPTS = 8  # with growing pauses, half a minute in total
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 10.0  # s
LONGEST_ASKED = 60.0  # s; a longer Retry-After gives up
TEMPORARY = (408, 425, 429, 500, 502, 503, 504)
Answer = TypeVar("Answer")


def _seconds(asked: str | None) -> float:
    """Seconds to wait after a Retry-After, given as seconds or as a date."""
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
    """The error of a failed response: `Later` if a retry soon may succeed, otherwise `GivenUp`."""
    if status not in TEMPORARY:
        return GivenUp(None, why)
    seconds = _seconds(headers.get("Retry-After"))
    if not seconds <= LONGEST_ASKED:  # also if it is NaN
        return GivenUp(None, f"{why}; it asks to retry in {seconds:.0f} s")
    return Later(why, seconds)


def _pause(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    asked = error.seconds if isinstance(error, Later) else 0.0
    return max(asked, wait_random_exponential(FIRST_PAUSE, LONGEST_PAUSE)(state))


def _log_retry(state: RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    why = getattr(error, "strerror", None) or str(error) or type(error).__name__
    pause = state.next_action.sleep if state.next_action else 0.0
    told = without_secrets(one_line(why))
    logger.info("attempt %d of %d failed (%s), next in %.1f s", state.attempt_number, ATTEMPTS, told, pause)


def retrying(again: retry_base) -> Retrying:
    """tenacity's loop over errors of a type; the last error is raised unchanged."""
    return Retrying(stop=stop_after_attempt(ATTEMPTS), wait=_pause, retry=again, reraise=True, before_sleep=_log_retry)


def patiently(call: Callable[[], Answer]) -> Answer:
    """Result of `call`, which is repeated while it raises `Later`."""
    return retrying(retry_if_exception_type(Later))(call)
