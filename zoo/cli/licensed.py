"""`--license` in commands that list releases: those that fit, and a line for each of the others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from zoo.catalogue import Catalogue
    from zoo.release.licensing import Accepted
    from zoo.release.local import Release


def kept(releases: Iterable[Release], allowed: Accepted | None) -> list[Release]:
    """Releases that fit; the others are named on standard error, each with its reason."""
    found = []
    for one in releases:
        licenses = one.manifest.licenses
        why = allowed.objection(licenses.weights, licenses.data) if allowed else None
        if why:
            _tell(one.manifest.label, why)
        else:
            found.append(one)
    return found


def kept_models(waiting: Mapping[str, str], catalogue: Catalogue, allowed: Accepted | None) -> dict[str, str]:
    """Models of the catalogue that fit, by name with their descriptions, as `kept`."""
    found = {}
    for name, description in waiting.items():
        recipe = catalogue.models[name]
        data = catalogue.datasets.get(recipe.dataset)
        why = allowed.objection(recipe.license, data.license if data else "") if allowed else None
        if why:
            _tell(name, why)
        else:
            found[name] = description
    return found


def _tell(label: str, why: str) -> None:
    from zoo.sanitize import printable

    click.echo(f"left out: {label}: {printable(why)}", err=True)
