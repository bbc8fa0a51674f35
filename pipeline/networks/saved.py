"""A trained network on disk: weights, and the JSON from which the network is rebuilt before they are loaded.

Teacher and compacted student are written alike; a dense network simply lists no widths.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from pipeline.data.images import Input
from pipeline.files import write_text
from pipeline.networks.build import Network, build_network
from pipeline.settings import Settings

if TYPE_CHECKING:
    from pipeline.networks.embedder import Embedder

WEIGHTS, DESCRIPTION = "network.safetensors", "network.json"


class Description(Settings):
    """What is needed beside the weights: architecture, input, and the channels left at each compacted site."""

    network: Network
    input: Input
    widths: dict[str, int] = Field(default_factory=dict)


def save_network(folder: Path, embedder: Embedder, description: Description) -> None:
    """Write an embedder into `folder`."""
    from pipeline.networks.weights import save_module

    save_module(folder / WEIGHTS, embedder)
    write_text(folder / DESCRIPTION, description.model_dump_json(indent=2) + "\n")


def load_network(folder: Path) -> Embedder:
    """The embedder that `save_network` wrote, in evaluation mode: plain layers, no compactor, mask or hook.

    Raises:
        StoreError: the weights can't be read or do not fit the description.
    """
    from pipeline.networks.weights import load_module

    about = Description.model_validate_json((folder / DESCRIPTION).read_text(encoding="utf-8"))
    embedder = build_network(about.network, about.input)
    if about.widths:
        from pipeline.networks.sites import find_sites
        from pipeline.networks.widths import set_width

        for site in find_sites(embedder, "all"):
            if site.conv in about.widths:
                set_width(embedder, site, about.widths[site.conv])
    load_module(folder / WEIGHTS, embedder)
    return embedder.eval()
