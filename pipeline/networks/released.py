"""The network of a release as the start of another training.

A release's network has no norms where compaction folded them into the layers before. Training needs them, and so does
pruning. They come back with the statistics of the new images, and with the scale and shift that leave the output as it
was: the network computes the same, and trains like any other.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from pydantic import ValidationError

from pipeline.data.images import Input
from pipeline.errors import StoreError, WeightsError
from pipeline.networks.factory import Network, Weights, build_network
from pipeline.networks.hub import HubFile
from pipeline.networks.serialization import DESCRIPTION, WEIGHTS, Description
from targets.errors import first_line

if TYPE_CHECKING:
    from torch import Tensor, nn

    from pipeline.data.samples import Samples
    from pipeline.networks.embedder import Embedder
    from pipeline.networks.layers import Norm

SETTLING_IMAGES, BATCH = 256, 32  # images that give norms their statistics, and how many are read at a time


@dataclass(frozen=True)
class Released:
    """Files of a release's network: weights, and the description from which it is rebuilt."""

    weights: Path
    layers: Path

    @classmethod
    def of(cls, folder: Path) -> Released:
        """Those in the folder `network` of a release."""
        return cls(folder / WEIGHTS, folder / DESCRIPTION)


def read_description(path: Path) -> Description:
    """The description of a release's network.

    Raises:
        WeightsError: it can't be read, or this version does not know a part of it.
    """
    try:
        return Description.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise WeightsError(f"can't read {path}: {first_line(error)}. Pull the release again.") from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise WeightsError(
            f"{path} does not describe a network ({where}: {first['msg']}). Pull the release again, or update zoo."
        ) from None


def _as_saved(path: Path) -> tuple[Embedder, Embedder]:
    """The architecture of a description, and the network with the described changes; weights are random.

    Raises:
        WeightsError: timm builds another network than the described one.
    """
    from pipeline.networks.branches import fuse_branches
    from pipeline.networks.layers import apply_changes

    about = read_description(path)
    dense = fuse_branches(build_network(about.network, about.input), about.fused)
    changed = copy.deepcopy(dense)
    try:
        apply_changes(changed, about.layers)
    except (AttributeError, RuntimeError) as error:
        raise WeightsError(
            f"{path} does not fit timm's {about.network.architecture} here ({first_line(error)}). The manifest of the "
            "release has the version of timm that built it."
        ) from None
    return dense, changed


def _restore_norms(network: Embedder, dense: Embedder) -> list[str]:
    """Put norms back where they were folded, in place; each adds its layer's bias and is otherwise the identity.

    Returns:
        Their names.
    """
    import torch
    from torch import nn

    from pipeline.networks.layers import Layer, resize
    from pipeline.networks.sites import find_sites

    restored = []
    modules = dict(network.named_modules())
    for writer in (writer for site in find_sites(dense, "coupled") for writer in site.writers):
        layer = modules.get(writer.layer)
        if writer.norm is None or isinstance(modules.get(writer.norm), nn.BatchNorm2d):
            continue
        if not isinstance(layer, nn.Conv2d) or layer.bias is None:
            continue  # its branch is gone
        norm = copy.deepcopy(cast(nn.BatchNorm2d, dense.get_submodule(writer.norm)))
        resize(cast("Layer", norm), (layer.out_channels,), True)
        with torch.no_grad():
            norm.weight.fill_(1)
            norm.bias.copy_(layer.bias)
            cast("Tensor", norm.running_var).fill_(1 - norm.eps)
        layer.bias = None
        network.set_submodule(writer.norm, norm)
        restored.append(writer.norm)
    return restored


def structure(network: Network, size: Input, layers: Path | None) -> Embedder:
    """A network with random weights: the recipe's, or with the widths and norms in which a release's starts.

    Args:
        layers: description of the release's network; None: the recipe's.

    Raises:
        WeightsError: see `build_network`, `read_description`.
    """
    if layers is None:
        return build_network(network, size)
    dense, changed = _as_saved(layers)
    _restore_norms(changed, dense)
    return changed.train()


def _settle(network: Embedder, names: Iterable[str], images: Iterable[Tensor]) -> None:
    """Give restored norms the statistics of their inputs, in place; the output in evaluation mode is unchanged."""
    import torch

    norms = [cast("Norm", network.get_submodule(name)) for name in names]
    sums = [torch.zeros(3, norm.num_features, dtype=torch.float64) for norm in norms]  # count, sum, squares

    def summing(place: int):  # type: ignore[no-untyped-def]
        def hook(_norm: nn.Module, given: tuple[Tensor, ...]) -> None:
            values = given[0].double().transpose(0, 1).flatten(1)
            sums[place][0] += values.shape[1]
            sums[place][1] += values.sum(1)
            sums[place][2] += values.square().sum(1)

        return hook

    handles = [norm.register_forward_pre_hook(summing(place)) for place, norm in enumerate(norms)]
    with torch.inference_mode():
        for batch in images:
            network(batch)
    for handle in handles:
        handle.remove()
    with torch.no_grad():
        for norm, (count, total, squares) in zip(norms, sums, strict=True):
            mean = total / count
            variance = (squares / count - mean.square()).clamp_min(0)
            norm.weight.copy_((variance + norm.eps).sqrt())
            norm.bias.add_(mean)
            cast("Tensor", norm.running_mean).copy_(mean)
            cast("Tensor", norm.running_var).copy_(variance)


def starting_network(
    network: Network, size: Input, weights: Weights, layers: Path | None, samples: Samples, seed: int
) -> Embedder:
    """A network before its first training step: the recipe's, or a release's.

    Args:
        weights: of the backbone; with `layers`, of the release's whole network; None: random ones.
        layers: see `structure`.
        samples, seed: see `released_network`.

    Raises:
        WeightsError: see `build_network`, `released_network`.
    """
    if layers is None:
        return build_network(network, size, weights)
    if weights is None:
        return structure(network, size, layers)
    assert not isinstance(weights, HubFile)  # a release has files
    return released_network(Released(weights, layers), size, samples, seed)


def released_network(files: Released, size: Input, samples: Samples, seed: int) -> Embedder:
    """A release's network, ready for training: embeddings as in the release, with norms of the new images.

    Args:
        samples: training images, of which up to 256 are read.
        seed: chooses them.

    Raises:
        WeightsError: weights or description can't be read, or do not belong together.
    """
    import numpy as np
    import torch

    from pipeline.data.images import read_batches
    from pipeline.networks.weights import load_module

    dense, network = _as_saved(files.layers)
    try:
        load_module(files.weights, network)
    except StoreError as error:
        raise WeightsError(str(error)) from None
    restored = _restore_norms(network, dense)
    chosen = np.random.default_rng(seed).permutation(len(samples))[:SETTLING_IMAGES]
    images = read_batches(samples.subset(chosen), size, BATCH)
    _settle(network.eval(), restored, (torch.from_numpy(some).permute(0, 3, 1, 2) for some in images))
    return network.train()
