"""Selects the layers that return to float when a quantised graph loses too much accuracy.

As in accuracy-aware quantisation (OpenVINO NNCF, "Quantizing with accuracy control"): layers are ranked by the effect
on embeddings of quantising them alone, and the most sensitive return to float until the accuracy holds. The ranking
comes from calibration images; the gate decides only how many return.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np

from calibration.quantize import Quantizer

Embed = Callable[[Path, np.ndarray], np.ndarray]  # graph, uint8 N×H×W×3 → N×D of length 1
Verdict = TypeVar("Verdict")


@dataclass(frozen=True)
class Sensitivity:
    """Effect of quantising one layer alone: 1 − mean cosine to the float graph's embeddings."""

    layer: str
    loss: float


def sensitivities(
    quantizer: Quantizer, embed: Embed, images: np.ndarray, scratch: Path, tell: Callable[[], None]
) -> list[Sensitivity]:
    """All layers, most sensitive first.

    Args:
        embed: runs a graph.
        images: images on which embeddings are compared.
        tell: is called after each layer.
    """
    reference = embed(quantizer.graph, images)
    found = []
    for layer in quantizer.layers:
        quantizer.write(scratch / "one.onnx", only=layer)
        cosine = (embed(scratch / "one.onnx", images) * reference).sum(1)
        found.append(Sensitivity(layer, float(1 - cosine.mean())))
        tell()
    return sorted(found, key=lambda one: -one.loss)


@dataclass(frozen=True)
class Outcome(Generic[Verdict]):
    """The graph that was kept, its float layers, and the verdicts of the gate on it and on the graph fully in int8."""

    excluded: tuple[str, ...]
    verdict: Verdict
    before: Verdict
    holds: bool


def fall_back(
    quantizer: Quantizer,
    rank: Callable[[Verdict], Sequence[str]],
    path: Path,
    judge: Callable[[Path], Verdict],
    drop: Callable[[Verdict], float],
    most: float,
    largest: int,
) -> Outcome[Verdict]:
    """Write to `path` the graph with the fewest float layers that the gate accepts.

    The number is doubled until the gate holds, then bisected between the last failure and the first success. If the
    gate never holds, the graph with the smallest loss is kept, and the outcome says so.

    Args:
        rank: returns layers in the order in which they return to float; called once, if the fully quantised graph
        fails.
        drop, most: the loss of a verdict, and its limit.
        largest: limit on the number of float layers.
    """
    verdicts: dict[int, Verdict] = {}
    ranked: Sequence[str] = ()

    def holds(count: int) -> bool:
        quantizer.write(path, excluded=ranked[:count])
        verdicts[count] = judge(path)
        return drop(verdicts[count]) <= most

    failed, count, held = 0, 0, holds(0)
    if not held:
        ranked = rank(verdicts[0])
    while not held and count < largest:
        failed, count = count, min(2 * count or 1, largest)
        held = holds(count)
    while held and count - failed > 1:
        middle = (failed + count) // 2
        if holds(middle):
            count = middle
        else:
            failed = middle
    if not held:
        count = min(verdicts, key=lambda tried: drop(verdicts[tried]))
    if count != [*verdicts][-1]:
        quantizer.write(path, excluded=ranked[:count])
    return Outcome(tuple(ranked[:count]), verdicts[count], verdicts[0], held)
