"""Layers with fewer channels: slicing them, and recording the change so that JSON rebuilds the network."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from pipeline.networks.changes import Change

Norm = nn.BatchNorm1d | nn.BatchNorm2d
Layer = nn.Conv2d | nn.Linear | nn.BatchNorm1d | nn.BatchNorm2d


class Constant(nn.Module):
    """Output of a residual branch without channels: the same for all images and positions.

    Args:
        channels: length of the constant.
        map: height and width of the result, at most those of the input; None for N×L×C.
    """

    def __init__(self, channels: int, map: tuple[int, ...]) -> None:
        super().__init__()
        self.map = map
        self.value = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        # Times zero: an expanded constant would put the batch's shape into the exported graph.
        if not self.map:
            return x[..., :1] * 0 + self.value
        height, width = self.map
        return x[:, :1, :height, :width] * 0 + self.value[:, None, None]


def split_norm(norm: nn.Module) -> tuple[nn.Module, nn.Module]:
    """A norm with the same parameters, and the activation that timm fuses with it (`BatchNormAct2d`)."""
    if not isinstance(norm, nn.BatchNorm2d) or not hasattr(norm, "act"):
        return norm, nn.Identity()
    plain = nn.BatchNorm2d(norm.num_features, eps=norm.eps, momentum=norm.momentum)
    plain.weight, plain.bias = norm.weight, norm.bias
    plain.running_mean, plain.running_var = norm.running_mean, norm.running_var
    plain.num_batches_tracked = norm.num_batches_tracked
    return plain.train(norm.training), cast(nn.Module, norm.act)


def norm_output(norm: nn.Module) -> nn.Module:
    """The module whose output is a norm's before its activation, if timm fuses the two."""
    return cast(nn.Module, norm.drop) if isinstance(norm, nn.BatchNorm2d) and hasattr(norm, "act") else norm


def _sized(layer: nn.Module) -> bool:
    return isinstance(layer, Layer)


def resize(layer: Layer, weight: tuple[int, ...], bias: bool, groups: int = 1) -> None:
    """Replace a layer's parameters by uninitialised ones of other shapes, in place."""
    like = layer.weight
    layer.weight = nn.Parameter(torch.zeros(weight, dtype=like.dtype, device=like.device))
    layer.bias = nn.Parameter(layer.weight.new_zeros(weight[0])) if bias else None
    if isinstance(layer, Norm):
        layer.num_features = weight[0]
        layer.running_mean, layer.running_var = layer.weight.new_zeros(weight[0]), layer.weight.new_ones(weight[0])
    elif isinstance(layer, nn.Conv2d):
        layer.out_channels, layer.in_channels, layer.groups = weight[0], weight[1] * groups, groups
    else:
        layer.out_features, layer.in_features = weight


@torch.no_grad()
def keep_outputs(layer: Layer, kept: Tensor) -> None:
    """Keep some output channels of a layer, in place; for a norm or a depthwise convolution, some channels."""
    depthwise = isinstance(layer, nn.Conv2d) and 1 < layer.groups == layer.in_channels == layer.out_channels
    old = {name: value[kept].clone() for name, value in layer.state_dict().items() if value.ndim}
    groups = (len(kept) if depthwise else layer.groups) if isinstance(layer, nn.Conv2d) else 1
    resize(layer, tuple(old["weight"].shape), layer.bias is not None, groups)
    layer.load_state_dict(old, strict=False)


@torch.no_grad()
def keep_inputs(layer: nn.Conv2d | nn.Linear, kept: Tensor) -> None:
    """Keep some input channels of a dense layer, in place; for a grouped one, equally many in each group."""
    groups = layer.groups if isinstance(layer, nn.Conv2d) else 1
    weight = layer.weight.view(groups, -1, *layer.weight.shape[1:])  # G × outputs × inputs of a group × …
    places = kept.view(groups, -1) - torch.arange(groups, device=kept.device)[:, None] * weight.shape[2]
    small = torch.cat([part[:, some] for part, some in zip(weight, places, strict=True)])
    old = {**layer.state_dict(), "weight": small}
    resize(layer, tuple(small.shape), layer.bias is not None, groups)
    layer.load_state_dict(old)


def _change(layer: nn.Module) -> Change:
    if isinstance(layer, Constant):
        return Change(becomes="constant", weight=tuple(layer.value.shape), map=layer.map)
    if not _sized(layer):
        return Change(becomes="identity" if isinstance(layer, nn.Identity) else "activation")
    layer = cast(Layer, layer)
    groups = layer.groups if isinstance(layer, nn.Conv2d) else 1
    return Change(weight=tuple(layer.weight.shape), bias=layer.bias is not None, groups=groups)


def changes(dense: nn.Module, pruned: nn.Module, name: str = "") -> dict[str, Change]:
    """Changes of the layers in `pruned`, by name; all others are as in `dense`."""
    if type(pruned) is not type(dense):
        return {name: _change(pruned)}
    if _sized(dense):
        return {} if _change(pruned) == _change(dense) else {name: _change(pruned)}
    found: dict[str, Change] = {}
    for child, layer in dense.named_children():
        found |= changes(layer, pruned.get_submodule(child), f"{name}.{child}" if name else child)
    return found


def apply_changes(network: nn.Module, wanted: dict[str, Change]) -> None:
    """Change a dense network's layers as described, in place; weights are undefined until they are loaded."""
    for name, change in wanted.items():
        match change.becomes:
            case "smaller":
                layer = cast(Layer, network.get_submodule(name))
                resize(layer, change.weight, change.bias, change.groups)
            case "identity":
                network.set_submodule(name, nn.Identity())
            case "activation":
                network.set_submodule(name, split_norm(network.get_submodule(name))[1])
            case "constant":
                network.set_submodule(name, Constant(change.weight[0], change.map))
