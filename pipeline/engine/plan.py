"""What a build would do, and why: which results exist in the store, which steps have to run, and what changed."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.engine.step import Step, StepId, ingredients, key_of
from pipeline.engine.store import Store
from targets.errors import as_written

SHOWN_CHANGES = 3
UNSET = object()  # what is not among the ingredients, unlike null
logger = logging.getLogger("zoo.engine")
LastBuild = Mapping[str, Mapping[str, Any]]
"""Ingredients of each step at the latest build, by its printed id, from which a plan reports changes."""


@dataclass(frozen=True)
class Planned:
    """A step with its key; `reason` says why it has to run, and is empty if its result exists."""

    step: Step
    key: str
    ingredients: dict[str, Any]
    reason: str

    @property
    def hit(self) -> bool:
        """Whether its result exists."""
        return not self.reason


def _shown(value: object) -> str:
    """A value as a catalogue has it, or a prefix of a sha256 or of a commit."""
    if value is UNSET:
        return "unset"
    if isinstance(value, str) and re.fullmatch("[0-9a-f]{64}|[0-9a-f]{40}", value):
        return value[:12]
    return as_written(value)


def _known(value: object) -> object:
    """A fact about libraries and machines."""
    return "none" if value is None or value is UNSET else value


def _changes(stage: str, old: object, new: object, at: str = "") -> Iterator[str]:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in sorted(old.keys() | new.keys(), key=str):
            yield from _changes(stage, old.get(key, UNSET), new.get(key, UNSET), f"{at}.{key}" if at else str(key))
    elif old != new:
        section, _, rest = at.partition(".")
        match section:
            case "settings":
                name = rest.removeprefix("settings.") if rest.startswith("settings.") else ""
                yield f"{f'{stage}.{name}' if name else rest} {_shown(old)} → {_shown(new)}"
            case "inputs":
                yield f"{rest} is new"
            case "libraries":
                yield f"{rest} {_known(old)} → {_known(new)}"
            case "data":
                yield "the data changed"
            case "files":
                yield f"the file of {rest} changed"
            case "hub":
                file, _, what = rest.partition(".")
                if what:
                    yield f"the {file}' {what} on the Hub {_shown(old)} → {_shown(new)}"
            case "place" if rest:
                yield f"another machine ({rest} {_known(old)} → {_known(new)})"
            case "place":
                yield "it depends on the machine now" if new else "it no longer depends on the machine"
            case _:
                yield f"{section} of the stage {_known(old)} → {_known(new)}"


def _reason(step: Step, content: dict[str, Any], last: Mapping[str, Any] | None) -> str:
    if last is None:
        return "never built"
    changes = list(_changes(step.stage, last, content))
    logger.debug("%s: changed since the last build: %s", step.id, ", ".join(changes) or "nothing")
    if not changes:
        return "its result is not in the store"
    more = f" (+{len(changes) - SHOWN_CHANGES} more)" if len(changes) > SHOWN_CHANGES else ""
    return ", ".join(changes[:SHOWN_CHANGES]) + more


def make_plan(steps: Iterable[Step], store: Store, last: LastBuild) -> list[Planned]:
    """Keys and reasons of all steps, in order.

    Args:
        last: ingredients of the latest build; empty to ignore it.
    """
    keys: dict[StepId, str] = {}
    plan = []
    for step in steps:
        content = ingredients(step, keys)
        key = keys[step.id] = key_of(content)
        if store.has(step.stage, key):
            reason = ""
        else:
            reason = store.unfinished(step.stage, key) or _reason(step, content, last.get(str(step.id)))
        logger.debug("%s: key %s, %s", step.id, key, reason or "found in the store")
        plan.append(Planned(step, key, content, reason))
    return plan
