"""Reading features inside a network without changing it."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn


class Taps:
    """Average-pooled outputs N×C of chosen modules, from the latest forward pass, by name."""

    def __init__(self, modules: Mapping[str, nn.Module]) -> None:
        self.features: dict[str, Tensor] = {}
        for name, module in modules.items():
            module.register_forward_hook(self._keep(name))

    def _keep(self, name: str):  # type: ignore[no-untyped-def]
        def hook(_module: nn.Module, _inputs: object, output: Tensor) -> None:
            self.features[name] = output.mean(dim=(2, 3))

        return hook
