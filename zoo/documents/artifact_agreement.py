"""How near the embeddings of each compiled artifact are to those of the network in float.

The gate looks at mAP only, which int8 can keep and still move every embedding. Whoever searches a gallery that another
artifact embedded notices that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.retrieval.agreement import Agreement
from targets.settings import Precision
from zoo.release.manifest import Manifest
from zoo.release.measurements import Measured, Measurement


@dataclass(frozen=True)
class ArtifactAgreement:
    """Agreement of a compiled artifact with the network in torch, or of a foreign one with its graph in fp32.

    Attributes:
        where: the images, and what embedded them, in words.
    """

    target: str
    precision: Precision
    agreement: Agreement
    where: str


def _of(
    target: str, precision: Precision, manifest: Manifest, measurements: Sequence[Measurement]
) -> ArtifactAgreement | None:
    for record in reversed(measurements):  # the newest first
        if (
            isinstance(record, Measured)
            and record.agreement
            and record.data == manifest.data.fingerprint
            and (record.target, record.network, record.precision) == (target, "student", precision)
        ):
            return ArtifactAgreement(target, precision, record.agreement, f"the test set, on {record.device.name}")
    for one in manifest.calibrations:
        if one.target in (None, target) and (one.network, one.precision) == ("student", precision):
            images = "the gate's images" if manifest.data.gate_identities else "the test set"
            return ArtifactAgreement(target, precision, one.agreement, f"{images}, calibrated graph in {one.judge}")
    return None


def artifact_agreements(manifest: Manifest, measurements: Sequence[Measurement]) -> list[ArtifactAgreement]:
    """Of each compiled artifact, as measured on its device with the release's test set; until then, as its graph was
    calibrated.

    Artifacts of which neither is known are left out.

    Args:
        measurements: in the order of time.
    """
    compiled = dict.fromkeys((one.target, one.precision) for one in manifest.artifacts if one.target)
    found = [_of(target, precision, manifest, measurements) for target, precision in compiled if target]
    return [one for one in found if one]
