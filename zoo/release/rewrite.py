"""Rewrite releases that were built here from an older schema into the current one.

A published manifest keeps its bytes: the registry names it by its digest, signatures cover it, and readers refuse
another manifest under the same version. Pulled releases are therefore left alone; they are converted when read.

The old manifest is copied first, then its records are written, then the new manifest, each file in one rename. If the
process is killed between them, the release stays readable and can be migrated again.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from pipeline.files import write_bytes
from zoo.errors import ManifestError, OutputError, ZooError
from zoo.home import Home
from zoo.layout import KEPT, MANIFEST, MEASUREMENTS, SCHEMA
from zoo.release.local import Release, find_release, read_all
from zoo.release.manifest import to_bytes
from zoo.release.measurements import from_values, write_measurements
from zoo.release.reading import parse
from zoo.sanitize import one_line

logger = logging.getLogger(__name__)
Outcome = Literal["migrated", "current", "published"]


@dataclass(frozen=True)
class Rewritten:
    """The outcome for one release.

    Attributes:
        release: name@version.
        schema: of its manifest before.
        outcome: `migrated`; `current`: it had the current schema; `published`: it has an older one and keeps it.
        measurements: number of records that were moved out of the old manifest.
        kept: name of the copy of the old manifest; None if nothing was migrated.
        unknown: what the old manifest does not record, in words.
    """

    release: str
    schema: int
    outcome: Outcome
    measurements: int = 0
    kept: str | None = None
    unknown: tuple[str, ...] = ()


def rewrite(release: Release, dry: bool) -> Rewritten:
    """Rewrite a release into the current schema if it was built here and has an older one.

    Args:
        dry: write nothing.

    Raises:
        ManifestError: the manifest, or a record in it, can't be read.
        OutputError: its folder can't be written; the release is unchanged.
    """
    label = release.manifest.label
    if not release.is_old:
        return Rewritten(label, SCHEMA, "current")
    if not (mend := release.rebuilding):
        return Rewritten(label, release.schema, "published")
    content = release.path.read_bytes()
    found = parse(content, str(release.path), mend)
    records = [from_values(values, f"in {release.path}", mend) for values in found.measurements]
    kept = KEPT[found.schema]
    if not dry:
        folder = release.path.parent.resolve()
        logger.info("%s: from schema %d to %d in %s", label, found.schema, SCHEMA, folder)
        try:
            write_bytes(folder / kept, content)
            write_measurements(folder / MEASUREMENTS, records)
            write_bytes(folder / MANIFEST, to_bytes(found.manifest))
        except OSError as error:
            raise OutputError(
                f"can't migrate {label}: {folder} can't be written ({error.strerror}). It is unchanged. Check the "
                "folder's owner and mode, and free some space."
            ) from None
    return Rewritten(label, found.schema, "migrated", len(records), kept, found.unknown)


def _each(home: Home, names: Sequence[str] | None) -> Iterator[tuple[str, Release | str]]:
    """Names with releases, or with the reason why they can't be read."""
    if names is None:
        here = read_all(home)
        yield from ((one.manifest.label, one) for one in here.releases)
        yield from here.damaged.items()
        return
    for name in dict.fromkeys(names):
        try:
            yield name, find_release(home, name)
        except ManifestError as error:
            yield name, one_line(str(error))


def rewrite_all(home: Home, names: Sequence[str] | None, dry: bool) -> tuple[list[Rewritten], dict[str, str]]:
    """Rewrite releases. One that can't be read or written does not stop the others.

    Args:
        names: NAME or NAME@VERSION; None: all releases of this home.
        dry: write nothing.

    Returns:
        the outcomes, and by name why other releases are unchanged.
    """
    done, failed = list[Rewritten](), dict[str, str]()
    for name, release in _each(home, names):
        if isinstance(release, str):
            failed[name] = release
            continue
        try:
            done.append(rewrite(release, dry))
        except ZooError as error:
            failed[name] = one_line(str(error))
    return done, failed
