"""A trained network on disk: weights, and the JSON from which the network is rebuilt before loading them.

Teacher and compacted student have the same format; a dense network has no changes.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from pipeline.data.images import Input
from pipeline.files import write_text
from pipeline.networks.changes import Change
from pipeline.networks.factory import Network, build_network
from pipeline.settings import Settings

if TYPE_CHECKING:
    from pipeline.networks.embedder import Embedder

WEIGHTS, DESCRIPTION = "network.safetensors", "network.json"


class Description(Settings):
    """Description beside the weights: architecture, input, and layers that differ from the architecture."""

    network: Network
    input: Input
    fused: tuple[str, ...] = ()  # modules whose branches are fused to one convolution
    layers: dict[str, Change] = Field(default_factory=dict)


def save_network(folder: Path, embedder: Embedder, network: Network, size: Input) -> None:
    """Write an embedder to `folder`, with all differences to what the recipe's `network` builds."""
    from pipeline.networks.branches import fuse_branches
    from pipeline.networks.layers import changes
    from pipeline.networks.weights import save_module

    dense = fuse_branches(build_network(network, size), embedder.fused)
    description = Description(network=network, input=size, fused=embedder.fused, layers=changes(dense, embedder))
    save_module(folder / WEIGHTS, embedder)
    write_text(folder / DESCRIPTION, description.model_dump_json(indent=2) + "\n")


def load_network(folder: Path) -> Embedder:
    """Load an embedder of `save_network` in evaluation mode: plain layers, without compactors, masks or hooks.

    Raises:
        OSError: the folder has no description of a network.
        StoreError: the weights can't be read or do not match the description.
    """
    from pipeline.networks.branches import fuse_branches
    from pipeline.networks.layers import apply_changes
    from pipeline.networks.weights import load_module

    about = Description.model_validate_json((folder / DESCRIPTION).read_text(encoding="utf-8"))
    embedder = fuse_branches(build_network(about.network, about.input), about.fused)
    apply_changes(embedder, about.layers)
    load_module(folder / WEIGHTS, embedder)
    return embedder.eval()


def load_deployed(folder: Path) -> Embedder:
    """The same as on a device: branches of a dense network are fused; a compacted one is final already.

    Raises:
        OSError, StoreError: see `load_network`.
    """
    from pipeline.networks.branches import fuse_branches

    about = Description.model_validate_json((folder / DESCRIPTION).read_text(encoding="utf-8"))
    embedder = load_network(folder)
    return embedder if about.layers else fuse_branches(embedder)
