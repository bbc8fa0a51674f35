"""Cost of a compacted network as a function of the kept channels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Protocol, cast

from torch import Tensor, nn

from pipeline.networks.branches import fuse_branches
from pipeline.networks.cost import macs_by_module, network_cost
from pipeline.networks.site import Site

if TYPE_CHECKING:
    from pipeline.networks.embedder import Embedder


class WidthCost(Protocol):
    """Cost of a compacted network: MACs and parameters (`CostModel`), or figures of a target
    (`pipeline.method.latency_model.LatencyModel`).

    Attributes:
        sites: by writer.
        dense: cost at full width.
    """

    sites: dict[str, Site]
    dense: float

    def __call__(self, kept: Mapping[str, int]) -> float:
        """Cost with this many channels kept at each site, by its writer."""


@dataclass(frozen=True)
class _Layer:
    """Cost of a layer at full width, and the sites, by writer, that it shrinks with."""

    kernel: float  # proportional to its input and output channels
    vector: float  # proportional to its output channels
    gives: tuple[str, ...]
    takes: tuple[str, ...]
    serves: tuple[str, ...]  # sites without whose channels the layer is removed
    constant: float  # its remaining cost then


class _Fused:
    """Remaining shares of the cost of branches that are fused to one convolution (`pipeline.networks.branches`)."""

    def __init__(self, network: Embedder, deployed: Embedder, macs: Mapping[str, int]) -> None:
        before, after = _costs(network, macs), _costs(deployed, macs_by_module(deployed, network.size))
        self._shares: dict[str, tuple[float, ...]] = {}
        for module in deployed.fused:
            gone, new = (
                {name: cost for name, cost in some.items() if name not in other and f"{name}.".startswith(f"{module}.")}
                for some, other in ((before, after), (after, before))
            )
            was, now = ([sum(kind) for kind in zip((0, 0, 0), *some.values(), strict=True)] for some in (gone, new))
            shares = tuple(left / total if total else 0.0 for total, left in zip(was, now, strict=True))
            self._shares |= dict.fromkeys(gone, shares)

    def shares(self, layer: str) -> tuple[float, ...] | None:
        """Shares of a branch's MACs, kernels and other parameters; None for a layer that is not fused."""
        return self._shares.get(layer)


def _costs(network: nn.Module, macs: Mapping[str, int]) -> dict[str, tuple[float, float, float]]:
    """MACs, kernels and other parameters of each layer, by name."""
    found: dict[str, tuple[float, float, float]] = {}
    for name, module in network.named_modules():
        if sizes := [parameter.numel() for parameter in module.parameters(recurse=False)]:
            kernel = module.weight.numel() if isinstance(module, nn.Conv2d | nn.Linear) else 0
            found[name] = (macs.get(name, 0), kernel, sum(sizes) - kernel)
    return found


class CostModel:
    """MACs or parameters of the deployed network, from the number of channels kept at each site.

    Args:
        what: `macs` or `params`.
    """

    def __init__(self, network: Embedder, sites: Sequence[Site], what: str) -> None:
        self.sites = {site.writer: site for site in sites}
        deployed = fuse_branches(network)
        cost = network_cost(deployed, network.size)
        self.dense: float = cost.macs if what == "macs" else cost.parameters
        macs = macs_by_module(network, network.size)
        fused = _Fused(network, deployed, macs) if deployed.fused else None
        writers = {writer.layer: site for site in sites for writer in site.writers}
        norms = {writer.norm for site in sites for writer in site.writers}
        self._layers = []
        listed = 0.0
        for name, (counted, kernel, vector) in _costs(network, macs).items():
            module = network.get_submodule(name)
            shares = fused.shares(name) if fused else None
            if shares:
                counted, kernel, vector = counted * shares[0], kernel * shares[1], vector * shares[2]
            listed += counted if what == "macs" else kernel + vector
            if shares:
                pass  # with its norms it is fused to one convolution
            elif name in writers:
                vector = writers[name].channels  # its norm becomes a bias
            elif name in norms:
                vector = 0
            ends = [site for site in sites if site.branch and name == site.readers[-1]]
            inside = [site for site in sites if any(f"{name}.".startswith(f"{part}.") for part in site.branch)]
            gives = [s.writer for s in sites if name in (*s.layers[: -len(s.readers)], *(w.norm for w in s.writers))]
            self._layers.append(
                _Layer(
                    kernel=counted if what == "macs" else kernel,
                    vector=0 if what == "macs" else vector,
                    gives=tuple(gives),
                    takes=tuple(site.writer for site in sites if name in site.readers),
                    serves=tuple(site.writer for site in [*inside, *ends]),
                    constant=len(cast(Tensor, module.weight)) if ends and what != "macs" else 0,
                )
            )
        self._rest = self.dense - listed

    def __call__(self, kept: Mapping[str, int]) -> float:
        """Cost with this many channels kept at each site, by its writer."""
        shares = {name: kept[name] / site.channels for name, site in self.sites.items()}
        total = self._rest
        for layer in self._layers:
            given = prod(shares[name] for name in layer.gives)
            if all(kept[name] for name in layer.serves):
                taken = prod(shares[name] for name in layer.takes)
                total += layer.kernel * given * taken + layer.vector * given
            else:
                total += layer.constant * given
        return total
