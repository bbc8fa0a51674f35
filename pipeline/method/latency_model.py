"""Time of a compacted network on a target, predicted from networks of other widths that were timed there.

A non-negative sum over layers of: multiply-accumulates with widths rounded up to the kernels' padding, by kind of layer
plus a rate of the layer's own; bytes of activations; bytes of weights; a constant per existing layer, and one per call.
All terms grow with the channels kept, and so does the prediction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydantic import TypeAdapter

from pipeline.method.widths import KINDS, Kept, LayerWidths
from pipeline.networks.site import Site

PADS = (1, 8, 16, 32)  # channels; the padding of a target is selected from these
RIDGES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)  # on the rates of single layers; the best predictor is selected
FOLDS = 8
REWEIGHTED, FAR = 2, 1.5  # refits with other weights; errors with less weight, in medians
BYTES = 4  # of a number; each precision has its own table, so only proportions count
SHARED = len(KINDS) + 4  # columns before those of single layers


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


class Terms:
    """Terms of the time, from the channels kept at each site: `SHARED` terms, and one per layer."""

    def __init__(self, layers: Sequence[LayerWidths]) -> None:
        sides = [[layer.takes for layer in layers], [layer.gives for layer in layers]]
        named = {name for side in sides for width in side for name, _ in width.per_kept}
        self.names = sorted(named | {name for layer in layers for name in layer.serves})
        at = {name: place for place, name in enumerate(self.names)}
        self.fixed = np.array([[width.fixed for width in side] for side in sides])
        self.slopes = np.zeros((2, len(layers), len(self.names)))
        self.serves = np.zeros((len(layers), len(self.names)))
        for place, layer in enumerate(layers):
            for side, width in enumerate((layer.takes, layer.gives)):
                for name, slope in width.per_kept:
                    self.slopes[side, place, at[name]] = slope
            for name in layer.serves:
                self.serves[place, at[name]] = 1
        self.kinds = np.array([KINDS.index(layer.kind) for layer in layers])
        self.kernels, self.groups, self.inputs, self.outputs = (
            np.array([getattr(layer, name) for layer in layers], float)
            for name in ("kernel", "groups", "inputs", "outputs")
        )

    def __call__(self, kept: Kept, pad: int) -> np.ndarray:
        """A row of the terms, `SHARED` + layers.

        Args:
            pad: widths of dense layers are rounded up to a multiple of this many channels.
        """
        counts = np.array([kept[name] for name in self.names], float)
        into, out = self.fixed + self.slopes @ counts
        there = self.serves @ (counts == 0) == 0
        padded_in, padded_out = (pad * np.ceil(width / pad - 1e-9) for width in (into, out))
        depthwise = self.groups == 0
        taken = np.where(depthwise, 1, into / np.where(depthwise, 1, self.groups))  # per output channel
        products = np.where(self.groups == 1, padded_in * padded_out, np.where(depthwise, padded_out, taken * out))
        macs = there * self.outputs * self.kernels * products
        row = np.zeros(SHARED + len(macs))
        row[: len(KINDS)] = np.bincount(self.kinds, macs, len(KINDS))
        row[len(KINDS)] = BYTES * float(there @ (self.inputs * into + self.outputs * out))
        row[len(KINDS) + 1] = BYTES * float(there @ (self.kernels * out * taken))
        row[len(KINDS) + 2] = there.sum()
        row[len(KINDS) + 3] = 1
        row[SHARED:] = macs
        return row


@dataclass(frozen=True)
class Fit:
    """Rates of all terms, and their prediction error.

    Attributes:
        pad: channels to a multiple of which widths are rounded up.
        rates: rate of each term, in the unit of the measurement.
        error: mean absolute relative error on networks not used for the fit, by cross-validation.
    """

    pad: int
    ridge: float
    rates: tuple[float, ...]
    error: float


def _least_squares(table: np.ndarray, measured: np.ndarray, ridge: float, weights: np.ndarray) -> np.ndarray:
    """Rates with the smallest squared relative errors."""
    scale = table.max(0)
    scale[scale == 0] = 1
    unit = float(np.median(measured))
    matrix = table / scale * (unit / measured * weights)[:, None]
    penalty = np.zeros((table.shape[1] - SHARED, table.shape[1]))
    penalty[:, SHARED:] = np.eye(len(penalty)) * np.sqrt(ridge * len(table))
    goal = np.concatenate([weights, np.zeros(len(penalty))])
    rates: np.ndarray = non_negative_least_squares(np.concatenate([matrix, penalty]), goal) / scale * unit
    return rates


def _solve(table: np.ndarray, measured: np.ndarray, ridge: float, weights: np.ndarray) -> np.ndarray:
    """The same, with less weight for outliers, which were disturbed (Huber's weights)."""
    rates = _least_squares(table, measured, ridge, weights)
    for _ in range(REWEIGHTED):
        errors = np.abs(table @ rates / measured - 1)
        bound = FAR * float(np.median(errors))
        trust = np.minimum(1, bound / np.maximum(errors, bound)) if bound > 0 else np.ones_like(errors)
        rates = _least_squares(table, measured, ridge, weights * np.sqrt(trust))
    return rates


def fit(
    layers: Sequence[LayerWidths], configurations: Sequence[Kept], measured: Sequence[float], weights: Sequence[float]
) -> Fit:
    """The padding, ridge and rates that best predict networks not used for the fit.

    Args:
        configurations: channels kept at each site, for each measured network.
        measured: a figure that grows with widths, such as ms per call.
        weights: relative weight of each network.
    """
    goal, weight = np.array(measured, float), np.sqrt(np.array(weights, float))
    folds = np.arange(len(goal)) % min(FOLDS, len(goal))
    best: tuple[float, int, float] | None = None
    terms = Terms(layers)
    tables = {pad: np.stack([terms(kept, pad) for kept in configurations]) for pad in PADS}
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
    """Cost of a network from the channels kept at each site, in the unit of the measurement."""
    return float(Terms(layers)(kept, found.pad) @ np.array(found.rates))


class LatencyModel:
    """Cost of a compacted network on a target, from the number of channels kept at each site.

    Replaces `pipeline.method.cost_model.CostModel` in a budget: see `WidthCost` there.
    """

    def __init__(self, sites: Sequence[Site], layers: Sequence[LayerWidths], found: Fit) -> None:
        self.sites = {site.writer: site for site in sites}
        self.layers, self.found = list(layers), found
        self._terms, self._rates = Terms(layers), np.array(found.rates)
        self.dense = self({site.writer: site.channels for site in sites})

    def __call__(self, kept: Mapping[str, int]) -> float:
        """Cost with this many channels kept at each site, by its writer."""
        return float(self._terms(kept, self.found.pad) @ self._rates)


def read_fit(layers: Sequence[Mapping[str, Any]], fit: Mapping[str, Any]) -> tuple[list[LayerWidths], Fit]:
    """Layers and rates, from their JSON in `pipeline.stages.latency_budget.LatencyBudget`."""
    return TypeAdapter(list[LayerWidths]).validate_python(layers), TypeAdapter(Fit).validate_python(fit)
