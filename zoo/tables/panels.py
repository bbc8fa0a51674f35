"""Draws the panels of `zoo.tables.pareto`. Needs the extra `plot`."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backend_bases import RendererBase
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.path import Path as Line
from matplotlib.ticker import LogLocator, NullFormatter
from matplotlib.transforms import Bbox

from zoo.tables.columns import Row
from zoo.tables.pareto import drawable
from zoo.tables.protocol import Group

SIZE = (8.0, 5.2)  # of a panel, in inches
WIDE = 10  # slowest / fastest above which the axis is logarithmic
# Okabe & Ito's colour-blind-safe palette, without yellow, which is invisible on white
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
MARKS = {"fp32": "o", "fp16": "s", "int8": "D"}
INK, QUIET = "#333333", "#8a8a8a"
STYLE: Any = {"svg.hashsalt": "zoo", "font.family": "DejaVu Sans", "font.size": 10}  # a font that matplotlib ships
HEIGHTS = (6, -13, 18, -25, 30, -37, 42, -49, 54, -61)  # of a label above its point, in points, nearest first
SPOTS = [(dx, dy, side) for dy in HEIGHTS for dx, side in ((9, "left"), (-9, "right"))]
FAR = 15  # points; farther labels get a leader line
SMALL = "¹²³⁴⁵⁶⁷⁸⁹"


def drawn(groups: Sequence[tuple[Group, Sequence[Row]]], kind: str) -> bytes:
    """Picture with one panel below the other.

    Args:
        groups: each with its front; at least one row of each has a p50.
        kind: png or svg.
    """
    models = dict.fromkeys(row["model"] for group, _ in groups for row in group.rows)
    colours = {model: COLOURS[index % len(COLOURS)] for index, model in enumerate(models)}
    with rc_context(STYLE):
        figure = Figure(figsize=(SIZE[0], SIZE[1] * len(groups)), dpi=150, layout="constrained")
        places = figure.subplots(len(groups), squeeze=False)[:, 0]
        panels = [_Panel(axes, *group, colours) for axes, group in zip(places, groups, strict=True)]
        if len(models) == 1:
            figure.suptitle(*models, x=0.02, ha="left", fontsize=12, fontweight="bold", color=INK)
        for panel in panels:
            panel.draw()
        canvas = FigureCanvasAgg(figure)
        canvas.draw()  # type: ignore[no-untyped-call]  # fixes the panels' positions
        figure.set_layout_engine("none")
        renderer = canvas.get_renderer()  # type: ignore[no-untyped-call]
        for panel in panels:
            panel.label(renderer)
        content = io.BytesIO()
        figure.savefig(content, format=kind, metadata={"Date": None} if kind == "svg" else {"Software": None})
    return content.getvalue()


class _Panel:
    """One protocol."""

    def __init__(self, axes: Axes, group: Group, front: Sequence[Row], colours: Mapping[str, str]) -> None:
        self.axes, self.group, self.colours = axes, group, colours
        self.rows = [row for row in group.rows if drawable(row)]
        self.targets = list(dict.fromkeys(row["target"] for row in self.rows))
        self.front = [(row["p50_ms"], row["map"]) for row in front]
        names = [model.partition("@")[0] for model in colours]
        self.with_version = len(set(names)) < len(names)

    def draw(self) -> None:
        """Draw points, front, axes and notes."""
        axes, times = self.axes, [row["p50_ms"] for row in self.rows]
        if max(times) > WIDE * min(times):
            axes.set_xscale("log")
            axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.xaxis.set_major_formatter("{x:g}")
            axes.xaxis.set_minor_formatter(NullFormatter())
        axes.margins(0.17, 0.2)
        axes.step(
            [p50 for p50, _ in self.front], [m for _, m in self.front], where="post", color=QUIET, lw=1.2, zorder=1
        )
        for row in self.rows:
            colour = self.colours[row["model"]]
            hollow = row["network"] == "teacher"
            axes.scatter(
                row["p50_ms"],
                row["map"],
                s=52,
                marker=MARKS[row["precision"]],
                facecolors="white" if hollow else colour,
                edgecolors=colour,
                linewidths=1.6,
                zorder=3,
            )
        axes.set_title(self.group.where, loc="left", fontsize=10, color=INK)
        axes.set_xlabel(f"p50 of a call, ms, batch {self.group.protocol['batch']} (left is better)", color=INK)
        axes.set_ylabel("mAP on the device, %", color=INK)
        axes.grid(color="#e6e6e6", lw=0.8)
        axes.set_axisbelow(True)
        axes.tick_params(colors=INK, labelsize=9)
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[["left", "bottom"]].set_color(QUIET)
        below = "\n".join(self.notes())
        axes.annotate(below, (0, -40), xycoords=("axes fraction", "axes points"), fontsize=8, color=QUIET, va="top")

    def notes(self) -> Iterator[str]:
        """Lines below the panel."""
        yield "hollow: the dense network; line: the front of students"
        if len(self.targets) > 1:
            yield "   ".join(f"{_small(index)} {target}" for index, target in enumerate(self.targets))
        if void := [row["void"] for row in self.group.rows if row["void"]]:
            yield f"left out as void, throttled by {'; '.join(dict.fromkeys(void))}: {len(void)}"
        if doubts := [row["doubt"] for row in self.group.rows if row["doubt"] and not row["void"]]:
            yield f"left out as unsteady ({'; '.join(dict.fromkeys(doubts))}): {len(doubts)}"

    def name(self, row: Row) -> str:
        """Label of a row: model and target (as an index) where there are several, and precision."""
        words = [row["model"] if self.with_version else row["model"].partition("@")[0]] * (len(self.colours) > 1)
        words += ["dense"] * (row["network"] == "teacher") + [row["precision"]]
        return " ".join(words) + (_small(self.targets.index(row["target"])) if len(self.targets) > 1 else "")

    def label(self, renderer: RendererBase) -> None:
        """Place names beside points, where they cover no other name, point or line, as far as there is room."""
        axes = self.axes
        points = [axes.transData.transform((row["p50_ms"], row["map"])) for row in self.rows]
        corners = [corner for a, b in pairwise(self.front) for corner in (a, (b[0], a[1]))] + self.front[-1:]
        steps = [Line(axes.transData.transform(pair)) for pair in pairwise(corners)]
        frame, taken = axes.get_window_extent(renderer), list[Bbox]()
        for index, row in enumerate(self.rows):
            at = (row["p50_ms"], row["map"])
            text = axes.annotate(
                self.name(row), at, (0, 0), textcoords="offset points", fontsize=8, color=INK, zorder=4
            )
            choices = []
            for order, (dx, dy, side) in enumerate(SPOTS):
                text.set(position=(dx, dy), ha=side)
                box = text.get_window_extent(renderer).padded(2)
                outside = not (frame.containsx(box.x0) and frame.containsx(box.x1) and frame.containsy(box.y0))
                covered = sum(box.overlaps(other) for other in taken)
                hidden = sum(box.padded(12).contains(*point) for j, point in enumerate(points) if j != index)
                crossed = sum(step.intersects_bbox(box, filled=False) for step in steps)
                choices.append((4 * (outside + covered + hidden) + crossed, order, box))
            _, order, box = min(choices, key=lambda choice: choice[:2])
            dx, dy, side = SPOTS[order]
            text.set(position=(dx, dy), ha=side)
            taken.append(box)
            if abs(dy) > FAR:
                leader = {"arrowstyle": "-", "color": QUIET, "lw": 0.6, "shrinkA": 0, "shrinkB": 4}
                axes.annotate("", at, (dx, dy + 3), textcoords="offset points", arrowprops=leader, zorder=2)


def _small(index: int) -> str:
    return SMALL[index % len(SMALL)]
