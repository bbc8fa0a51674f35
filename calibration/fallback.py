"""Which layers go back to float when a quantised graph costs too much accuracy.

As in accuracy-aware quantisation (OpenVINO NNCF, "Quantizing with accuracy control"): layers are ranked by what
quantising them alone does to embeddings, and the most sensitive go back until the accuracy holds. Ranks come from
calibration images; only how many go back is decided by the gate.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np

from calibration.quantize import Quantizer

Embed = Callable[[Path, np.ndarray], np.ndarray]  # a graph, uint8 N×H×W×3 → N×D of length 1
Verdict = TypeVar("Verdict")


@dataclass(frozen=True)
class Sensitivity:
    """What quantising one layer alone does: 1 − mean cosine to the float graph's embeddings."""

    layer: str
    loss: float


def sensitivities(
    quantizer: Quantizer, embed: Embed, images: np.ndarray, scratch: Path, tell: Callable[[], None]
) -> list[Sensitivity]:
    """All layers, the most sensitive first.

    Args:
        embed: runs a graph.
        images: what embeddings are compared on.
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
    """The last graph that was written, the layers that are float in it, and what the gate said of it."""

    excluded: tuple[str, ...]
    verdict: Verdict
    holds: bool


def fall_back(
    quantizer: Quantizer,
    ranked: Sequence[str],
    path: Path,
    judge: Callable[[Path], Verdict],
    holds: Callable[[Verdict], bool],
    largest: int,
) -> Outcome[Verdict]:
    """Write to `path` the graph with as few layers in float as the gate asks for.

    The number is doubled until the gate holds, then halved between the last that failed and the first that held.

    Args:
        ranked: layers, the first to go back first.
        largest: no more than so many go back. If the gate does not hold then, the outcome says so.
    """

    def attempt(count: int) -> Outcome[Verdict]:
        quantizer.write(path, excluded=ranked[:count])
        verdict = judge(path)
        return Outcome(tuple(ranked[:count]), verdict, holds(verdict))

    failed, count = 0, min(1, largest)
    outcome = attempt(count)
    while not outcome.holds and count < largest:
        failed, count = count, min(2 * count, largest)
        outcome = attempt(count)
    best, last = outcome, count
    while best.holds and count - failed > 1:
        middle = (failed + count) // 2
        outcome, last = attempt(middle), middle
        if outcome.holds:
            best, count = outcome, middle
        else:
            failed = middle
    if last != len(best.excluded):
        quantizer.write(path, excluded=best.excluded)
    return best
