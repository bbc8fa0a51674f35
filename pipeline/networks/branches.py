"""Branches that only training needs: several convolutions of one input whose results are added.

RepVGG, MobileOne, FastViT and others are trained like this, and have one convolution on the device (Ding et al.,
"RepVGG", CVPR 2021). The algebra is timm's.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from pipeline.networks.layers import resize

if TYPE_CHECKING:
    from pipeline.networks.embedder import Embedder


def _fusible(module: nn.Module) -> bool:
    """Whether timm can fuse a module's branches to one convolution. Norms alone are folded elsewhere."""
    if hasattr(module, "reparameterize") or hasattr(module, "switch_to_deploy"):
        return True
    return hasattr(module, "fuse") and sum(isinstance(part, nn.Conv2d) for part in module.modules()) > 1


def branched(embedder: Embedder) -> list[str]:
    """Names of the backbone's outermost modules with branches that can be fused and are not."""
    found: list[str] = []
    for name, module in embedder.backbone.named_modules(prefix="backbone"):
        inside = any(name.startswith(f"{outer}.") for outer in (*found, *embedder.fused))
        if name != "backbone" and name not in embedder.fused and not inside and _fusible(module):
            found.append(name)
    return found


class _FoldedNorms:
    """Norms of a module that were folded into their layers, restored for the fusion, which reads them.

    They add the layer's bias and are otherwise the identity.
    """

    def __init__(self, module: nn.Module, dense: nn.Module) -> None:
        self._places: dict[str, tuple[str, nn.Module]] = {}  # by the norm's name: its layer, and its replacement
        parts = dict(module.named_modules())
        for name, norm in dense.named_modules():
            if not isinstance(norm, nn.BatchNorm2d) or isinstance(parts.get(name, norm), nn.BatchNorm2d):
                continue
            parent, _, last = name.rpartition(".")
            siblings = [child for child, _ in dense.get_submodule(parent).named_children()]
            before = f"{parent}.{siblings[siblings.index(last) - 1]}".lstrip(".")
            layer = parts.get(before)
            bias = getattr(layer, "bias", None)
            if isinstance(layer, nn.Conv2d) and isinstance(bias, Tensor):
                restored: Any = copy.deepcopy(norm).to(bias)
                resize(restored, (len(bias),), True)
                restored.weight.fill_(1)
                restored.bias.copy_(bias)
                restored.running_var.fill_(1 - restored.eps)
                layer.bias = None
                module.set_submodule(name, restored)
                self._places[name] = (before, parts[name])

    def fold(self, module: nn.Module) -> None:
        """Fold those again that the fusion left."""
        parts = dict(module.named_modules())
        for name, (before, replaced) in self._places.items():
            norm, layer = parts.get(name), parts.get(before)
            if isinstance(norm, nn.BatchNorm2d) and isinstance(layer, nn.Conv2d):
                layer.bias = norm.bias
                module.set_submodule(name, replaced)


def _as_built(module: nn.Module, dense: nn.Module) -> bool:
    """Whether a module has the parts it was built with, whatever their widths."""
    ours, theirs = ({name: type(part) for name, part in some.named_modules()} for some in (module, dense))
    return ours == theirs


def _tell_widths(module: nn.Module) -> None:
    """Update the widths that some blocks store when built and read when fused; channels may have been removed."""
    for part in module.modules():
        main = getattr(part, "conv_kxk", None) or getattr(part, "dw_conv_list", None)
        if isinstance(main, nn.Module):
            conv = next(one for one in main.modules() if isinstance(one, nn.Conv2d))
            noted = {"in_channels": conv.in_channels, "out_channels": conv.out_channels, "groups": conv.groups}
            for name, value in {**noted, "in_chs": conv.in_channels}.items():
                if name in vars(part):
                    setattr(part, name, value)


@torch.no_grad()
def fuse_branches(embedder: Embedder, names: Sequence[str] | None = None, dense: Embedder | None = None) -> Embedder:
    """A copy in evaluation mode with each module's branches fused to one convolution; the same object if it has none.

    Embeddings are unchanged up to rounding.

    Args:
        names: modules to fuse; by default all that can be.
        dense: the network as built, if norms of `embedder` were folded or branches dropped. A module with a dropped
            branch keeps the others.
    """
    from timm.utils.model import reparameterize_model

    names = branched(embedder) if names is None else names
    if not names:
        return embedder
    fused, done = copy.deepcopy(embedder).eval(), []
    for name in names:
        module = copy.deepcopy(fused.get_submodule(name))
        built = dense.get_submodule(name) if dense else module
        folded = _FoldedNorms(module, built)
        if not _as_built(module, built):
            continue
        _tell_widths(module)
        holder = nn.Sequential(module).double()  # timm's function iterates over children; fused once
        reparameterize_model(holder, inplace=True)
        fused.set_submodule(name, holder.float()[0].eval())
        folded.fold(fused.get_submodule(name))
        done.append(name)
    fused.fused = (*fused.fused, *done)
    return fused
