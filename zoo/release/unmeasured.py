"""Records without times: what was estimated, emulated, is pending, or is broken."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from pydantic import Field

from pipeline.retrieval.accuracy import Accuracy
from pipeline.retrieval.agreement import Agreement
from targets.contract import Runtime
from targets.machine.device import Device
from targets.settings import Precision
from zoo.release.record import Name, Record, Sha256

LONGEST = 200  # characters of a description


class About(Record):
    """What every record of a release tells."""

    schema_version: Literal[1] = Field(1, description="version of this format; a reader refuses newer ones")
    release: str = Field(description="name@version; identifies the release wherever the record lies")
    target: Name = Field(description="target in the catalogue: a runtime on a device; to group records")


class Cell(About):
    """A network in a precision on a target."""

    network: Literal["teacher", "student"] = Field(
        description="the student ships; the teacher is the dense network, as baseline"
    )
    precision: Precision = Field(description="numeric precision of the artifact")


class Estimated(Cell):
    """Expected accuracy on a target whose device has not run yet. Times are never estimated."""

    kind: Literal["estimated"] = Field("estimated", description="keeps measured and estimated figures apart")
    data: str = Field(description="fingerprint of the data set; accuracies on others do not compare")
    map: float = Field(description="expected mean average precision, %; whether the bundle is worth running")
    agreement: Agreement = Field(description="agreement with torch, where it was estimated; the expected cost")
    method: str = Field(description="method, in words; how far to trust it")


class Emulated(Cell):
    """An artifact that ran on an emulated processor, compared with what it computes on a real one of another kind. An
    emulated processor has no times of its own, so there is no field for one.
    """

    kind: Literal["emulated"] = Field("emulated", description="keeps what ran on a device apart from what did not")
    agrees: bool = Field(
        description="whether all of its embeddings are near enough: differences up to 1e-4 in fp32, cosines from 0.999 "
        "below, and the golden embedding's own limit"
    )
    device: Literal["arm64 (emulated)"] = Field("arm64 (emulated)", description="what was emulated; it is no device")
    cpu: str = Field(
        max_length=LONGEST, description="the processor; runtimes choose kernels by it, so that another may differ"
    )
    emulator: str = Field(max_length=LONGEST, description="the emulator and its version; what to suspect of an error")
    system: str = Field(max_length=LONGEST, description="C library and Python there; which wheels were taken")
    runtime: Runtime = Field(description="the runtime there, of the same version as the one it is compared with")
    artifact_sha256: Sha256 = Field(description="digest of the artifact, or of the graph that was compiled there")
    compared_with: Device = Field(description="the machine whose embeddings it agrees with; int8 kernels differ by it")
    data: str | None = Field(description="fingerprint of the data set of the sample; null if it was not there")
    images: int = Field(ge=1, description="images that both embedded: the golden input and a sample of the test set")
    largest_difference: float = Field(
        ge=0, description="largest difference of a number in two embeddings of length 1; decides in fp32"
    )
    min_cosine: float = Field(description="smallest cosine of an image's two embeddings; decides in fp16 and int8")
    mean_cosine: float = Field(description="mean of these cosines; how near they usually are")
    accuracy: Accuracy | None = Field(
        description="accuracy of the emulated artifact; null for a sample, among whose few images it tells little"
    )
    accuracy_here: Accuracy | None = Field(
        description="accuracy on `compared_with`, of the same images; what a difference is worth"
    )
    golden_cosine: float = Field(description="cosine to the release's golden embedding; the check of every device")
    checked_at: str = Field(description="UTC, ISO 8601; which of two records is newer")

    @property
    def words(self) -> str:
        """What came of it, in words."""
        images = f"{self.images} image{'s' * (self.images != 1)}"
        told = (
            f"{self.device}, {self.cpu}: {'agrees with' if self.agrees else 'differs from'} "
            f"{self.compared_with.architecture} on {images}, smallest cosine {self.min_cosine:.5f}, largest difference "
            f"{self.largest_difference:.1e}"
        )
        if self.accuracy is None or self.accuracy_here is None:
            return told
        here = f"{self.accuracy_here.map:.2f} on {self.compared_with.architecture}"
        return f"{told}; mAP {self.accuracy.map:.2f} emulated, {here}"


class Broken(Cell):
    """A precision that a target does not support."""

    kind: Literal["broken"] = Field("broken", description="tells a known failure from a gap")
    reason: str = Field(max_length=4000, description="error of the runtime; what would have to change")
    runtime: Runtime | None = Field(
        description="the runtime that refused it, since another version may not; null if there was no graph to compile"
    )
    found_at: str = Field(description="UTC, ISO 8601; whether another try is worthwhile")


class Pending(About):
    """A target whose device has not run yet, with the bundle to run there."""

    kind: Literal["pending"] = Field("pending", description="tells a target that is waiting from a gap")
    bundle: str = Field(description="file name of the archive; what to copy to the device")
    bundle_sha256: Sha256 = Field(description="digest of the archive; that it was built for this release")


def newest_emulated(records: Iterable[object]) -> list[Emulated]:
    """The newest emulated record of each artifact, processor and runtime."""
    found: dict[tuple[str, ...], Emulated] = {}
    for one in (one for one in records if isinstance(one, Emulated)):
        key = one.target, one.network, one.precision, one.cpu, one.runtime.version
        if key not in found or one.checked_at >= found[key].checked_at:
            found[key] = one
    return [*found.values()]
