"""Networks of given widths, and the widths of each layer as a function of the channels kept at each site.

Both remove channels as compaction does and inspect the resulting layers, whatever the kind of site (inner channels, a
residual stream). So what is measured and predicted is what will be built.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn

from pipeline.errors import PipelineError
from pipeline.method.compactor import insert_compactors
from pipeline.method.merge import kept_count, merge_site, prune_network
from pipeline.networks.branches import fuse_branches
from pipeline.networks.site import Site
from targets.errors import first_line

if TYPE_CHECKING:
    from pipeline.networks.embedder import Embedder

Kept = Mapping[str, int]  # channels kept at each site, by its writer
Kind = Literal["spatial", "pointwise", "grouped", "vector"]
KINDS: tuple[Kind, ...] = ("spatial", "pointwise", "grouped", "vector")
SETTLING_IMAGES = 16


@torch.no_grad()
def enliven(network: Embedder, seed: int = 0) -> Embedder:
    """Give an untrained network norms as after training, in place: no branch is zero, and activations are of size 1.
    Time depends on no other property of the weights.
    """
    random = torch.Generator().manual_seed(seed)
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d)]
    before = [norm.momentum for norm in norms]
    for norm in norms:
        norm.weight.copy_(0.5 + torch.rand(norm.weight.shape, generator=random))
        norm.bias.copy_(0.2 * torch.randn(norm.bias.shape, generator=random))
        norm.momentum = 1.0
    shape = (SETTLING_IMAGES, 3, network.size.height, network.size.width)
    network.train()(torch.randint(0, 256, shape, generator=random))
    for norm, momentum in zip(norms, before, strict=True):
        norm.momentum = momentum
    return network.eval()


def full_widths(sites: Sequence[Site]) -> dict[str, int]:
    """All channels of each site."""
    return {site.writer: site.channels for site in sites}


def least_widths(sites: Sequence[Site], align: int, drop: bool = True) -> dict[str, int]:
    """The smallest number of channels at each site.

    Args:
        drop: whether a site at the end of a residual branch may lose all channels, and the branch with them.
    """
    return {
        site.writer: kept_count(0, site.channels, site.chunks, align, 0 if drop and site.branch else 1)
        for site in sites
    }


def _mask(site: Site, kept: int) -> Tensor:
    """C booleans: the first channels of each chunk."""
    parts = torch.zeros(site.chunks, site.channels // site.chunks, dtype=torch.bool)
    parts[:, : kept // site.chunks] = True
    return parts.flatten()


class Narrowing:
    """Makes narrow copies of a dense network.

    Args:
        network: in evaluation mode; it is unchanged.
    """

    def __init__(self, network: Embedder, sites: Sequence[Site]) -> None:
        self.sites = list(sites)
        self._dense = network
        self._merged = deepcopy(network)
        insert_compactors(self._merged, self.sites)
        for site in self.sites:
            merge_site(self._merged, site)

    def of(self, kept: Kept) -> Embedder:
        """A compacted network with this many channels at each site; unnamed sites keep all. Branches are fused, as for
        a device."""
        network = deepcopy(self._merged)
        counts = {**full_widths(self.sites), **kept}
        norms = {site.writer: _mask(site, counts[site.writer]).float() for site in self.sites}
        prune_network(network, self.sites, norms, threshold=0.5)
        return fuse_branches(network, dense=self._dense).eval()


def try_narrow(network: Embedder, sites: Sequence[Site]) -> None:
    """Check that a network runs with half of the channels of each site.

    Raises:
        PipelineError: it depends on the widths it was built with, which the graph of operations does not show.
    """
    half = {site.writer: max(1, site.channels // site.chunks // 2) * site.chunks for site in sites}
    device = next(network.parameters()).device
    try:
        with torch.no_grad():
            Narrowing(network, sites).of(half)(
                torch.zeros(2, 3, network.size.height, network.size.width, device=device)
            )
    except RuntimeError as error:
        reason = first_line(error)
        raise PipelineError(
            f"the network does not run with fewer channels ({reason}): it depends on the widths it was built with. "
            "Use another architecture."
        ) from None


@dataclass(frozen=True)
class Width:
    """Channels of one side of a layer: `fixed`, plus a number per kept channel of each site, by its writer."""

    fixed: float
    per_kept: tuple[tuple[str, float], ...]

    def __call__(self, kept: Kept) -> float:
        return self.fixed + sum(share * kept[name] for name, share in self.per_kept)


@dataclass(frozen=True)
class LayerWidths:
    """A convolution or linear layer.

    Attributes:
        kernel: elements of a kernel, height × width.
        groups: of a convolution whose groups stay; 0 if it is depthwise.
        inputs, outputs: number of positions of its input and output maps.
        serves: sites, by writer, without whose channels the layer is removed.
    """

    name: str
    kind: Kind
    kernel: int
    groups: int
    inputs: int
    outputs: int
    takes: Width
    gives: Width
    serves: tuple[str, ...]


def _layers(network: nn.Module) -> dict[str, tuple[int, int]]:
    """Input and output channels of all convolutions and linear layers, by name."""
    found = {}
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            groups = module.groups if isinstance(module, nn.Conv2d) else 1
            found[name.removesuffix(".inner")] = (module.weight.shape[1] * groups, module.weight.shape[0])
    return found


def _positions(network: Embedder) -> dict[str, tuple[int, int]]:
    """Positions of each layer's input and output, for one image."""
    found: dict[str, tuple[int, int]] = {}
    handles = []
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear):

            def note(layer: nn.Module, given: tuple[Tensor, ...], out: Tensor, name: str = name) -> None:
                axis = 1 if isinstance(layer, nn.Conv2d) else -1
                found[name.removesuffix(".inner")] = (
                    given[0].numel() // given[0].shape[axis],
                    out.numel() // out.shape[axis],
                )

            handles.append(module.register_forward_hook(note))
    with torch.inference_mode():
        network(torch.zeros(1, 3, network.size.height, network.size.width))
    for handle in handles:
        handle.remove()
    return found


def _kind(kernel: int, groups: int, outputs: int) -> Kind:
    if outputs == 1:
        return "vector"
    if groups != 1:
        return "grouped"
    return "spatial" if kernel > 1 else "pointwise"


def layer_widths(narrowing: Narrowing) -> list[LayerWidths]:
    """All convolutions and linear layers, found by removing channels of one site at a time."""
    dense = narrowing.of({})
    shapes, positions = _layers(dense), _positions(dense)
    takes: dict[str, list[tuple[str, float]]] = {name: [] for name in shapes}
    gives: dict[str, list[tuple[str, float]]] = {name: [] for name in shapes}
    serves: dict[str, list[str]] = {name: [] for name in shapes}
    for site in narrowing.sites:
        if site.channels > site.chunks:
            fewer = _layers(narrowing.of({site.writer: site.channels - site.chunks}))
            for name, (into, out) in shapes.items():
                for sides, lost in ((takes, into - fewer[name][0]), (gives, out - fewer[name][1])):
                    if lost:
                        sides[name].append((site.writer, lost / site.chunks))
        if site.branch:
            left = _layers(narrowing.of({site.writer: 0}))
            for name in shapes.keys() - left.keys():
                serves[name].append(site.writer)
    full = full_widths(narrowing.sites)
    convolutions = {
        name.removesuffix(".inner"): module for name, module in dense.named_modules() if isinstance(module, nn.Conv2d)
    }
    found = []
    for name, (into, out) in shapes.items():
        if name not in positions:  # never called
            continue
        conv = convolutions.get(name)
        kernel = conv.weight.shape[2] * conv.weight.shape[3] if conv else 1
        groups = conv.groups if conv else 1
        widths = [
            Width(total - sum(share * full[site] for site, share in parts), tuple(parts))
            for total, parts in ((into, takes[name]), (out, gives[name]))
        ]
        found.append(
            LayerWidths(
                name=name,
                kind=_kind(kernel, groups, positions[name][1]),
                kernel=kernel,
                groups=0 if groups == out > 1 else groups,
                inputs=positions[name][0],
                outputs=positions[name][1],
                takes=widths[0],
                gives=widths[1],
                serves=tuple(serves[name]),
            )
        )
    return found
