"""The runtime's log: it reports errors to a logger, not in return values."""

from __future__ import annotations

import functools
from typing import Any

from targets.errors import shorten


@functools.cache  # the runtime keeps its first logger until the process ends
def make_log(trt: Any) -> Any:
    """The logger of a runtime's package: an `ILogger` whose `errors` are those since `clear`."""

    class Log(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.errors: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            if severity in (trt.ILogger.Severity.ERROR, trt.ILogger.Severity.INTERNAL_ERROR):
                self.errors.append(message)

        def clear(self) -> None:
            self.errors.clear()

        def reason(self) -> str:
            """The first error, which causes the later ones."""
            return shorten(self.errors[0]) if self.errors else "no reason given"

    return Log()
