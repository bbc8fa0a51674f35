"""Selects the layers that are no faster in int8, by timing them on the target; they return to float.

A narrow layer gains little in int8, and pays for conversions before and after it. How much, only the runtime on its
machine can tell. To compile and time each layer of a large network takes long, so the search has three steps:

1. Layers are ranked by how much they compute for each value that they take and give (`calibration.work`), least first.
   A short run times the first of them alone in float, and the first 2, 4, 8 … together.
2. The best of these, and the layers that gained alone, together, since the gains of neighbours do not add up, are timed
   in a long run.
3. The winner is timed once more against the graph as it was, and replaces it only if the whole 95 % interval of the
   ratio is above 1 in both runs, and the accuracy holds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from calibration.quantize import Quantizer
from targets.measuring.ratio import Ratio

AS_IT_WAS = "all"  # name of the graph that others are compared with
ALONE = 16  # layers that are timed alone
GROUPS = 2  # of the first few layers, that are timed again
Verdict = TypeVar("Verdict")


class Time(Protocol):
    """Times graphs in turn in one run, and returns the ratio of each to the one named `AS_IT_WAS`."""

    def __call__(self, graphs: Mapping[str, Path], brief: bool) -> Mapping[str, Ratio]:
        """
        Args:
            brief: a short run, that only chooses what is worth a long one.
        """


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
        time: on the target.
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

    def _timed(self, kept: Sequence[str], variants: Sequence[Sequence[str]], brief: bool) -> list[Ratio]:
        """Ratios of graphs with more layers in float to the one with `kept`."""
        ratios = self._time(self._graphs([kept, *((*kept, *some) for some in variants)]), brief)
        return [ratios[str(number)] for number in range(1, len(variants) + 1)]

    def _candidates(self, kept: Sequence[str], ranked: Sequence[str], most: int) -> list[tuple[str, ...]]:
        """Layers that are worth a long run, beside `kept`; each set once."""
        singles = [(layer,) for layer in ranked[:ALONE]]
        groups = [tuple(ranked[:count]) for count in _counts(most) if count > 1]
        ratios = self._timed(kept, [*singles, *groups], brief=True)
        self.alone = {layer: ratio for (layer,), ratio in zip(singles, ratios, strict=False)}
        best = sorted(zip(groups, ratios[len(singles) :], strict=True), key=lambda one: -one[1].ratio)
        order = sorted(self.alone, key=lambda layer: -self.alone[layer].ratio)
        gaining = [layer for layer in order if self.alone[layer].ratio > 1]
        found = [tuple(gaining[:count]) for count in _counts(min(len(gaining), most))]
        found += [group for group, ratio in best[:GROUPS] if ratio.ratio > 1]
        return [*{frozenset(some): some for some in found}.values()]

    def find(self, kept: Sequence[str], most: int, ranked: Sequence[str]) -> Faster[Verdict] | None:
        """The fastest graph found, or None: none is faster with confidence.

        Args:
            kept: layers that are in float already, for accuracy.
            most: limit on the number of float layers.
            ranked: all layers, those first that are least likely to gain in int8.
        """
        left = [layer for layer in ranked if layer not in kept]
        room = min(len(left), most - len(kept))
        if room < 1:
            return None
        candidates = self._candidates(kept, left, room)
        if not candidates:
            return None
        together = [(*kept, *some) for some in candidates]
        found = zip(together, self._timed(kept, candidates, brief=False), strict=True)
        for excluded, ratio in sorted(found, key=lambda one: -one[1].ratio):
            if not _sure(ratio):
                continue
            graphs = self._graphs([kept, excluded])
            verdict = self._judge(graphs["1"])
            if self._holds(verdict) and _sure(again := self._time(graphs, brief=False)["1"]):
                return Faster(excluded, again, verdict)
        return None
