"""What data sets, targets and models may be called: names become folders, on any system."""

from __future__ import annotations

from collections.abc import Collection

from targets.bundles.archive import safe_name
from targets.names import NAME
from zoo.release.layout import OWN_NAMES


def wrong_name(name: str) -> str:
    """Why a name can't be had; empty if it can."""
    if not NAME.fullmatch(name):
        return "a name is letters, digits, dots, dashes, underscores."
    return "" if safe_name(name) else "some systems have no file of this name. Choose another one."


def wrong_target(name: str, others: Collection[str]) -> str:
    """Why a target can't be called so: in a release it has a folder of its own. Empty if it can."""
    if why := wrong_name(name):
        return why
    folded = name.casefold()
    if folded in OWN_NAMES:
        return f"a release has a file or folder {folded} of its own. Choose another name."
    same = [other for other in others if other.casefold() == folded]
    return f"some systems can't tell it from {same[0]!r}. Choose another name." if same else ""
