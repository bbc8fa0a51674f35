"""Coupled channels: those of a residual stream, which several layers write and which can only be removed from all.

From one writer the channels are followed in both directions through all operations that keep channels apart. A sum
joins what is added: a channel of the result can go only if it goes from every term. What ends the walk are the dense
maps that write the channels and those that read them. A walk that meets anything else (a layer norm over channels, a
concatenation, an output of the network) ends without a site: its channels can't be removed one by one exactly.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from math import lcm, prod
from typing import TYPE_CHECKING

from pipeline.networks.sites import Finder, Site, Writer

if TYPE_CHECKING:
    from torch.fx import Node

_SUMS = ("add", "add_")
_PRODUCTS = ("mul", "mul_")


class _Uncoupled(Exception):
    """The channels are mixed or shown somewhere."""


@dataclass
class _Walk:
    """What a walk has met so far; values are nodes with the axis of the channels."""

    finder: Finder
    channels: int
    axes: dict[Node, int] = field(default_factory=dict)
    queue: deque[Node] = field(default_factory=deque)
    writers: list[Node] = field(default_factory=list)
    carriers: list[Node] = field(default_factory=list)
    factors: list[Node] = field(default_factory=list)
    readers: list[Node] = field(default_factory=list)

    def join(self, node: Node, axis: int | None) -> None:
        """Take in a value whose axis is known."""
        if axis is None or self.axes.get(node, axis) != axis or self.finder.shape(node)[axis] != self.channels:
            raise _Uncoupled
        if node not in self.axes:
            self.axes[node] = axis
            self.queue.append(node)

    def run(self, start: Node, axis: int) -> None:
        self.join(start, axis)
        while self.queue:
            value = self.queue.popleft()
            self._back(value, self.axes[value])
            for user in value.users:
                if self._reads(user, value):
                    self._read(user, value, self.axes[value])
                elif user not in self.axes:
                    self._on(user, value, self.axes[value])

    def _reads(self, node: Node, value: Node) -> bool:
        """Whether a dense map reads a value. It may write the same channels, too."""
        maps = self.finder.operation(node) in ("conv2d", "linear") and not self.finder.depthwise(node)
        return maps and node.args[0] is value

    def _read(self, node: Node, value: Node, axis: int) -> None:
        last = len(self.finder.shape(value)) - 1
        if not self.finder.dense(node) or axis != (1 if self.finder.operation(node) == "conv2d" else last):
            raise _Uncoupled
        self.readers.append(node)

    def _terms(self, node: Node) -> list[Node]:
        """What a sum adds, if all terms are maps of its own shape."""
        terms = self.finder.graph.sources(node)
        if len(terms) != len(node.all_input_nodes) or any(
            self.finder.shape(term) != self.finder.shape(node) for term in terms
        ):
            raise _Uncoupled
        return terms

    def _scaled(self, node: Node) -> tuple[Node, Node]:
        """What a product scales, and the factor, which is computed from it."""
        terms = self.finder.graph.sources(node)
        if len(terms) == 2:
            for map, factor in (terms, terms[::-1]):
                if self.finder.needs(factor, map):
                    return map, factor
        raise _Uncoupled

    def _on(self, node: Node, value: Node, axis: int) -> None:
        """A value is used."""
        finder, name = self.finder, self.finder.operation(node)
        if name in _PRODUCTS and len(node.all_input_nodes) == 2:
            if self._scaled(node)[0] is not value:
                raise _Uncoupled
            self.join(node, axis)
        elif name in _SUMS and len(node.all_input_nodes) == 2:
            self._terms(node)
            self.join(node, axis)
        elif finder.carries(node):
            self.join(node, axis)
        else:
            self.join(node, finder.axis_behind(node, value, axis) if name else None)

    def _back(self, node: Node, axis: int) -> None:
        """Where a value comes from."""
        finder, name = self.finder, self.finder.operation(node)
        if finder.dense(node):
            if axis != (1 if name == "conv2d" else len(finder.shape(node)) - 1):
                raise _Uncoupled
            self.writers.append(node)
        elif name in _SUMS and len(node.all_input_nodes) == 2:
            for term in self._terms(node):
                self.join(term, axis)
        elif name in _PRODUCTS and len(node.all_input_nodes) == 2:
            map, factor = self._scaled(node)
            written = finder.factor(factor, axis, self.channels)
            if written is None:
                raise _Uncoupled
            self.factors.append(written)
            self.join(map, axis)
        elif finder.carries(node):
            if axis != 1:
                raise _Uncoupled
            self.carriers.append(node)
            self.join(finder.graph.sources(node)[0], axis)
        else:
            sources = finder.graph.sources(node)
            if not name or len(sources) != 1:
                raise _Uncoupled
            (source,) = sources
            ways = range(len(finder.shape(source)))
            self.join(source, next((way for way in ways if finder.axis_behind(node, source, way) == axis), None))


def coupled_site(finder: Finder, start: Node) -> tuple[Site, list[Node]] | None:
    """All that goes with the channels of a writer, and the writers; none if they can't be removed exactly."""
    if not finder.writes_channels(start):
        return None
    shape, linear = finder.shape(start), finder.operation(start) == "linear"
    walk = _Walk(finder, shape[-1] if linear else shape[1])
    try:
        walk.run(start, len(shape) - 1 if linear else 1)
    except _Uncoupled:
        return None
    if not walk.readers or any((finder.operation(writer) == "linear") != linear for writer in walk.writers):
        return None
    order = {node: place for place, node in enumerate(finder.graph.nodes)}
    writers = sorted(walk.writers, key=order.__getitem__)
    norms = {writer: finder.norm_behind(writer) for writer in writers}
    carriers = sorted({*walk.carriers} - {*norms.values()}, key=order.__getitem__)
    if any(finder.operation(some) == "batch_norm" and finder.graph.sources(some)[0] in norms for some in carriers):
        return None  # a norm that is not alone behind its writer
    readers = sorted({*walk.readers}, key=order.__getitem__)
    site = Site(
        writers=tuple(Writer(finder.name(w), finder.name(norm) if norm else None, linear) for w, norm in norms.items()),
        channels=walk.channels,
        groups=1,
        chunks=lcm(*(finder.groups(node) for node in (*writers, *readers))),
        carriers=tuple(map(finder.name, carriers)),
        leaks=tuple(finder.name(node) for node in carriers if finder.leaks(node)),
        factors=tuple(map(finder.name, walk.factors)),
        readers=tuple(map(finder.name, readers)),
        branch=(),
        branch_map=(),
        resolution=prod(shape) // shape[0] // walk.channels,
        spatial=True,
        stem=False,
    )
    return site, writers


def coupled_sites(finder: Finder) -> list[Site]:
    """Sites of all writers of a network: inner channels by themselves, those of residual streams together."""
    found, done = [], set()
    for writer in finder.graph.nodes:
        if writer in done:
            continue
        inner = finder.site(writer)
        if inner is not None:
            found.append(inner)
        elif (coupled := coupled_site(finder, writer)) is not None:
            found.append(coupled[0])
            done.update(coupled[1])
    return found
