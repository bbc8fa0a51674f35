"""Reads features inside a network without changing it."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn


def pooled(features: Tensor, linear: bool) -> Tensor:
    """Mean over all positions, float32: N×C of N×C×H×W, or of N×…×C for a linear layer."""
    if linear and features.ndim > 2:
        return features.flatten(1, -2).mean(1, dtype=torch.float32)
    return features.flatten(2).mean(2, dtype=torch.float32)


class Taps:
    """Average-pooled outputs N×C of selected modules, from the latest forward pass, by name.

    Args:
        modules: by name, a module, and whether channels are on the last axis of its output.
    """

    def __init__(self, modules: Mapping[str, tuple[nn.Module, bool]]) -> None:
        self.features: dict[str, Tensor] = {}
        self._hooks = [
            module.register_forward_hook(self._keep(name, linear)) for name, (module, linear) in modules.items()
        ]

    def remove(self) -> None:
        """Remove the hooks."""
        for hook in self._hooks:
            hook.remove()

    def _keep(self, name: str, linear: bool):  # type: ignore[no-untyped-def]
        def hook(_module: nn.Module, _inputs: object, output: Tensor) -> None:
            self.features[name] = pooled(output, linear)

        return hook
