"""Figures of releases, side by side."""

from __future__ import annotations

from typing import Annotated, Literal

from typing_extensions import TypedDict

from targets.contract import Runtime
from targets.settings import Precision
from zoo.cli.shapes.parts import AS_ROWS, Label, Moment, Network, exact


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
    p90_ms: Annotated[float | None, "a point estimate; null below 44 calls"]
    p99_ms: Annotated[float | None, "a point estimate; null below 459 calls"]
    images_per_second: Annotated[float | None, "at `throughput_batch`"]
    mj_per_image: Annotated[float | None, "millijoules; null where nothing meters"]
    ratio_to_dense: Annotated[
        float | None, "the dense network's time ÷ this one's, in one run at `batch`; null if one is not steady"
    ]
    name: Annotated[str, "`model` without its version"]
    dataset: Annotated[str | None, "name of the data set; null if it is not the release's own"]
    map_drop_points: Annotated[float | None, "mAP that the artifact lost against torch, in points of per cent"]
    compute_p50_ms: Annotated[float | None, "without copies, by the runtime's clock; null where it has none"]
    ratio_low: Annotated[float | None, "end of the 95 % interval"]
    ratio_high: Annotated[float | None, "end of the 95 % interval"]
    batch: Annotated[int, "images in a call"]
    throughput_batch: Annotated[int, "images in a call"]
    calls: Annotated[int, "that were timed at `batch`"]
    steady: Annotated[bool, "whether times settled, on a machine that did nothing else"]
    doubt: Annotated[str | None, "why times make no claims, where they were not steady"]
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
