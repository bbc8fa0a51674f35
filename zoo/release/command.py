"""The command that built a release, as it is told to whoever builds it again."""

from __future__ import annotations

import re
import shlex
from itertools import pairwise
from pathlib import Path

from zoo.layout import CARD, MANIFEST
from zoo.sanitize import parse_json

IN_CARD = re.compile(r"^- command: `(.+)`$", re.MULTILINE)  # as `zoo.documents.card` writes it


def is_command(text: object) -> bool:
    """Whether a text is a `zoo build` or `zoo add` that a shell reads as that one command, whoever wrote it.

    That is so if the text is what `shlex.join` writes: every word with another meaning to a shell is quoted.
    """
    if not isinstance(text, str) or not text.isprintable():
        return False
    try:
        words = shlex.split(text)
    except ValueError:  # a quote without its end
        return False
    return len(words) > 2 and words[0] == "zoo" and words[1] in ("build", "add") and shlex.join(words) == text


def with_target(command: str, target: str) -> str:
    """A command, for one more target."""
    words = shlex.split(command)
    asked = {value for option, value in pairwise(words) if option in ("--target", "-t")}
    return command if target in asked else f"{command} {shlex.join(['--target', target])}"


def recorded_command(folder: Path) -> str:
    """The command that built the release in a folder whose manifest may be damaged: from the manifest, or else from the
    card. Where neither tells one, that of a model of the catalogue.
    """
    try:
        told = parse_json((folder / MANIFEST).read_bytes())["provenance"]["command"]
    except (OSError, ValueError, LookupError, TypeError):
        told = None
    if is_command(told):
        return str(told)
    try:
        found = IN_CARD.search((folder / CARD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        found = None
    return found[1] if found and is_command(found[1]) else shlex.join(["zoo", "build", folder.parent.name])
