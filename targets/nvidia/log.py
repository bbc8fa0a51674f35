"""What the runtime has to say: it reports errors to a logger, and returns nothing."""

from __future__ import annotations

import functools
from typing import Any

from targets.errors import shorten


@functools.cache  # the runtime keeps the first logger that it was given for as long as the process lives
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
            """The first error, which the later ones follow from."""
            return shorten(self.errors[0]) if self.errors else "it does not say why"

    return Log()
