"""Coupled channels: those of a residual stream, which several layers write and which can only be removed from all.

From one writer the channels are followed in both directions through all operations that keep channels apart. A sum
joins its terms: a channel of the result can be removed only if it is removed from every term. The walk ends at the
dense maps that write or read the channels. A walk that meets anything else (a layer norm over channels, a
concatenation, an output of the network) ends without a site: its channels can't be removed one by one exactly.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import lcm, prod
from typing import TYPE_CHECKING

from pipeline.networks.sites import Finder, Site, Writer

if TYPE_CHECKING:
    from torch.fx import Node

    from pipeline.networks.embedder import Embedder

_SUMS = ("add", "add_")
_PRODUCTS = ("mul", "mul_")


class _Uncoupled(Exception):
    """An operation mixes or outputs the channels."""

    def __init__(self, node: Node, what: str = "does not keep channels apart") -> None:
        super().__init__(what)
        self.node, self.what = node, what


@dataclass(frozen=True)
class Whole:
    """Channels that can't be removed one by one: a layer that writes them, the blocking operation, and the reason."""

    writer: str
    operation: str
    place: str  # module that calls it
    why: str


@dataclass
class _Walk:
    """State of a walk; values are nodes with the axis of the channels."""

    finder: Finder
    channels: int
    axes: dict[Node, int] = field(default_factory=dict)
    queue: deque[Node] = field(default_factory=deque)
    writers: list[Node] = field(default_factory=list)
    carriers: list[Node] = field(default_factory=list)
    factors: list[Node] = field(default_factory=list)
    readers: list[Node] = field(default_factory=list)

    def join(self, node: Node, axis: int | None) -> None:
        """Add a value whose axis is known."""
        if axis is None or self.axes.get(node, axis) != axis or self.finder.shape(node)[axis] != self.channels:
            raise _Uncoupled(node)
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
        """Whether a dense map reads a value. It may also write the same channels."""
        maps = self.finder.operation(node) in ("conv2d", "linear") and not self.finder.depthwise(node)
        return maps and node.args[0] is value

    def _read(self, node: Node, value: Node, axis: int) -> None:
        last = len(self.finder.shape(value)) - 1
        if not self.finder.dense(node) or axis != (1 if self.finder.operation(node) == "conv2d" else last):
            raise _Uncoupled(node, "is not one layer that reads channels")
        self.readers.append(node)

    def _terms(self, node: Node) -> list[Node]:
        """Terms of a sum, if all are maps of its own shape."""
        terms = self.finder.graph.sources(node)
        if len(terms) != len(node.all_input_nodes) or any(
            self.finder.shape(term) != self.finder.shape(node) for term in terms
        ):
            raise _Uncoupled(node, "adds maps of other shapes")
        return terms

    def _scaled(self, node: Node) -> tuple[Node, Node]:
        """The scaled operand of a product, and the factor, which depends on it."""
        terms = self.finder.graph.sources(node)
        if len(terms) == 2:
            for map, factor in (terms, terms[::-1]):
                if self.finder.needs(factor, map):
                    return map, factor
        raise _Uncoupled(node, "multiplies two maps" if len(terms) == 2 else "scales by parameters")

    def _on(self, node: Node, value: Node, axis: int) -> None:
        """Follow a value to its uses."""
        finder, name = self.finder, self.finder.operation(node)
        if name in _PRODUCTS and len(node.all_input_nodes) == 2:
            if self._scaled(node)[0] is not value:
                raise _Uncoupled(node, "multiplies two maps")
            self.join(node, axis)
        elif name in _SUMS and len(node.all_input_nodes) == 2:
            self._terms(node)
            self.join(node, axis)
        elif finder.carries(node):
            self.join(node, axis)
        else:
            self.join(node, finder.axis_behind(node, value, axis) if name else None)

    def _back(self, node: Node, axis: int) -> None:
        """Follow a value to its origin."""
        finder, name = self.finder, self.finder.operation(node)
        if finder.dense(node):
            if axis != (1 if name == "conv2d" else len(finder.shape(node)) - 1):
                raise _Uncoupled(node)
            self.writers.append(node)
        elif name in _SUMS and len(node.all_input_nodes) == 2:
            for term in self._terms(node):
                self.join(term, axis)
        elif name in _PRODUCTS and len(node.all_input_nodes) == 2:
            map, factor = self._scaled(node)
            written = finder.factor(factor, axis, self.channels)
            if written is None:
                raise _Uncoupled(node, "multiplies by a factor that no layer writes")
            self.factors.append(written)
            self.join(map, axis)
        elif finder.carries(node):
            if axis != 1:
                raise _Uncoupled(node)
            self.carriers.append(node)
            self.join(finder.graph.sources(node)[0], axis)
        else:
            sources = finder.graph.sources(node)
            if not name or len(sources) != 1:
                raise _Uncoupled(node)
            (source,) = sources
            ways = range(len(finder.shape(source)))
            self.join(source, next((way for way in ways if finder.axis_behind(node, source, way) == axis), None))


def _coupled_site(finder: Finder, start: Node) -> tuple[Site, list[Node]]:
    """The site of a writer's channels, and all of its writers.

    Raises:
        _Uncoupled: they can't be removed exactly.
    """
    shape, linear = finder.shape(start), finder.operation(start) == "linear"
    walk = _Walk(finder, shape[-1] if linear else shape[1])
    walk.run(start, len(shape) - 1 if linear else 1)
    if not walk.readers:
        raise _Uncoupled(start, "writes channels that nothing reads")
    for other in walk.writers:
        if (finder.operation(other) == "linear") != linear:
            raise _Uncoupled(other, "writes the same channels on another axis")
    order = {node: place for place, node in enumerate(finder.graph.nodes)}
    writers = sorted(walk.writers, key=order.__getitem__)
    norms = {writer: finder.norm_behind(writer) for writer in writers}
    carriers = sorted({*walk.carriers} - {*norms.values()}, key=order.__getitem__)
    for some in carriers:
        if finder.operation(some) == "batch_norm" and finder.graph.sources(some)[0] in norms:
            raise _Uncoupled(some, "is not the only consumer of the layer that it normalises")
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
    """Sites of all writers of a network: inner channels one by one, those of residual streams together."""
    return [site for site in _sites_and_rest(finder) if isinstance(site, Site)]


def left_whole(network: Embedder) -> list[str]:
    """What `sites: coupled` can't shrink, and why: one line per kind of blocking operation.

    The embedding is left out, since it is the network's output.
    """
    import torch

    from pipeline.networks.graph import Graph

    device = next(network.parameters()).device
    graph = Graph(network, torch.zeros(2, 3, network.size.height, network.size.width, device=device))
    kinds: dict[str, dict[str, str]] = {}
    for whole in _sites_and_rest(Finder(graph, "")):
        if isinstance(whole, Whole):
            kinds.setdefault(f"{whole.operation} {whole.why}", {}).setdefault(whole.place, whole.writer)
    return [
        f"channels can't be removed where {why}: in {place or 'the network'}, those of {writer}"
        + f", and in {len(places) - 1} more modules" * (len(places) > 1)
        for why, places in kinds.items()
        for place, writer in [next(iter(places.items()))]
    ]


def _sites_and_rest(finder: Finder) -> Iterator[Site | Whole]:
    done: set[Node] = set()
    for writer in finder.graph.nodes:
        if writer in done or not finder.writes_channels(writer):
            continue
        inner = finder.site(writer)
        if inner is not None:
            yield inner
            continue
        try:
            site, together = _coupled_site(finder, writer)
        except _Uncoupled as reason:
            if reason.node.op != "output":
                place = finder.graph.place(reason.node)
                yield Whole(finder.name(writer), finder.operation(reason.node), place, reason.what)
        else:
            yield site
            done.update(together)
