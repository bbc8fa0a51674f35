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
        why = allowed.objection_to(one.manifest) if allowed else None
        if why:
            _tell(one.manifest.label, why)
        else:
            found.append(one)
    return found


def kept_models(waiting: Mapping[str, str], catalogue: Catalogue, allowed: Accepted | None) -> dict[str, str]:
    """Models of the catalogue that fit, by name with their descriptions, as `kept`."""
    found = {}
    for name, description in waiting.items():
        settings = catalogue.sources[name].data  # complete or not: the recipe of a release may be missing
        data = catalogue.datasets.get(settings.get("dataset", ""))
        terms = str(settings.get("license", ""))
        why = allowed.objection(terms, data.license if data else "") if allowed else None
        if why:
            _tell(name, why)
        else:
            found[name] = description
    return found


def _tell(label: str, why: str) -> None:
    from zoo.sanitize import printable

    click.echo(f"left out: {label}: {printable(why)}", err=True)
