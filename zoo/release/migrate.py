"""Convert older manifests into the current schema, dictionary to dictionary, one function per step.

    2 → 3   measurements move out of the manifest into records; licenses and documents are new

A step adds no facts: a field that the older schema lacks is null or absent, and `UNKNOWN` says so in words. Figures
keep their values. Nothing here reads or writes files; `zoo.release.rewrite` does.

Manifests of schema 3 and measurements of schema 1 need no step, whichever version wrote them: later fields have
defaults. docs/manifest.md lists them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from zoo.layout import SCHEMA

RECORD_SCHEMA = 1  # of measurements
NOT_STATED = "not stated"
Values = dict[str, Any]

UNKNOWN: Mapping[int, tuple[str, ...]] = {
    2: (
        "licenses are not stated",
        "there is no model card, golden input, run.py or SBOM",
        "precisions were chosen on the test set",
        "intervals of mAP differences are over queries, not identities; p90 and p99 are sample quantiles",
        "options of runtimes, and why an artifact ships, were not recorded",
    )
}
"""What manifests of an older schema do not record, or define in another way; by schema."""
NO_CONDITIONS = "conditions of runs were not recorded, so their times are unreliable"


@dataclass(frozen=True)
class Migrated:
    """A manifest in the current schema.

    Attributes:
        manifest: its values, not validated.
        measurements: values of the records that an older manifest contained, not validated.
        unknown: what the older schema does not record, in words; empty for the current one.
    """

    manifest: Values
    measurements: list[Values]
    unknown: tuple[str, ...] = ()


def _measured(old: Mapping[str, Any], release: str, data: str) -> Iterator[Values]:
    """Records of a run on one target, one per network and precision."""
    run = hashlib.sha256(json.dumps([release, old], sort_keys=True).encode()).hexdigest()[:16]
    about = {key: old[key] for key in ("target", "device", "runtime", "threads", "measured_at")}
    for row in old["rows"]:
        yield {
            "ratios": [],  # missing in the first manifests of schema 2
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
    """Schema 2 has its measurements in the manifest, one per run, and neither licenses nor documents."""
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
    """`schema_version` of a JSON value; None if it is not an integer."""
    found = values.get("schema_version") if isinstance(values, dict) else None
    return found if isinstance(found, int) and not isinstance(found, bool) else None


def migrated(values: Values) -> Migrated:
    """Convert a manifest of schema `OLDEST` to `SCHEMA`. A current one is returned unchanged.

    Raises:
        ValueError: it does not have the form of its schema; names the missing key.
    """
    result, first = Migrated(values, []), schema_of(values)
    for schema in range(first if first is not None else SCHEMA, SCHEMA):
        try:
            step = STEPS[schema](result.manifest)
        except (KeyError, TypeError, AttributeError) as error:
            missing = f"{error} is missing" if isinstance(error, KeyError) else "a part has another type"
            raise ValueError(f"it does not have the form of schema {schema}: {missing}") from None
        result = Migrated(step.manifest, [*result.measurements, *step.measurements], result.unknown + step.unknown)
    return result
