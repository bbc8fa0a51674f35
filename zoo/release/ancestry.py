"""The releases that a release's training started from, in words."""

from __future__ import annotations

from collections.abc import Sequence

from zoo.release.lineage import Ancestor


def ancestor_lines(ancestors: Sequence[Ancestor]) -> list[str]:
    """One line for each release, the nearest first: what it is, its licenses, and the data that it was trained on."""
    who = ["training", *(one.label for one in ancestors)]
    return [
        f"{subject} started from {one.label} (manifest {one.manifest_sha256[:12]}; weights: {one.licenses.weights}; "
        f"trained on {one.data}: {one.licenses.data})"
        for subject, one in zip(who, ancestors, strict=False)
    ]
