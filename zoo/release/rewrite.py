"""Releases that were built here, rewritten from an older schema into the present one.

A manifest that was published keeps its bytes: the registry names it by its digest, signatures are over it, and readers
refuse another one under the same version. So what was pulled stays as it came, and is read as it is.

In this order, each file in one rename, so that a kill at any moment leaves a release that can be read and migrated:
the old manifest under a second name, the records that stood in it, the new manifest.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from pipeline.files import write_bytes
from zoo.errors import ManifestError, OutputError, ZooError
from zoo.home import Home
from zoo.release.layout import KEPT, MANIFEST, MEASUREMENTS
from zoo.release.local import Release, find_release, read_all, rebuilding
from zoo.release.manifest import parse, to_bytes
from zoo.release.measurements import from_values, write_measurements
from zoo.release.migrate import SCHEMA
from zoo.sanitize import one_line

Outcome = Literal["migrated", "current", "published"]


@dataclass(frozen=True)
class Rewritten:
    """What became of a release.

    Attributes:
        release: name@version.
        schema: that its manifest was of before.
        outcome: `migrated`; `current`: it was of the present schema; `published`: it is of an older one and stays so.
        measurements: how many records stood in the old manifest and are files now.
        kept: name of the old manifest beside the new one; none if there is none.
        unknown: what the old manifest does not say, in words.
    """

    release: str
    schema: int
    outcome: Outcome
    measurements: int = 0
    kept: str | None = None
    unknown: tuple[str, ...] = ()


def rewrite(release: Release, dry: bool) -> Rewritten:
    """Rewrite a release into the present schema, if it was built here and is of an older one.

    Args:
        dry: only say what would be done.

    Raises:
        ManifestError: the manifest, or a record in it, can't be read.
        OutputError: its folder can't be written. The release stays as it was.
    """
    label = release.manifest.label
    if not release.is_old:
        return Rewritten(label, SCHEMA, "current")
    if not (mend := rebuilding(release.path)):
        return Rewritten(label, release.schema, "published")
    content = release.path.read_bytes()
    found = parse(content, str(release.path), mend)
    records = [from_values(values, f"in {release.path}", mend) for values in found.measurements]
    kept = KEPT[found.schema]
    if not dry:
        folder = release.path.parent.resolve()
        try:
            write_bytes(folder / kept, content)
            write_measurements(folder / MEASUREMENTS, records)
            write_bytes(folder / MANIFEST, to_bytes(found.manifest))
        except OSError as error:
            raise OutputError(
                f"can't migrate {label}: {folder} can't be written ({error.strerror}). It stays as it was. Check the "
                "folder's owner and mode, and free some space."
            ) from None
    return Rewritten(label, found.schema, "migrated", len(records), kept, found.unknown)


def _each(home: Home, names: Sequence[str] | None) -> Iterator[tuple[str, Release | str]]:
    """Releases, or why they can't be read."""
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
    """Rewrite releases. One that can't be read or written does not keep the others from it.

    Args:
        names: NAME or NAME@VERSION; none: all that are here.
        dry: only say what would be done.

    Returns:
        what became of each, and why others stay as they are, by what they were asked for by.
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
