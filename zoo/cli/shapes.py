"""What `--json` and `--events` print, key by key. Tests hold every command to it; docs/scripts.md is made of it.

Keys may be added; none goes, and none changes its meaning, before a new major version. A text beside a type says what
is not in its name. Only type checkers, tests and the documentation read this module: commands make plain dictionaries.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, with_config
from typing_extensions import TypedDict

from targets.conditions import Conditions
from targets.device import Device
from targets.latency import Latency
from targets.ratio import Ratio
from targets.settings import Precision
from zoo.manifest import Manifest
from zoo.measurements import Runtime, from_bytes

exact = with_config(ConfigDict(extra="forbid"))
Json = dict[str, Any]


def _measurement(record: Json) -> Json:
    from zoo.cli.json_text import as_text

    from_bytes(as_text(record).encode(), "")
    return record


def _manifest(record: Json) -> Json:
    Manifest.model_validate(record)
    return record


ManifestJson = Annotated[Json, AfterValidator(_manifest), "[manifest.schema.json](manifest.schema.json)"]
MeasurementJson = Annotated[Json, AfterValidator(_measurement), "[measurement.schema.json](measurement.schema.json)"]
AS_ROWS = (
    "as in all `rows`: `data`, `protocol`, `queries`, `gallery`, `device`, `architecture`, `cores`, `unit`, "
    "`power_mode`, `threads`, `batch`, `throughput_batch`, `timer`"
)
AS_MEASURED = "as in [measurement.schema.json](measurement.schema.json)"
Label = Annotated[str, "NAME@VERSION"]
Network = Literal["teacher", "student"]
Moment = Annotated[str, "ISO 8601, UTC"]


@exact
class ReleaseAndFigures(TypedDict):
    """A release, and what is known of it here."""

    manifest: ManifestJson
    measurements: list[MeasurementJson]


@exact
class PlannedStep(TypedDict):
    """The steps of a build, in order."""

    step: str
    key: Annotated[str, "digest of all that the result depends on"]
    runs: Annotated[bool, "false: its result stands"]
    reason: Annotated[str | None, "why it runs; null if it does not"]


@exact
class ReleaseRow(TypedDict):
    """A release in a list; figures are those of the student in torch."""

    model: Label
    data: Annotated[str, "name of the data set"]
    map: Annotated[float, "mean average precision, %"]
    cmc1: Annotated[float, "rank 1, %"]
    parameters: int
    macs: Annotated[int, "of one image"]
    macs_saved: Annotated[float, "by compaction, %"]
    targets: Annotated[list[str], "ends in ` (pending)` where a target waits for its device"]
    created_at: Moment


@exact
class Listed(TypedDict):
    """All models."""

    built: list[ReleaseRow]
    not_built: Annotated[dict[str, str], "description, by name of the model"]


@exact
class MeasurementRow(TypedDict):
    """One artifact on one device. A time or an energy of a throttled run is null, and `void` says why."""

    model: Label
    target: str
    network: Network
    precision: Precision
    ships: Annotated[bool, "whether it is what the build kept for the target"]
    map_float: Annotated[float | None, "mAP in torch, %; null under another protocol"]
    map: Annotated[float | None, "mAP of the artifact, %; null, as all of accuracy, where there was no data set"]
    cmc1: Annotated[float | None, "rank 1, %"]
    parameters: int
    macs: Annotated[int, "of one image"]
    size_bytes: int
    p50_ms: Annotated[float | None, "median time of a call at `batch`"]
    p90_ms: Annotated[float | None, "null below 44 calls"]
    p99_ms: Annotated[float | None, "null below 459 calls"]
    images_per_second: Annotated[float | None, "at `throughput_batch`"]
    mj_per_image: Annotated[float | None, "millijoules; null where nothing meters"]
    ratio_to_dense: Annotated[float | None, "the dense network's time ÷ this one's, in one run at `batch`"]
    name: Annotated[str, "`model` without its version"]
    dataset: Annotated[str | None, "name of the data set; null if it is not the release's own"]
    map_drop_points: Annotated[float | None, "mAP that the artifact lost against torch, in points of per cent"]
    compute_p50_ms: Annotated[float | None, "without copies, by the runtime's clock; null where it has none"]
    ratio_low: Annotated[float | None, "end of the 95 % interval"]
    ratio_high: Annotated[float | None, "end of the 95 % interval"]
    batch: Annotated[int, "images in a call"]
    throughput_batch: Annotated[int, "images in a call"]
    calls: Annotated[int, "that were timed at `batch`"]
    steady: Annotated[bool, "whether times settled"]
    void: Annotated[str | None, "what throttled the machine"]
    meter: Annotated[str | None, "what metered energy"]
    kind: Literal["measured"]
    device: str
    architecture: Annotated[str, "of the processor, such as `x86_64`"]
    cores: Annotated[int, "that could be used"]
    unit: Annotated[str, "what computed: `CPU`, `GPU`"]
    power_mode: Annotated[str | None, "null where the machine has none"]
    threads: int
    runtime: Annotated[str, "with its version"]
    timer: Annotated[str, "what is inside the time"]
    data: Annotated[str | None, "fingerprint of the data set"]
    protocol: Annotated[str | None, "of accuracy, in words"]
    queries: Annotated[int | None, "that count"]
    gallery: Annotated[int | None, "images"]
    run: Annotated[str, "what was timed in turn has the same"]
    measured_at: Moment


@exact
class Protocol(TypedDict):
    """What is equal in all rows of a table."""

    data: str | None
    protocol: str | None
    queries: int | None
    gallery: int | None
    device: str
    architecture: str
    cores: int
    unit: str
    power_mode: str | None
    threads: int
    batch: int
    throughput_batch: int
    timer: str


@exact
class Table(TypedDict):
    """Rows that compare."""

    protocol: Annotated[Protocol, AS_ROWS]
    rows: list[MeasurementRow]
    best: Annotated[dict[str, list[int]], "places in `rows` that are best of what ships, by column"]


@exact
class PendingRow(TypedDict):
    """A target that waits for its device."""

    model: Label
    target: str
    kind: Literal["pending"]
    bundle: Annotated[str, "name of the archive that has to run there"]
    bundle_sha256: str


@exact
class EstimatedRow(TypedDict):
    """Accuracy that is expected where it was not measured yet."""

    model: Label
    target: str
    kind: Literal["estimated"]
    network: Network
    precision: Precision
    data: Annotated[str, "fingerprint of the data set"]
    map: Annotated[float, "mAP that is expected, %"]
    map_drop_points: Annotated[float, "mAP that is lost against torch, in points of per cent"]
    method: Annotated[str, "how, in words"]


@exact
class BrokenRow(TypedDict):
    """A precision that can't be had on a target."""

    model: Label
    target: str
    kind: Literal["broken"]
    network: Network
    precision: Precision
    reason: str
    runtime: Annotated[Runtime | None, "what refused it; null if there was no graph to give it"]
    found_at: Moment


@exact
class Compared(TypedDict):
    """Tables of what was measured, one for each protocol; and, never in a table, what was not."""

    tables: list[Table]
    apart: Annotated[str | None, "why there is more than one table; null if there is not"]
    estimated: list[EstimatedRow]
    pending: list[PendingRow]
    broken: list[BrokenRow]


@exact
class ChangeRow(TypedDict):
    """One figure of one artifact."""

    target: str
    device: str
    precision: Precision
    ships: bool
    figure: Literal["map", "p50_ms", "images_per_second"]
    before: Annotated[float | None, "null where it is void or was not measured"]
    after: Annotated[float | None, "null where it is void or was not measured"]
    change: Annotated[float | None, "of `map` in points, else in % of `before`"]
    why: Annotated[str, "what makes it unsure; else empty"]


@exact
class Changes(TypedDict):
    """What changed from one release to another; in each list the largest change first."""

    before: Label
    after: Label
    map_points: Annotated[float, "tolerance"]
    latency_percent: Annotated[float, "tolerance"]
    only_before: Annotated[list[str], "what only this one was measured in: PRECISION on TARGET, DEVICE"]
    only_after: list[str]
    regressions: Annotated[list[ChangeRow], "exit code 4 if there are any"]
    improvements: list[ChangeRow]
    unsure: list[ChangeRow]
    unchanged: list[ChangeRow]


@exact
class SkippedImage(TypedDict):
    """An image that could not be read."""

    path: str
    why: str


@exact
class Embedded(TypedDict):
    """A gallery, and what embedded it."""

    model: Label
    target: str
    precision: str
    runtime: str
    folder: Annotated[str, "absolute; paths are below it"]
    images: Annotated[int, "how many were embedded"]
    dimension: Annotated[int, "numbers of an embedding"]
    skipped: Annotated[list[SkippedImage], "what could not be read; empty where the gallery came from a file"]


@exact
class EmbeddedFile(Embedded):
    """A gallery, and where it was written."""

    file: Annotated[str, "what was written"]


@exact
class NearImage(TypedDict):
    """One of the nearest images."""

    rank: Annotated[int, "from 1"]
    similarity: Annotated[float, "cosine, -1 … 1"]
    path: Annotated[str, "below `gallery.folder`"]


@exact
class Answered(TypedDict):
    """What is nearest to an image."""

    query: str
    gallery: Annotated[Embedded, "as of `zoo embed`, without `file`"]
    nearest: list[NearImage]
    sheet: Annotated[str, "the picture that was drawn"]


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
    """One graph that the runtime refused."""

    network: Network
    precision: Precision
    reason: str


@exact
class Compiled(TypedDict):
    """What a bundle came to on this machine."""

    bundle: str
    result: Annotated[str, "the file to take back"]
    release: Label
    target: str
    measured_at: Moment
    device: Annotated[Device, AS_MEASURED]
    runtime: Annotated[Runtime, AS_MEASURED]
    threads: int
    conditions: Annotated[Conditions, AS_MEASURED]
    rows: list[CompiledRow]
    broken: list[RefusedRow]


@exact
class Received(TypedDict):
    """A result that was taken in."""

    release: Label
    target: str
    command: Annotated[str, "what records it"]


@exact
class Usable(TypedDict):
    """The machine, the home, training, then each target."""

    name: Annotated[str, "`machine`, `home`, `training` or a target"]
    usable: bool
    what: Annotated[str, "what is there, or why it can't be used"]
    mend: Annotated[str, "what to do about it; else empty"]


@exact
class PublishedRelease(TypedDict):
    """What became of publishing."""

    release: Label
    registry: Annotated[str, "URL or folder"]
    new: Annotated[bool, "false: it was there already"]
    measurements: Annotated[int, "how many were added"]
    signed: Annotated[bool, "whether a signature was added"]


@exact
class FigureAgain(TypedDict):
    """A figure, as it was published and as it is here."""

    target: str
    precision: Precision
    figure: Annotated[str, "`cosine` to the golden embedding; else a key of `MeasurementRow`"]
    published: Annotated[float | None, "null where it was not; a cosine never is"]
    here: Annotated[float | None, "null where it was not measured"]
    low: Annotated[float | None, "end of what is within tolerance"]
    high: Annotated[float | None, "end of what is within tolerance"]
    verdict: Annotated[Literal["within", "outside", "not judged"], "exit code 4 if one is outside"]
    why: Annotated[str, "what keeps it from being judged; else empty"]


@exact
class Verified(TypedDict):
    """What a check of every byte found."""

    release: Label
    damage: Annotated[list[str], "a line each; exit code 4 if there is any"]
    missing: Annotated[list[str], "files that were not pulled"]
    signed_by: Annotated[list[str], "trusted keys whose signature holds"]
    figures: Annotated[list[FigureAgain] | None, "null without `--measure`, or if there is damage"]


@exact
class Added(TypedDict):
    """What was measured here and kept."""

    release: Label
    added: list[MeasurementJson]


@exact
class Yanked(TypedDict):
    """A release that was hidden or is shown again."""

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


COMMANDS: Mapping[str, Any] = {
    "bench": Added,
    "build": ReleaseAndFigures,
    "build --plan": list[PlannedStep],
    "compare": Compared,
    "compile": Compiled,
    "diff": Changes,
    "doctor": list[Usable],
    "embed": EmbeddedFile,
    "gc": Collected,
    "list": Listed,
    "publish": PublishedRelease,
    "pull": ReleaseAndFigures,
    "query": Answered,
    "receive": Received,
    "search": Compared,
    "show": ReleaseAndFigures,
    "verify": Verified,
    "yank": Yanked,
}
"""By what is typed behind `zoo`."""


@exact
class Said(TypedDict):
    """Words for people; they may change."""

    event: Literal["said"]
    time: Moment
    text: str


@exact
class Began(TypedDict):
    """Something that advances begins; `name` tells it from what is under way beside it."""

    event: Literal["began"]
    time: Moment
    name: str
    total: Annotated[int, "steps"]
    done: Annotated[int, "steps; more than 0 where it goes on"]


@exact
class Advanced(TypedDict):
    """It came so far: at most five a second, and always the last step."""

    event: Literal["advanced"]
    time: Moment
    name: str
    total: int
    done: int
    figures: Annotated[dict[str, float | None], "as of now, such as `loss`; null for what is no finite number"]


@exact
class Ended(TypedDict):
    """It ended or was broken off, and was last told to be so far."""

    event: Literal["ended"]
    time: Moment
    name: str
    total: int
    done: int


@exact
class Figures(TypedDict):
    """Figures that stay, such as those of an epoch."""

    event: Literal["figures"]
    time: Moment
    title: str
    figures: Annotated[dict[str, float | None], "null for what is no finite number"]


@exact
class Result(TypedDict):
    """The last line: it is done."""

    event: Literal["result"]
    time: Moment
    result: Annotated[Any, "what `--json` prints"]


@exact
class Error(TypedDict):
    """The last line: it is not, and standard error has the same text."""

    event: Literal["error"]
    time: Moment
    message: str
    exit_code: int


EVENTS: Mapping[str, Any] = {
    "said": Said,
    "began": Began,
    "advanced": Advanced,
    "ended": Ended,
    "figures": Figures,
    "result": Result,
    "error": Error,
}
