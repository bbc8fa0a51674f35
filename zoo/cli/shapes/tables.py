"""Figures of releases in tables."""

from __future__ import annotations

from typing import Annotated, Literal

from typing_extensions import TypedDict

from targets.contract import Runtime
from targets.settings import Precision
from zoo.cli.shapes.common import AS_ROWS, Label, Moment, Network, exact


@exact
class MeasurementRow(TypedDict):
    """One artifact on one device. A time or an energy of a throttled run is null, and `void` says why."""

    model: Label
    target: str
    network: Network
    precision: Precision
    ships: Annotated[bool, "whether the build chose it for the target"]
    map_float: Annotated[float | None, "mAP in torch, %; null under another protocol"]
    map: Annotated[float | None, "mAP of the artifact, %; null without the data set, as is all accuracy"]
    cmc1: Annotated[float | None, "rank 1, %"]
    parameters: int
    macs: Annotated[int, "of one image"]
    size_bytes: int
    p50_ms: Annotated[float | None, "median time of a call at `batch`"]
    p90_ms: Annotated[float | None, "a point estimate; null below 44 calls"]
    p99_ms: Annotated[float | None, "a point estimate; null below 459 calls"]
    images_per_second: Annotated[float | None, "at `throughput_batch`"]
    mj_per_image: Annotated[float | None, "millijoules; null without a meter"]
    ratio_to_dense: Annotated[
        float | None, "time of the dense network ÷ time of this one, in one run at `batch`; null if one is unsteady"
    ]
    name: Annotated[str, "`model` without its version"]
    dataset: Annotated[str | None, "name of the data set; null if it is not the release's own"]
    license: Annotated[str, "of the weights"]
    data_license: Annotated[str, "of the training images"]
    foreign: Annotated[bool, "whether zoo did not train the network; `network` is then `student`"]
    map_drop_points: Annotated[float | None, "mAP lost by the artifact against torch, in percentage points"]
    map_drop_low: Annotated[float | None, "lower end of its 95 % interval; null for one identity, too"]
    map_drop_high: Annotated[float | None, "upper end"]
    compute_p50_ms: Annotated[float | None, "without copies, by the runtime's clock; null if it has none"]
    ratio_low: Annotated[float | None, "lower end of the 95 % interval"]
    ratio_high: Annotated[float | None, "upper end of the 95 % interval"]
    batch: Annotated[int, "images per call for p50, p90 and p99"]
    throughput_batch: Annotated[int, "images per call for `images_per_second`"]
    calls: Annotated[int, "number of timed calls at `batch`"]
    steady: Annotated[bool, "whether times settled, on an otherwise idle machine"]
    doubt: Annotated[str | None, "why times are unreliable, if they are"]
    void: Annotated[str | None, "what throttled the machine"]
    meter: Annotated[str | None, "the energy meter"]
    kind: Literal["measured"]
    device: str
    architecture: Annotated[str, "of the processor, such as `x86_64`"]
    cores: Annotated[int, "usable cores"]
    unit: Annotated[str, "processor: `CPU`, `GPU`"]
    power_mode: Annotated[str | None, "null if the machine has none"]
    threads: int
    runtime: Annotated[str, "with its version"]
    timer: Annotated[str, "what the time includes"]
    data: Annotated[str | None, "fingerprint of the data set"]
    protocol: Annotated[str | None, "of accuracy, in words"]
    queries: Annotated[int | None, "queries that count"]
    gallery: Annotated[int | None, "images"]
    run: Annotated[str, "id of the run; figures of one run were timed in turn"]
    measured_at: Moment
    reported_by: Annotated[str | None, "who sent the measurement, in their own words; null for the publisher's own"]
    standing: Annotated[
        Literal["reported", "repeated"] | None,
        "whether the publisher repeated a measurement that was sent; null for the publisher's own",
    ]


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
    """Comparable rows."""

    protocol: Annotated[Protocol, AS_ROWS]
    rows: list[MeasurementRow]
    best: Annotated[dict[str, list[int]], "indices in `rows` of the best that ship, by column"]


@exact
class PendingRow(TypedDict):
    """A target whose device has not run yet."""

    model: Label
    target: str
    kind: Literal["pending"]
    bundle: Annotated[str, "name of the archive to run there"]
    bundle_sha256: str
    command: Annotated[str, "makes the bundle, where the data set is"]


@exact
class EstimatedRow(TypedDict):
    """Estimated accuracy, where it was not measured yet."""

    model: Label
    target: str
    kind: Literal["estimated"]
    network: Network
    precision: Precision
    data: Annotated[str, "fingerprint of the data set"]
    map: Annotated[float, "expected mAP, %"]
    map_drop_points: Annotated[float, "expected loss of mAP against torch, in percentage points"]
    method: Annotated[str, "method, in words"]


@exact
class EmulatedRow(TypedDict):
    """An artifact on an emulated processor; without times, which mean nothing there."""

    model: Label
    target: str
    kind: Literal["emulated"]
    network: Network
    precision: Precision
    agrees: Annotated[bool, "with the same artifact on a processor of another kind"]
    device: Literal["arm64 (emulated)"]
    cpu: str
    emulator: str
    runtime: Annotated[Runtime, "there and here"]
    data: Annotated[str | None, "fingerprint of the data set; null with the golden input alone"]
    images: int
    largest_difference: float
    min_cosine: float
    mean_cosine: float
    golden_cosine: float
    checked_at: Moment
    how: Annotated[str, "the same, in words"]
    emulated_map: Annotated[float | None, "mAP there, %; null unless the whole test set was compared"]
    map_here: Annotated[float | None, "mAP of the same on the other processor, %"]


@exact
class BrokenRow(TypedDict):
    """A precision that a target does not support."""

    model: Label
    target: str
    kind: Literal["broken"]
    network: Network
    precision: Precision
    reason: str
    runtime: Annotated[Runtime | None, "the runtime that refused it; null if there was no graph to compile"]
    found_at: Moment


@exact
class Compared(TypedDict):
    """Tables of measured figures, one per protocol; and separately what was not measured."""

    tables: list[Table]
    apart: Annotated[str | None, "why there are several tables; null if there is one"]
    estimated: list[EstimatedRow]
    emulated: list[EmulatedRow]
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
    before: Annotated[float | None, "null if void or not measured"]
    after: Annotated[float | None, "null if void or not measured"]
    change: Annotated[float | None, "for `map` in points, otherwise in % of `before`"]
    why: Annotated[str, "why it is unsure; otherwise empty"]


@exact
class Changes(TypedDict):
    """Changes from one release to another; largest first in each list."""

    before: Label
    after: Label
    map_points: Annotated[float, "tolerance"]
    latency_percent: Annotated[float, "tolerance"]
    only_before: Annotated[list[str], "measured for this release only: PRECISION on TARGET, DEVICE"]
    only_after: list[str]
    regressions: Annotated[list[ChangeRow], "exit code 4 if there are any"]
    improvements: list[ChangeRow]
    unsure: list[ChangeRow]
    unchanged: list[ChangeRow]
