"""How long a compacted network takes on a target, predicted from networks of other widths that were timed there.

A non-negative sum over layers of: multiply-accumulates with widths rounded up to what kernels pad to, by kind of layer
and with a rate of the layer's own on top; bytes of activations; bytes of weights; a constant for each layer that is
there, and one for the call. All terms grow with the channels kept, and so does what is predicted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

import numpy as np
from pydantic import TypeAdapter

from pipeline.method.widths import KINDS, Kept, LayerWidths, least_widths
from pipeline.networks.sites import Site

PADS = (1, 8, 16, 32)  # channels; which of them a target pads to is found out
RIDGES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)  # on the rates of single layers; which of them predicts best is found out
FOLDS = 8
BYTES = 4  # of a number; precisions share their table with none, so that only proportions count
SHARED = len(KINDS) + 4  # columns ahead of those of single layers


def non_negative_least_squares(matrix: np.ndarray, goal: np.ndarray) -> np.ndarray:
    """x ≥ 0 that minimises ‖matrix·x − goal‖ (Lawson and Hanson, Solving Least Squares Problems, 1974, chapter 23).

    Args:
        matrix: N×P.
        goal: N.
    """
    gram, product = matrix.T @ matrix, matrix.T @ goal
    x, inside = np.zeros(len(product)), np.zeros(len(product), bool)
    tolerance = 1e-10 * max(1e-300, float(np.abs(product).max()))
    for _ in range(10 * len(product)):
        gradient = product - gram @ x
        gradient[inside] = -np.inf
        if gradient.max() <= tolerance:
            break
        inside[int(gradient.argmax())] = True
        while True:
            trial = np.zeros_like(x)
            trial[inside] = np.linalg.lstsq(matrix[:, inside], goal, rcond=None)[0]
            if trial[inside].min() > 0:
                x = trial
                break
            below = inside & (trial <= 0)
            share = float(np.min(x[below] / np.maximum(x[below] - trial[below], 1e-300)))
            x = x + share * (trial - x)
            inside &= x > 1e-15
            x[~inside] = 0
            if not inside.any():
                break
    return x


def _columns(layers: Sequence[LayerWidths], kept: Kept, pad: int) -> np.ndarray:
    """Terms of a network, `SHARED` + one for each layer."""
    row = np.zeros(SHARED + len(layers))
    row[SHARED - 1] = 1
    for place, layer in enumerate(layers):
        if not all(kept[name] for name in layer.serves):
            continue
        into, out = layer.takes(kept), layer.gives(kept)
        if layer.groups == 1:
            padded = float(pad * ceil(into / pad) * pad * ceil(out / pad))
        elif layer.groups:
            padded = into * out / layer.groups
        else:
            padded = pad * ceil(out / pad)
        macs = layer.outputs * layer.kernel * padded
        weights = layer.kernel * out * (into / layer.groups if layer.groups else 1)
        row[KINDS.index(layer.kind)] += macs
        row[len(KINDS)] += BYTES * (layer.inputs * into + layer.outputs * out)
        row[len(KINDS) + 1] += BYTES * weights
        row[len(KINDS) + 2] += 1
        row[SHARED + place] = macs
    return row


@dataclass(frozen=True)
class Fit:
    """Rates of all terms, and what they are worth.

    Attributes:
        pad: channels that widths are rounded up to.
        rates: of each term, in the unit of what was measured.
        error: mean absolute relative error of networks that rates were not fitted to, by cross-validation.
    """

    pad: int
    ridge: float
    rates: tuple[float, ...]
    error: float


def _solve(table: np.ndarray, measured: np.ndarray, ridge: float, weights: np.ndarray) -> np.ndarray:
    """Rates that fit relative errors best."""
    scale = table.max(0)
    scale[scale == 0] = 1
    unit = float(np.median(measured))
    matrix = table / scale * (unit / measured * weights)[:, None]
    penalty = np.zeros((table.shape[1] - SHARED, table.shape[1]))
    penalty[:, SHARED:] = np.eye(len(penalty)) * np.sqrt(ridge * len(table))
    goal = np.concatenate([weights, np.zeros(len(penalty))])
    rates: np.ndarray = non_negative_least_squares(np.concatenate([matrix, penalty]), goal) / scale * unit
    return rates


def fit(
    layers: Sequence[LayerWidths], configurations: Sequence[Kept], measured: Sequence[float], weights: Sequence[float]
) -> Fit:
    """The padding, ridge and rates that predict networks best that they were not fitted to.

    Args:
        configurations: channels kept at each site, one for each network that was measured.
        measured: what grows with widths, such as ms of a call.
        weights: of each network; relative.
    """
    goal, weight = np.array(measured, float), np.sqrt(np.array(weights, float))
    folds = np.arange(len(goal)) % min(FOLDS, len(goal))
    best: tuple[float, int, float] | None = None
    tables = {pad: np.stack([_columns(layers, kept, pad) for kept in configurations]) for pad in PADS}
    for pad, table in tables.items():
        for ridge in RIDGES:
            errors = np.zeros(len(goal))
            for fold in np.unique(folds):
                held = folds == fold
                rates = _solve(table[~held], goal[~held], ridge, weight[~held])
                errors[held] = np.abs(table[held] @ rates / goal[held] - 1)
            error = float(np.average(errors, weights=weight**2))
            if best is None or error < best[0]:
                best = (error, pad, ridge)
    assert best is not None
    error, pad, ridge = best
    return Fit(pad, ridge, tuple(_solve(tables[pad], goal, ridge, weight).tolist()), error)


def predict(layers: Sequence[LayerWidths], found: Fit, kept: Kept) -> float:
    """What a network costs with so many channels kept at each site, in the unit of what was measured."""
    return float(_columns(layers, kept, found.pad) @ np.array(found.rates))


class LatencyModel:
    """What a compacted network costs on a target, from the number of channels kept at each site.

    Takes the place of `pipeline.method.cost_model.CostModel` in a budget: see `WidthCost` there.

    Args:
        what: the key of `distill.compress` that it serves.
    """

    def __init__(self, sites: Sequence[Site], layers: Sequence[LayerWidths], found: Fit, what: str) -> None:
        self.sites, self.what = {site.writer: site for site in sites}, what
        self.layers, self.found = list(layers), found
        self.dense = self({site.writer: site.channels for site in sites})

    def __call__(self, kept: Mapping[str, int]) -> float:
        """Cost with so many channels kept at each site, by its writer."""
        return predict(self.layers, self.found, kept)

    def least(self) -> float:
        """Cost when as much is gone as can go, as a share of the dense network's."""
        return self(least_widths(list(self.sites.values()), 1)) / self.dense


def model_of(content: Mapping[str, Any], sites: Sequence[Site]) -> LatencyModel:
    """The model that the stage `latency_budget` wrote down.

    Args:
        content: of its `latency.json`.
        sites: of the student.
    """
    layers, found = read_fit(content)
    return LatencyModel(sites, layers, found, content["what"])


def read_fit(content: Mapping[str, Any]) -> tuple[list[LayerWidths], Fit]:
    """Layers and rates out of `latency.json`."""
    layers = TypeAdapter(list[LayerWidths]).validate_python(content["layers"])
    return layers, TypeAdapter(Fit).validate_python(content["fit"])
