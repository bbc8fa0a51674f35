"""Output of each command."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from typing_extensions import TypedDict

from targets.bundles.widths import WidthFigures
from targets.contract import Runtime
from targets.machine.device import Device
from targets.measuring.conditions import Conditions
from targets.measuring.latency import Latency
from targets.measuring.ratio import Ratio
from targets.settings import Precision
from zoo.building.budget import PlannedBudget
from zoo.cli.shapes.common import AS_MEASURED, Label, ManifestJson, MeasurementJson, Moment, Network, exact
from zoo.cli.shapes.data import DataOverview, Splits
from zoo.cli.shapes.tables import Changes, Compared
from zoo.cli.shapes.views import Exported
from zoo.cli.shapes.weights import WeightsFetched, WeightsListed


@exact
class ReleaseAndFigures(TypedDict):
    """A release, and its measurements on this machine."""

    manifest: ManifestJson
    measurements: list[MeasurementJson]


@exact
class PlannedStep(TypedDict):
    """A step of a build."""

    step: str
    key: Annotated[str, "digest of everything the result depends on"]
    runs: Annotated[bool, "false: its result is reused"]
    reason: Annotated[str | None, "why it runs; null if it does not"]


@exact
class PlannedData(TypedDict):
    """The data set of a build."""

    name: str
    fingerprint: Annotated[str, "digest of names, identities, cameras and contents"]
    splits: Annotated[Splits, "`train`, `query` and `gallery`"]


@exact
class Plan(TypedDict):
    """What a build would do."""

    data: PlannedData
    steps: Annotated[list[PlannedStep], "in order"]
    budget: Annotated[
        PlannedBudget | None,
        (
            "the budget, and `predicted`: dense, reachable, error, error_near, widths and full (channels by site "
            "that meet it, and all); null until widths are measured. Null if no budget limits a figure of a target"
        ),
    ]


@exact
class ReleaseRow(TypedDict):
    """A release in a list; figures are of the student in torch."""

    model: Label
    data: Annotated[str, "name of the data set"]
    map: Annotated[float, "mean average precision, %"]
    cmc1: Annotated[float, "rank 1, %"]
    parameters: int
    macs: Annotated[int, "of one image"]
    macs_saved: Annotated[float | None, "by compaction, %; null if zoo did not train the network"]
    targets: Annotated[list[str], "ends in ` (pending)` if its device has not run yet"]
    created_at: Moment


@exact
class Listed(TypedDict):
    """All models."""

    built: Annotated[list[ReleaseRow], "built or pulled, and so on this machine"]
    registry: Annotated[str, "`zoo://prebuilt` for the releases that come with zoo"]
    to_pull: Annotated[
        list[ReleaseRow],
        (
            "of that registry; without `--registry`, those that come with zoo and are not on this machine, or none if "
            "another registry is configured"
        ),
    ]
    not_built: Annotated[dict[str, str], "description, by name of the model; models of studies only with `--all`"]
    damaged: Annotated[dict[str, str], "why it can't be read, and how to fix it, by NAME@VERSION"]
    older: Annotated[dict[str, int], "schema of a manifest that is older than the current one, by NAME@VERSION"]
    faulty: Annotated[
        dict[str, list[str]], "errors of the catalogue, by `models.NAME`, `datasets.NAME` or `targets.NAME`"
    ]


@exact
class SkippedImage(TypedDict):
    """An image that could not be read."""

    path: str
    why: str


@exact
class Embedded(TypedDict):
    """A gallery, and the model that embedded it."""

    model: Label
    target: str
    precision: str
    runtime: str
    folder: Annotated[str, "absolute; paths are below it"]
    images: Annotated[int, "how many were embedded"]
    dimension: Annotated[int, "components of an embedding"]
    skipped: Annotated[list[SkippedImage], "images that could not be read; empty if the gallery was read from a file"]


@exact
class EmbeddedFile(Embedded):
    """A gallery, and its file."""

    file: Annotated[str, "path of the file"]


@exact
class Indexed(Embedded):
    """An index of a gallery."""

    file: Annotated[str, "path of the file"]
    size_bytes: int
    lists: Annotated[int, "into which the images are divided"]
    searched: Annotated[int, "lists that a query searches"]
    recall: Annotated[float, "queries whose nearest image is found, %"]
    recall_queries: Annotated[int, "images of the gallery that were the queries"]


@exact
class NearImage(TypedDict):
    """One of the nearest images."""

    rank: Annotated[int, "from 1"]
    similarity: Annotated[float, "cosine, -1 … 1"]
    path: Annotated[str, "below `gallery.folder`"]


@exact
class StaleImage(TypedDict):
    """An image of a gallery that changed since it was embedded."""

    path: Annotated[str, "below `gallery.folder`"]
    why: Annotated[str, "changed, gone, or why it can't be read"]


@exact
class Answered(TypedDict):
    """The images nearest to a query."""

    query: str
    gallery: Annotated[Embedded, "as in `zoo embed`, without `file`"]
    nearest: list[NearImage]
    sheet: Annotated[str, "the picture that was drawn"]
    checked: Annotated[bool, "false: the gallery's folder is not here, so changed images can't be detected"]
    stale: Annotated[list[StaleImage], "images left out since they changed after embedding; by path"]
    recall: Annotated[
        float | None, "with `--index`: queries whose nearest image is found, %; null: every image was compared"
    ]


@exact
class Serving(TypedDict):
    """A server that has started; printed once, before the first request is answered."""

    url: str
    process: Annotated[int, "its id, to send SIGTERM to"]
    release: Label
    target: str
    precision: str
    runtime: str
    artifact_sha256: Annotated[str, "digest of the artifact, as in a gallery and an index"]
    dimension: Annotated[int, "components of an embedding"]


@exact
class CompiledRow(TypedDict):
    """One artifact."""

    network: Network
    precision: Precision
    latency: Annotated[list[Latency], AS_MEASURED]
    ratios: Annotated[list[Ratio], AS_MEASURED]
    size_bytes: int


@exact
class RefusedRow(TypedDict):
    """A graph that the runtime refused."""

    network: Network
    precision: Precision
    reason: str


@exact
class Compiled(TypedDict):
    """The result of a bundle on this machine."""

    bundle: str
    result: Annotated[str, "the file to copy back"]
    release: Label
    target: str
    measured_at: Moment
    device: Annotated[Device, AS_MEASURED]
    runtime: Annotated[Runtime, AS_MEASURED]
    threads: int
    conditions: Annotated[Conditions, AS_MEASURED]
    rows: list[CompiledRow]
    widths: Annotated[list[WidthFigures], "one per network, for a bundle of widths; `rows` is empty then"]
    broken: list[RefusedRow]


@exact
class Received(TypedDict):
    """A bundle's result that was received, or measurements that somebody sent."""

    release: Label
    target: Annotated[str | None, "of a bundle's result; null for measurements"]
    command: Annotated[str, "command that records the result, or publishes the measurements"]
    by: Annotated[str | None, "who sent measurements, in their own words"]
    added: Annotated[list[MeasurementJson], "measurements that were not here"]
    kept: Annotated[bool, "whether anything was written; false with `--dry-run`, and if there is nothing new"]
    known: Annotated[int, "how many measurements were here already"]
    notes: Annotated[list[str], "what to know about the measurements, such as times that do not count"]


@exact
class Samples(TypedDict):
    """Sample pictures that were written."""

    folder: str
    pictures: Annotated[list[str], "paths, the queries first"]


@exact
class Usable(TypedDict):
    """The machine, the home, training, then each target."""

    name: Annotated[str, "`machine`, `home`, `training` or a target"]
    usable: bool
    what: Annotated[str, "what is available, or why it can't be used"]
    mend: Annotated[str, "how to fix it; otherwise empty"]


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
class Added(TypedDict):
    """Measurements made and kept here."""

    release: Label
    added: list[MeasurementJson]
    exported: Annotated[str | None, "file for the release's publisher; null without `--export`"]


@exact
class VerdictOfArtifact(TypedDict):
    """Whether an artifact agrees on an emulated machine."""

    target: str
    precision: Precision
    agrees: Annotated[bool, "exit code 4 if one is false"]
    why: Annotated[str, "what is wrong; otherwise empty"]


@exact
class Checked(TypedDict):
    """A release on an emulated machine."""

    release: Label
    arch: Literal["arm64"]
    cpu: Annotated[str, "the emulated processor"]
    verdicts: list[VerdictOfArtifact]
    added: Annotated[list[MeasurementJson], "records of what returned embeddings"]


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
class SiteWritten(TypedDict):
    """A site that was written."""

    site: Annotated[str, "its folder"]
    pages: int
    releases: int
    measurements: Annotated[int, "rows of its tables"]
    files: int
    size_bytes: int
    not_shown: Annotated[dict[str, str], "why a release can't be read, by NAME@VERSION"]


@exact
class Cleaned(TypedDict):
    """Results of stages that nothing needs."""

    store: Annotated[str, "folder"]
    dry_run: Annotated[bool, "true: nothing was removed"]
    results: Annotated[list[str], "STAGE/KEY"]
    unfinished: Annotated[list[str], "folders left by interrupted stages"]
    size_bytes: Annotated[int, "disk space that they take"]


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


COMMANDS: Mapping[str, Any] = {
    "add": ReleaseAndFigures,
    "add --plan": Plan,
    "bench": Added,
    "build": ReleaseAndFigures,
    "build --plan": Plan,
    "check": Checked,
    "clean": Cleaned,
    "compare": Compared,
    "compile": Compiled,
    "data": DataOverview,
    "diff": Changes,
    "doctor": list[Usable],
    "embed": EmbeddedFile,
    "export": Exported,
    "gc": Collected,
    "index": Indexed,
    "list": Listed,
    "migrate": Migration,
    "publish": PublishedRelease,
    "pull": ReleaseAndFigures,
    "query": Answered,
    "receive": Received,
    "samples": Samples,
    "search": Compared,
    "serve": Serving,
    "show": ReleaseAndFigures,
    "site": SiteWritten,
    "verify": Verified,
    "weights": WeightsListed,
    "weights fetch": list[WeightsFetched],
    "yank": Yanked,
}
"""By the words after `zoo`."""
