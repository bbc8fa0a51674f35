"""Command lines that repeat a build."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path

OPTIONS = ("from", "dataset", "student")  # overrides that have an option of their own
PATHS = ("teacher.weights", "distill.weights")  # overrides whose value is a path


def portable(override: str) -> str:
    """An override without paths of this machine: of a weights file only the name is kept."""
    key, _, value = override.partition("=")
    return f"{key}={Path(value).name}" if key in PATHS else override


def _option(override: str) -> tuple[str, str]:
    """The option of the command line that makes an override."""
    key, _, value = override.partition("=")
    return (f"--{key}", value) if key in OPTIONS else ("--set", override)


def command_line(
    words: Sequence[str], targets: Iterable[str], overrides: Iterable[str] = (), host: str | None = None
) -> str:
    """A command of zoo, as one writes it in a shell.

    Args:
        words: the command, its name, and options that no other argument gives.
        targets, overrides, host: as in `zoo.building.build.BuildRequest`.
    """
    options = [*(("--target", target) for target in targets), *map(_option, overrides)]
    options += [("--host", host)] if host else []
    return shlex.join(["zoo", *words, *(word for option in options for word in option)])
