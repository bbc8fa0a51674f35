"""The `modelCard` of a release in its SBOM, as CycloneDX 1.6 defines it.

Source: https://cyclonedx.org/docs/1.6/json/#metadata_component_modelCard. There the values of metrics are text.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pipeline.data.images import Input
from pipeline.retrieval.accuracy import Accuracy
from pipeline.retrieval.agreement import Agreement
from zoo.documents.limits import limits
from zoo.documents.origins import RISKS, USE_CASES, hub_models
from zoo.release.manifest import Manifest
from zoo.release.measurements import Estimated, Measured, Measurement
from zoo.tables.columns import number

TASK = "image-feature-extraction"  # as in README.md
FAMILIES = {"vision_transformer": "vision transformer", "deit": "vision transformer"}  # by timm's module
ACCURACY = {"map": "mAP %", "cmc1": "R1 %"}
LOSS = "mAP lost against torch, points"
Metric = dict[str, Any]


def _figures(accuracy: Accuracy, where: str) -> Iterator[Metric]:
    for key, name in ACCURACY.items():
        yield {"type": name, "value": f"{getattr(accuracy, key):.2f}", "slice": f"{where}; {accuracy.protocol}"}


def _loss(agreement: Agreement, where: str) -> Metric:
    loss: Metric = {"type": LOSS, "value": number(2)(agreement.map_drop_points), "slice": where}
    if agreement.map_drop_interval:
        low, high = agreement.map_drop_interval
        loss["confidenceInterval"] = {"lowerBound": number(2)(low), "upperBound": number(2)(high)}
    return loss


def _metrics(manifest: Manifest, measurements: Sequence[Measurement]) -> Iterator[Metric]:
    """mAP and R1 of each network in torch, then of each precision on each device; estimates are called so."""
    test = f"test identities of {manifest.data.name}"
    accuracy = manifest.accuracy
    own = "foreign network" if manifest.foreign else "student"
    for network, figures in (("teacher", accuracy.teacher), (own, accuracy.student)):
        if figures:
            yield from _figures(figures, f"{network} in {manifest.reference}; {test}")
    for one in measurements:
        if not isinstance(one, Measured | Estimated):
            continue
        data = test if one.data == manifest.data.fingerprint else f"other data, {one.data}"
        where = f"{one.network} {one.precision} on {one.target}; {data}"
        if isinstance(one, Estimated):
            yield {"type": "mAP %, estimated", "value": f"{one.map:.2f}", "slice": where}
        else:
            where = f"{where}; {one.device.name}, {one.measured_at}"
            yield from _figures(one.accuracy, where) if one.accuracy else ()
        if one.agreement:
            yield _loss(one.agreement, where)


def _family(architecture: str) -> str | None:
    """The family of a timm architecture, by the module that defines it."""
    import timm

    if not timm.is_model(architecture):
        return None
    module = timm.models.model_entrypoint(architecture.partition(".")[0]).__module__.rpartition(".")[2]
    return FAMILIES.get(module, f"convolutional neural network, timm's {module}")


def _parameters(manifest: Manifest, size: Input, data: str) -> Mapping[str, Any]:
    network: Mapping[str, Any] = manifest.recipe.get("network", {})
    architecture = str(network.get("architecture", ""))
    said = {
        "architectureFamily": _family(architecture) if architecture else None,
        "modelArchitecture": f"{architecture}, pruned channel by channel" if architecture else None,
    }
    length = f", D = {network['embedding']}" if "embedding" in network else ""
    return {
        **({} if manifest.foreign else {"approach": {"type": "supervised"}}),
        "task": TASK,
        **{key: value for key, value in said.items() if value},
        **({} if manifest.foreign else {"datasets": [{"ref": data}]}),  # CycloneDX: "used to train"
        "inputs": [{"format": f"image: uint8 RGB, N×{size.height}×{size.width}×3; normalised inside the graph"}],
        "outputs": [{"format": f"embedding: float32 N×D{length}, rows of length 1"}],
    }


def _trade(manifest: Manifest) -> Iterator[str]:
    """What compaction cost; nothing for a foreign network."""
    compression, teacher = manifest.compression, manifest.accuracy.teacher
    if compression and teacher:
        yield (
            f"{compression.after.macs / compression.teacher.macs:.1%} of the teacher's MACs and "
            f"{compression.after.parameters / compression.teacher.parameters:.1%} of its parameters; mAP in torch: "
            f"{teacher.map:.2f} % (teacher), {manifest.accuracy.student.map:.2f} % (this network)."
        )


def model_card(manifest: Manifest, measurements: Sequence[Measurement], size: Input, data: str) -> dict[str, Any]:
    """The object `modelCard` of the component.

    Args:
        size: input size of the graph.
        data: `bom-ref` of the data set in the same bill.
    """
    file = manifest.foreign
    properties = [
        {"name": "zoo:base-model", "value": f"https://huggingface.co/{name}"} for name in hub_models(manifest)
    ]
    if file:
        told = {"sha256": file.sha256, "file": file.file, "source": file.source, "trained-on": file.trained_on}
        properties += [{"name": f"zoo:foreign:{key}", "value": value} for key, value in told.items() if value]
    return {
        "modelParameters": _parameters(manifest, size, data),
        "quantitativeAnalysis": {"performanceMetrics": [*_metrics(manifest, measurements)]},
        "considerations": {
            "useCases": [*USE_CASES],
            "technicalLimitations": limits(manifest, measurements),
            **({"performanceTradeoffs": trade} if (trade := [*_trade(manifest)]) else {}),
            "ethicalConsiderations": [{"name": one.name, "mitigationStrategy": one.mitigation} for one in RISKS],
        },
        **({"properties": properties} if properties else {}),
    }
