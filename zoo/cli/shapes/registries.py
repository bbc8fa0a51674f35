"""Output of commands on registries, and of checks of releases: `zoo publish`, `verify`, `yank`, `gc`, `migrate`."""

from __future__ import annotations

from typing import Annotated, Literal

from typing_extensions import TypedDict

from targets.settings import Precision
from zoo.cli.shapes.common import Label, exact


@exact
class PublishedRelease(TypedDict):
    """The outcome of publishing."""

    release: Label
    registry: Annotated[str, "URL or folder"]
    new: Annotated[bool, "false: it was there already"]
    measurements: Annotated[int, "how many were added"]
    signed: Annotated[bool, "whether a signature was added"]


@exact
class FigureAgain(TypedDict):
    """A published figure, and the same figure measured here."""

    target: str
    precision: Precision
    figure: Annotated[str, "`cosine` to the golden embedding; else a key of `MeasurementRow`"]
    published: Annotated[float | None, "null if not published; a cosine never is"]
    here: Annotated[float | None, "null if not measured"]
    low: Annotated[float | None, "lower limit of the tolerance"]
    high: Annotated[float | None, "upper limit of the tolerance"]
    verdict: Annotated[Literal["within", "outside", "not judged"], "exit code 4 if one is outside"]
    why: Annotated[str, "why it is not judged; otherwise empty"]


@exact
class Verified(TypedDict):
    """The result of a check of every byte."""

    release: Label
    damage: Annotated[list[str], "one line each; exit code 4 if there is any"]
    missing: Annotated[list[str], "files that were not pulled"]
    signed_by: Annotated[list[str], "trusted keys with a valid signature"]
    unchecked: Annotated[str | None, "why the registry was not asked; null if it was, or if that was unnecessary"]
    figures: Annotated[list[FigureAgain] | None, "null without `--measure`, or if files are damaged"]


@exact
class Yanked(TypedDict):
    """A release that was hidden or restored."""

    release: Label
    registry: Annotated[str, "URL or folder"]
    yanked: Annotated[str | None, "why it is hidden; null if it is not"]


@exact
class Collected(TypedDict):
    """Files that no release needs."""

    registry: Annotated[str, "URL or folder"]
    dry_run: Annotated[bool, "true: nothing was removed"]
    files: int
    size_bytes: int


@exact
class MigratedRelease(TypedDict):
    """A release and its schema."""

    release: Label
    schema: Annotated[int, "of its manifest before"]
    outcome: Annotated[
        Literal["migrated", "current", "published"],
        "`current`: it had the current schema; `published`: it has an older one, and keeps it",
    ]
    measurements: Annotated[int, "records that were moved out of the old manifest"]
    kept: Annotated[str | None, "name of the copy of the old manifest; null if nothing was migrated"]
    unknown: Annotated[list[str], "what the old manifest does not record, in words"]


@exact
class Migration(TypedDict):
    """Releases and their schemas."""

    registry: Annotated[str | None, "URL or folder; null for releases of this home"]
    dry_run: Annotated[bool, "true: nothing was written"]
    releases: list[MigratedRelease]
