"""Where a build looks up pretrained weights on this machine."""

from __future__ import annotations

from pathlib import Path

from pipeline.networks.hub import Memory
from pipeline.networks.pretrained import Places
from zoo.home import Home, user_catalogue


def weights_places(home: Home, memory: Path | None = None) -> Places:
    """The folder of the home, and the folder of the user's zoo.yaml.

    Args:
        memory: folder with the last known files of the Hub.
    """
    catalogue = user_catalogue()
    return Places(home.weights, catalogue.absolute().parent if catalogue else None, Memory(memory))
