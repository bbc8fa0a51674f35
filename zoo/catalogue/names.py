"""Names of data sets, targets and models, which become folders on any system."""

from __future__ import annotations

from collections.abc import Collection

from targets.bundles.archive import safe_name
from targets.names import NAME
from zoo.layout import OWN_NAMES


def wrong_name(name: str) -> str:
    """Why a name is invalid; empty if it is valid."""
    if not NAME.fullmatch(name):
        return "a name consists of letters, digits, dots, dashes and underscores."
    return "" if safe_name(name) else "some systems do not allow files of this name. Choose another one."


def wrong_target(name: str, others: Collection[str]) -> str:
    """Why a target can't have this name, as it has its own folder in a release. Empty if it can."""
    if why := wrong_name(name):
        return why
    folded = name.casefold()
    if folded in OWN_NAMES:
        return f"a release already has a file or folder {folded}. Choose another name."
    same = [other for other in others if other.casefold() == folded]
    return f"some systems can't distinguish it from {same[0]!r}. Choose another name." if same else ""
