"""Recipes that are made from others: `base: NAME`, and `from: RELEASE`.

A recipe that starts from a release has three layers. The recipe that is recorded in the release gives what belongs to
its network and its devices; `_from` in the catalogue gives the settings of fine-tuning; the model's own entry has the
last word.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from targets.errors import as_written
from zoo.catalogue.problems import did_you_mean
from zoo.catalogue.source import Origin, Source, merge
from zoo.errors import CatalogueError

FROM = "from"
NEVER_INHERITED = ("description", "license", "base_model")  # a derived model may use other data or weights
INHERITED = ("dataset", "targets", "input", "network", "sampling", "export", "calibrate", "precision", "measure")
"""Sections that a model takes over from the recipe of its release. The schedules of training and the budget are not
among them: they were made for another start."""


@dataclass(frozen=True)
class Inherited:
    """The recipe that is recorded in a release, name@version."""

    release: str
    recipe: Mapping[str, Any]


def with_bases(name: str, models: Source, chain: tuple[str, ...] = ()) -> Source:
    """A model on top of its base, the base's base, and so on, without the keys that are not inherited."""
    own = models.at(name)
    if not isinstance(own.data, dict) or "base" not in own.data:
        return own
    base, where = own.data["base"], f"{own.origin(('base',))}: models.{name}.base"
    if not isinstance(base, str):
        raise CatalogueError(
            f"{where}: must be the name of a model, as in `base: resnet18-hcmc`, not {as_written(base)}."
        )
    if base not in models.data:
        raise CatalogueError(f"{where}: no model {base!r}. {did_you_mean(base, models.data)}")
    if base in (name, *chain):
        raise CatalogueError(f"{where}: {' → '.join((*chain, name, base))} is circular. Leave one `base` out.")
    plain = Source({k: v for k, v in own.data.items() if k != "base"}, own.origins)
    below = with_bases(base, models, (*chain, name))
    inherited = (
        {k: v for k, v in below.data.items() if k not in NEVER_INHERITED}
        if isinstance(below.data, dict)
        else below.data
    )
    return merge(Source(inherited, below.origins), plain)


def empty(written: str) -> Source:
    """A model without settings.

    Args:
        written: where it comes from, for errors.
    """
    return Source({}, {(): Origin(written)})


def with_method(source: Source) -> Source:
    """A model that starts from a release, with the method of its student: widths stay unless there is a budget."""
    distill = source.data.get("distill")
    given = [key for key in ("method", "compress") if isinstance(distill, dict) and distill.get(key) is not None]
    written = Origin(FROM)
    default = Source({"distill": {"method": "fixed"}}, {(): written, ("distill",): written})
    return source if given else merge(default, source)


def on_top(inherited: Inherited, base: Source, own: Source) -> Source:
    """A model's settings on top of `base`, and that on top of what it inherits."""
    kept = {key: inherited.recipe[key] for key in INHERITED if key in inherited.recipe}
    written = Origin(f"the recipe of {inherited.release}")
    recorded = Source(kept, {(): written, **{(key,): written for key in kept}})
    return with_method(merge(merge(recorded, base), own))


def own_base(overrides: Sequence[str]) -> tuple[str | None, list[str]]:
    """The last override of `base`, which applies before bases are merged; and all others."""
    bases = [one for one in overrides if one.partition("=")[0].strip() == "base"]
    return (bases[-1] if bases else None), [one for one in overrides if one not in bases]
