"""Older manifests in the present schema: one function for each step, from dictionary to dictionary.

    2 → 3   measurements leave the manifest and become records; licenses and documents come

A step moves what is there, and invents nothing: a field that the older schema lacks is null or left out, and `UNKNOWN`
says so in words. Figures keep their values. Nothing here reads or writes files; `zoo.release.rewrite` does.

Manifests of schema 3 and measurements of schema 1 need no step, whichever zoo wrote them: fields that came later have
defaults. docs/manifest.md lists them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

SCHEMA = 3  # of the manifests that this zoo writes
OLDEST = 2  # that it can read
RECORD_SCHEMA = 1  # of the measurements that it reads and writes
NOT_STATED = "not stated"
Values = dict[str, Any]

UNKNOWN: Mapping[int, tuple[str, ...]] = {
    2: (
        "licenses are not stated",
        "there is no model card, golden input, run.py or SBOM",
        "precisions were chosen on the test set",
        "intervals of mAP differences are over queries, not over identities; p90 and p99 are of single calls",
        "options of runtimes, and why an artifact ships, were not recorded",
    )
}
"""What a manifest of an older schema does not say, or says in another way; by schema."""
NO_CONDITIONS = "conditions of runs were not recorded, so their times make no claims"


@dataclass(frozen=True)
class Migrated:
    """A manifest in the present schema.

    Attributes:
        manifest: its values, not validated yet.
        measurements: values of the records that stood in it, not validated yet; none from schema 3 on.
        unknown: what the older schema did not say, in words; empty if the manifest was of the present one.
    """

    manifest: Values
    measurements: list[Values]
    unknown: tuple[str, ...] = ()


def _measured(old: Mapping[str, Any], release: str, data: str) -> Iterator[Values]:
    """Records of one target's run: one for each network and precision."""
    run = hashlib.sha256(json.dumps([release, old], sort_keys=True).encode()).hexdigest()[:16]
    about = {key: old[key] for key in ("target", "device", "runtime", "threads", "measured_at")}
    for row in old["rows"]:
        yield {
            "ratios": [],  # the first manifests of schema 2 have none
            **row,
            **about,
            "schema_version": RECORD_SCHEMA,
            "release": release,
            "kind": "measured",
            "conditions": old.get("conditions"),
            "run": run,
            "data": data,
            "ships": (row["network"], row["precision"]) == ("student", old["chosen"]),
        }


def _records(old: Mapping[str, Any], release: str, data: str) -> Iterator[Values]:
    if old["kind"] == "measured":
        yield from _measured(old, release, data)
    else:
        yield {**old, "schema_version": RECORD_SCHEMA, "release": release}


def _from_2(manifest: Mapping[str, Any]) -> Migrated:
    """Measurements stood in the manifest, a run each; nothing was said of licenses, and documents were not made."""
    release, data = f"{manifest['name']}@{manifest['version']}", manifest["data"]["fingerprint"]
    measurements = manifest["measurements"]
    told = any(one["kind"] == "measured" and "conditions" not in one for one in measurements)
    return Migrated(
        {
            **{key: value for key, value in manifest.items() if key != "measurements"},
            "schema_version": 3,
            "licenses": dict.fromkeys(("code", "weights", "data"), NOT_STATED),
            "documents": [],
        },
        [record for one in measurements for record in _records(one, release, data)],
        (*UNKNOWN[2], *[NO_CONDITIONS] * told),
    )


STEPS: Mapping[int, Callable[[Mapping[str, Any]], Migrated]] = {2: _from_2}


def schema_of(values: object) -> int | None:
    """The schema that JSON says it has; none if it says no number."""
    found = values.get("schema_version") if isinstance(values, dict) else None
    return found if isinstance(found, int) and not isinstance(found, bool) else None


def migrated(values: Values) -> Migrated:
    """A manifest of schema `OLDEST` to `SCHEMA` in the present one. A present one is given back as it is.

    Raises:
        ValueError: it is not of the schema that it says; names what it lacks.
    """
    result, first = Migrated(values, []), schema_of(values)
    for schema in range(first if first is not None else SCHEMA, SCHEMA):
        try:
            step = STEPS[schema](result.manifest)
        except (KeyError, TypeError, AttributeError) as error:
            missing = f"it has no {error}" if isinstance(error, KeyError) else "a part of it has another form"
            raise ValueError(f"it is not of schema {schema}: {missing}") from None
        result = Migrated(step.manifest, [*result.measurements, *step.measurements], result.unknown + step.unknown)
    return result
