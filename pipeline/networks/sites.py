"""Sites of compactors, found in the graph of a network.

A site is a dense linear map (convolution or linear layer) whose channels reach other dense maps only through operations
that keep channels apart: norms, activations, depthwise convolutions, pooling, and a factor per channel as in squeeze
and excitation. Such channels can be removed one by one.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from math import lcm, prod
from typing import TYPE_CHECKING, Literal

from pipeline.errors import PipelineError

if TYPE_CHECKING:
    from torch.fx import Node

    from pipeline.networks.embedder import Embedder
    from pipeline.networks.graph import Graph

Which = Literal["spatial", "all", "coupled"]
_POOLS = ("adaptive_avg_pool2d", "avg_pool2d", "max_pool2d", "adaptive_max_pool2d")


@dataclass(frozen=True)
class Writer:
    """A linear map and the batch norm after it, if any; names of modules."""

    layer: str
    norm: str | None
    linear: bool  # channels are on the last axis, not the second

    @property
    def place(self) -> str:
        """The module after which channels are gated."""
        return self.norm or self.layer


@dataclass(frozen=True)
class Site:
    """Channels that can be removed one by one, and all layers they pass through; layers are names of modules.

    `writers` are the linear maps that write the channels: one, or all those whose results are added in a residual
    stream (see `pipeline.networks.coupled`). `carriers` are the norms and depthwise convolutions in between, `factors`
    the layers that write a factor per channel, `readers` the dense maps that consume the channels. `leaks` are the
    carriers after which a zero channel is no longer zero. `groups` are those of the writer; each of `chunks` equal
    parts of the channels must keep equally many, for grouped readers. `branch` are the modules that serve only the last
    reader, if that ends in a residual sum: without channels all of them can be removed.
    """

    writers: tuple[Writer, ...]
    channels: int
    groups: int
    chunks: int
    carriers: tuple[str, ...]
    leaks: tuple[str, ...]
    factors: tuple[str, ...]
    readers: tuple[str, ...]  # readers of pooled channels first, then the reader of the map
    branch: tuple[str, ...]
    branch_map: tuple[int, ...]  # height and width of the map that a branch's readers write
    resolution: int  # number of positions of the written map
    spatial: bool  # as in the paper: not a 1×1 convolution before a larger one
    stem: bool  # a larger convolution outside of residual branches

    @property
    def writer(self) -> str:
        """The first linear map, which names the site."""
        return self.writers[0].layer

    @property
    def norm(self) -> str | None:
        """The norm after the first linear map."""
        return self.writers[0].norm

    @property
    def place(self) -> str:
        """The module after which the compactor goes, for a site with one writer."""
        return self.writers[0].place

    @property
    def linear(self) -> bool:
        """Whether channels are on the last axis of the written map, not the second."""
        return self.writers[0].linear

    @property
    def coupled(self) -> bool:
        """Whether several maps write the channels."""
        return len(self.writers) > 1

    @property
    def layers(self) -> tuple[str, ...]:
        """All layers that the channels pass through."""
        return (*(writer.layer for writer in self.writers), *self.carriers, *self.factors, *self.readers)


@dataclass
class _Way:
    """What lies between a writer and its readers."""

    carriers: list[Node] = field(default_factory=list)
    factors: list[Node] = field(default_factory=list)
    readers: list[Node] = field(default_factory=list)


class Finder:
    """Finds sites in the graph of a network; `prefix` maps module names of the graph to those of the network."""

    def __init__(self, graph: Graph, prefix: str) -> None:
        from pipeline.networks.graph import operation, shape

        self.graph, self.prefix, self.operation, self.shape = graph, prefix, operation, shape

    def name(self, node: Node) -> str:
        """Module name of a layer."""
        return f"{self.prefix}{self.graph.module(node)}"

    def groups(self, node: Node) -> int:
        """Groups of a convolution; 1 for a linear layer."""
        return int(node.args[6]) if self.operation(node) == "conv2d" and len(node.args) > 6 else 1  # type: ignore[arg-type]

    def kernel(self, node: Node) -> int:
        """Longer side of a kernel; 1 for a linear layer."""
        return max(self.shape(node.args[1])[2:], default=1)  # type: ignore[arg-type]

    def depthwise(self, node: Node) -> bool:
        if self.operation(node) != "conv2d":
            return False
        outputs, inputs = self.shape(node.args[1])[:2]  # type: ignore[arg-type]
        return inputs == 1 and self.groups(node) == outputs > 1

    def has_bias(self, node: Node) -> bool:
        return len(node.args) > 2 and node.args[2] is not None

    def carries(self, node: Node) -> bool:
        """Whether a node is a norm or a depthwise convolution that is one module."""
        return (self.operation(node) == "batch_norm" or self.depthwise(node)) and self.graph.module(node) is not None

    def leaks(self, carrier: Node) -> bool:
        """Whether a zero channel is no longer zero after a norm or depthwise convolution."""
        return self.operation(carrier) == "batch_norm" or self.has_bias(carrier)

    def norm_behind(self, writer: Node) -> Node | None:
        """The batch norm that is the only consumer of a convolution's output."""
        users = list(writer.users)
        alone = len(users) == 1 and self.operation(users[0]) == "batch_norm" and self.operation(writer) != "linear"
        return users[0] if alone else None

    def dense(self, node: Node) -> bool:
        """A convolution (not depthwise) or linear layer that is one module."""
        return (
            self.operation(node) in ("conv2d", "linear")
            and self.graph.module(node) is not None
            and not self.depthwise(node)
        )

    def axis_behind(self, node: Node, source: Node, axis: int) -> int | None:
        """The axis of the channels after an operation that neither mixes nor changes them; None if it does."""
        if not self.graph.gives_tensor(node):
            return None  # it splits them
        name, before, after = self.operation(node), self.shape(source), self.shape(node)
        if padded := self.graph.pads_zeros(node):
            return axis if axis < len(before) - padded else None
        if self.graph.element_wise(node):
            return axis if self.graph.keeps_zero(node) else None
        if name == "permute":
            return [dim % len(before) for dim in node.args[1]].index(axis)  # type: ignore[union-attr, operator]
        if name == "transpose":
            one, two = (int(dim) % len(before) for dim in node.args[1:3])  # type: ignore[arg-type]
            return {one: two, two: one}.get(axis, axis)
        if name == "mean":
            dims = {int(dim) % len(before) for dim in node.args[1]}  # type: ignore[union-attr, arg-type]
            return None if axis in dims or min(dims) < axis else axis
        if name in _POOLS:
            return axis if axis == 1 else None
        if name in ("view", "reshape", "flatten"):
            return axis if before[: axis + 1] == after[: axis + 1] else None
        return None

    def factor(self, node: Node, axis: int, channels: int) -> Node | None:
        """The dense layer that writes a factor per channel, found backwards from a product's operand."""
        while self.graph.element_wise(node) or self.operation(node) in ("view", "reshape", "unsqueeze"):
            (node,) = node.all_input_nodes
        shape = self.shape(node)
        if not self.dense(node) or self.groups(node) != 1 or len(shape) <= axis or shape[axis] != channels:
            return None
        return node if prod(shape) == shape[0] * channels else None

    def follow(self, start: Node, axis: int, channels: int) -> _Way | None:
        """The path of channels from a node to their readers; None if an operation mixes or outputs them."""
        way = _Way()
        seen, queue = {start}, deque([(start, axis)])
        while queue:
            value, axis = queue.popleft()
            for user in value.users:
                if user in seen:
                    continue
                name, first = self.operation(user), user.args[0] if user.args else None
                at: int | None
                if name == "batch_norm" and axis == 1 and self.graph.module(user):
                    way.carriers.append(user)
                    at = axis
                elif name in ("conv2d", "linear") and first is value:
                    if not self.graph.module(user) or axis != (1 if name == "conv2d" else len(self.shape(value)) - 1):
                        return None
                    if not self.depthwise(user):
                        way.readers.append(user)
                        continue
                    way.carriers.append(user)
                    at = axis
                elif name in ("mul", "mul_") and len(self.graph.sources(user)) == 2:
                    (other,) = (source for source in user.all_input_nodes if source is not value)
                    writes = self.factor(other, axis, channels)
                    if writes is None:
                        return None
                    way.factors.append(writes)
                    at = axis
                else:
                    at = self.axis_behind(user, value, axis) if name else None
                if at is None:
                    return None
                seen.add(user)
                queue.append((user, at))
        return way if way.readers else None

    def reads_pooled(self, node: Node) -> bool:
        """Whether a layer works on one vector of means, as in squeeze and excitation."""
        (node, *_) = self.graph.sources(node)
        while self.graph.element_wise(node) or self.operation(node) in ("view", "reshape", "flatten"):
            (node,) = node.all_input_nodes
        return self.operation(node) in ("mean", *_POOLS[:1])

    def needs(self, node: Node, source: Node) -> bool:
        """Whether a node depends on another."""
        queue, seen = [node], {node}
        while queue:
            for other in queue.pop().all_input_nodes:
                if other is source:
                    return True
                if other not in seen:
                    seen.add(other)
                    queue.append(other)
        return False

    def in_residual(self, reader: Node) -> bool:
        """Whether a reader's output is added to a shortcut around it before another dense map reads it."""
        queue, seen = deque([reader]), {reader}
        while queue:
            value = queue.popleft()
            for user in value.users:
                if self.operation(user) in ("add", "add_") and len(self.graph.sources(user)) == 2:
                    (other,) = (source for source in self.graph.sources(user) if source is not value)
                    return not self.needs(other, reader)
                if user not in seen and not self.dense(user) and self.operation(user):
                    seen.add(user)
                    queue.append(user)
        return False

    def serving(self, readers: list[Node]) -> set[Node]:
        """Nodes whose results only the readers use."""
        only: set[Node] = set()
        ends = set(readers)
        for node in reversed(self.graph.nodes):
            if self.operation(node) and node.users and all(user in only or user in ends for user in node.users):
                only.add(node)
        return only - ends

    def writes_channels(self, node: Node) -> bool:
        """Whether a node is a dense map of image features, not of parameters alone or of means."""
        return self.dense(node) and bool(self.graph.sources(node)) and not self.reads_pooled(node)

    def site(self, writer: Node) -> Site | None:
        """The site of channels that a single map writes; None if they can't be removed one by one."""
        if not self.writes_channels(writer):
            return None
        linear = self.operation(writer) == "linear"
        shape = self.shape(writer)
        axis = len(shape) - 1 if linear else 1
        norm = self.norm_behind(writer)
        if norm is not None and self.graph.module(norm) is None:
            return None
        way = self.follow(norm or writer, axis, shape[axis])
        if way is None or (norm is None and way.carriers and self.operation(way.carriers[0]) == "batch_norm"):
            return None
        chunks = lcm(self.groups(writer), *(self.groups(reader) for reader in way.readers))
        main = [reader for reader in way.readers if not self.reads_pooled(reader)]
        residual = len(main) == 1 and self.in_residual(main[0])
        serving = self.serving(main) if residual else set()
        before_larger = self.kernel(writer) == 1 and any(self.kernel(reader) > 1 for reader in main)
        return Site(
            writers=(Writer(self.name(writer), self.name(norm) if norm else None, linear),),
            channels=shape[axis],
            groups=self.groups(writer),
            chunks=chunks,
            carriers=tuple(map(self.name, way.carriers)),
            leaks=tuple(self.name(node) for node in way.carriers if self.leaks(node)),
            factors=tuple(map(self.name, way.factors)),
            readers=tuple(map(self.name, sorted(way.readers, key=self.reads_pooled, reverse=True))),
            branch=tuple(self.prefix + name for name in self.graph.inside(serving)),
            branch_map=self.shape(main[0])[2:] if residual and self.operation(main[0]) == "conv2d" else (),
            resolution=prod(shape) // shape[0] // shape[axis],
            spatial=not before_larger,
            stem=not residual and self.kernel(writer) > 1,
        )


def find_sites(network: Embedder, which: Which = "spatial") -> list[Site]:
    """Sites of `network` in the order of its operations.

    Args:
        which: `spatial`, or `all`, which adds 1×1 convolutions before a larger one, such as the first of a bottleneck.
            Stems count in networks that have nothing else, such as a VGG. `coupled` is everything that can be removed
            exactly, including stems and the channels of residual streams.

    Raises:
        PipelineError: there are none; the message lists the layers that were found.
    """
    import torch

    from pipeline.networks.graph import Graph

    device = next(network.parameters()).device
    example = torch.zeros(2, 3, network.size.height, network.size.width, device=device)
    if which == "coupled":
        from pipeline.networks.coupled import coupled_sites

        graph = Graph(network, example)  # the head reads the last stream
        finder = Finder(graph, "")
        found = chosen = coupled_sites(finder)
    else:
        graph = Graph(network.backbone, example)
        finder = Finder(graph, "backbone.")
        found = [site for site in map(finder.site, graph.nodes) if site]
        found = [site for site in found if not site.stem] or found
        chosen = [site for site in found if site.spatial or which == "all"]
    if not chosen:
        from pipeline.networks.coupled import coupled_sites

        others = {} if which == "coupled" else {"all": len(found)}
        if not found and which != "coupled":
            others = {"coupled": len(coupled_sites(Finder(Graph(network, example), "")))}
        more = [f"`distill.sites: {other}` would find {count}." for other, count in others.items() if count]
        layers = Counter(map(finder.operation, filter(finder.dense, graph.nodes)))
        counted = ", ".join(f"{count} {name}" for name, count in layers.items()) or "none"
        raise PipelineError(
            f"no site for a compactor (sites: {which}): none of the dense layers ({counted}) writes channels that "
            "reach other dense layers only through norms, activations, depthwise convolutions, pooling and factors. "
            + (more[0] if more else "Use another architecture.")
        )
    return chosen
