"""The terminal, as used by rich."""

from __future__ import annotations

from typing import NoReturn

from rich.console import Console

from zoo.cli.exit_codes import UNHEARD
from zoo.cli.streams import silence


class Screen(Console):
    """A console that ends the command like any other output when its reader is gone."""

    def on_broken_pipe(self) -> NoReturn:
        """See rich."""
        self.quiet = True
        silence(self.file)  # type: ignore[arg-type]
        raise SystemExit(UNHEARD)
