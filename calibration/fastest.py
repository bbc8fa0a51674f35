"""Selects the layers that are no faster in int8, by timing them on the target; they return to float.

A narrow layer gains little in int8, and pays for conversions before and after it. How much, only the runtime on its
machine can tell: the graph is timed with each layer alone in float, then with the best few of them together, since the
gains of neighbours do not add up. The winner is timed once more against the graph as it was, and replaces it only if
the whole 95 % interval of the ratio is above 1 and the accuracy holds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from calibration.quantize import Quantizer
from targets.measuring.ratio import Ratio

AS_IT_WAS = "all"  # name of the graph that others are compared with
Time = Callable[[Mapping[str, Path]], Mapping[str, Ratio]]
Verdict = TypeVar("Verdict")


@dataclass(frozen=True)
class Faster(Generic[Verdict]):
    """Layers in float of the faster graph, its speed relative to the graph as it was, and the gate's verdict on it."""

    excluded: tuple[str, ...]
    ratio: Ratio
    verdict: Verdict


def _sure(ratio: Ratio) -> bool:
    """Whether a graph is faster than the one it is compared with, with 97.5 % confidence."""
    return ratio.low is not None and ratio.low > 1


def _counts(most: int) -> list[int]:
    """1, 2, 4, … and `most`."""
    return sorted({min(1 << power, most) for power in range(most.bit_length() + 1)} - {0})


class Fastest(Generic[Verdict]):
    """The search; `alone` has the ratio of each layer that was timed alone.

    Args:
        time: times graphs in turn in one run, and returns the ratio of each to the one named `AS_IT_WAS`.
        judge: the gate's verdict on a graph.
        holds: whether the accuracy of a verdict holds.
        scratch: a folder for graphs.
    """

    def __init__(
        self,
        quantizer: Quantizer,
        time: Time,
        judge: Callable[[Path], Verdict],
        holds: Callable[[Verdict], bool],
        scratch: Path,
    ) -> None:
        self._quantizer, self._time, self._judge, self._holds = quantizer, time, judge, holds
        self._scratch = scratch
        self.alone: dict[str, Ratio] = {}

    def _graphs(self, variants: Sequence[Sequence[str]]) -> dict[str, Path]:
        """Graphs with these layers in float, by their place in the list; the first one is `AS_IT_WAS`."""
        paths = {}
        for number, excluded in enumerate(variants):
            name = str(number) if number else AS_IT_WAS
            paths[name] = self._scratch / f"{name}.onnx"
            self._quantizer.write(paths[name], excluded=excluded)
        return paths

    def _timed(self, variants: Sequence[Sequence[str]]) -> list[Ratio]:
        """Ratios of the variants after the first one to it."""
        ratios = self._time(self._graphs(variants))
        return [ratios[str(number)] for number in range(1, len(variants))]

    def find(self, kept: Sequence[str], most: int) -> Faster[Verdict] | None:
        """The fastest graph found, or None: none is faster with confidence.

        Args:
            kept: layers that are in float already, for accuracy.
            most: limit on the number of float layers.
        """
        layers = [layer for layer in self._quantizer.layers if layer not in kept]
        if not layers or len(kept) >= most:
            return None
        self.alone = dict(zip(layers, self._timed([kept, *((*kept, layer) for layer in layers)]), strict=True))
        order = sorted(layers, key=lambda layer: -self.alone[layer].ratio)
        gaining = [layer for layer in order if self.alone[layer].ratio > 1]
        together = [(*kept, *gaining[:count]) for count in _counts(min(len(gaining), most - len(kept)))]
        if not together:
            return None
        found = zip(together, self._timed([kept, *together]), strict=True)
        for excluded, ratio in sorted(found, key=lambda one: -one[1].ratio):
            if not _sure(ratio):
                continue
            graphs = self._graphs([kept, excluded])
            verdict = self._judge(graphs["1"])
            if self._holds(verdict) and _sure(again := self._time(graphs)["1"]):
                return Faster(excluded, again, verdict)
        return None
