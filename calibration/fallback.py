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
    """The graph that was kept, the layers that are float in it, and what the gate said of it and of all in int8."""

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
    """Write to `path` the graph with as few layers in float as the gate asks for.

    The number is doubled until the gate holds, then halved between the last that failed and the first that held. If
    it never holds, the graph that costs least is kept, and the outcome says that it does not.

    Args:
        rank: gives layers, the first to go back first; called once, if the gate does not hold with all in int8.
        drop, most: what a verdict costs, and how much it may.
        largest: no more than so many go back.
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
