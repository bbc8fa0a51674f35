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
from zoo.cli.shapes.registries import Collected, Migration, PublishedRelease, Verified, Yanked
from zoo.cli.shapes.tables import Changes, Compared
from zoo.cli.shapes.use import Answered, EmbeddedFile, Indexed, Samples, Serving
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
    command: Annotated[str, "command that takes the result into the build, or publishes the measurements"]
    by: Annotated[str | None, "who sent measurements, in their own words"]
    added: Annotated[list[MeasurementJson], "measurements that were not here"]
    kept: Annotated[bool, "whether anything was written; false with `--dry-run`, and if there is nothing new"]
    known: Annotated[int, "how many measurements were here already"]
    notes: Annotated[list[str], "what to know about the measurements, such as times that do not count"]


@exact
class Usable(TypedDict):
    """The machine, the home, training, then each target."""

    name: Annotated[str, "`machine`, `home`, `training` or a target"]
    usable: bool
    what: Annotated[str, "what is available, or why it can't be used"]
    mend: Annotated[str, "how to fix it; otherwise empty"]


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
