"""All sites of a network."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Literal

from pipeline.errors import PipelineError
from pipeline.networks.site import Site

if TYPE_CHECKING:
    from pipeline.networks.embedder import Embedder

Which = Literal["spatial", "all", "coupled"]


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

    from pipeline.networks.coupled import coupled_sites
    from pipeline.networks.finder import Finder
    from pipeline.networks.graph import Graph

    device = next(network.parameters()).device
    example = torch.zeros(2, 3, network.size.height, network.size.width, device=device)
    if which == "coupled":
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
