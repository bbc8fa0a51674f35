"""Whether the tensors of a file are those of a network, before any is loaded; and what differs, in words."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.networks.header import Header

if TYPE_CHECKING:
    from torch import Tensor, nn

SHOWN = 2  # names of each kind
INTEGERS = ("I", "U", "BOOL")  # beginnings of safetensors' names of types without a fraction
COUNTER = "num_batches_tracked"  # of batch norms; nothing here reads it, and older files lack it


@dataclass(frozen=True)
class Mismatch:
    """What keeps the tensors of a file from being those of a network.

    Attributes:
        tensors: number of tensors of the network.
        missing: of the network, not in the file.
        unexpected: of the file, not in the network.
        reshaped: in both, with two shapes: of the file, and of the network.
        retyped: numbers with a fraction in the network, integers in the file.
    """

    tensors: int
    missing: Collection[str]
    unexpected: Collection[str]
    reshaped: Mapping[str, tuple[str, str]]
    retyped: Collection[str]

    def __bool__(self) -> bool:
        return bool(self.missing or self.unexpected or self.reshaped or self.retyped)

    def __str__(self) -> str:
        """One line, with the number of each kind and examples."""
        return f"of its {self.tensors} tensors " + ", ".join(self._parts())

    def _parts(self) -> Iterator[str]:
        if self.missing:
            yield f"{len(self.missing)} are missing ({_some(self.missing)})"
        if self.reshaped:
            name, (here, there) = next(iter(self.reshaped.items()))
            yield f"{len(self.reshaped)} have another shape ({name} {here}, expected {there})"
        if self.retyped:
            yield f"{len(self.retyped)} are integers ({_some(self.retyped)})"
        if self.unexpected:
            nothing = "" if self.missing or self.reshaped or self.retyped else "none is missing, and "
            yield f"{nothing}{len(self.unexpected)} of the file are unexpected ({_some(self.unexpected)})"


def _some(names: Collection[str]) -> str:
    return ", ".join([*names][:SHOWN]) + ", …" * (len(names) > SHOWN)


def _shape(shape: Collection[int]) -> str:
    return "×".join(map(str, shape)) or "a number"


def mismatch(header: Header, state: Mapping[str, Tensor], optional: tuple[str, ...] = ()) -> Mismatch:
    """Compare a file with a network.

    Args:
        state: the network's state dict.
        optional: beginnings of names that the file may have without the network having them, as of a classifier.
    """
    found = {name: shape for name, shape in header.shapes.items() if not name.startswith(optional)}
    both = [name for name in state if name in found]
    return Mismatch(
        len(state),
        [name for name in state if name not in found and not name.endswith(f".{COUNTER}")],
        [name for name in found if name not in state],
        {
            name: (_shape(found[name]), _shape(state[name].shape))
            for name in both
            if found[name] != tuple(state[name].shape)
        },
        [name for name in both if state[name].is_floating_point() and header.types[name].startswith(INTEGERS)],
    )


def classifier_of(backbone: nn.Module) -> tuple[str, ...]:
    """Beginnings of the names of a timm network's classifiers."""
    config: Any = backbone.pretrained_cfg
    named = config.get("classifier") or ()
    return tuple(f"{name}." for name in ([named] if isinstance(named, str) else named))


def not_finite(network: nn.Module) -> list[str]:
    """Names of tensors with values that are infinite or not numbers."""
    return [
        name
        for name, tensor in network.state_dict().items()
        if tensor.is_floating_point() and not bool(tensor.isfinite().all())
    ]


def refusal(path: Path, architecture: str, found: Mismatch, header: Header) -> str:
    """Why the weights of a file are refused, in two lines."""
    said = header.about.get("architecture")
    holds = f" The file says that it holds {said}." if isinstance(said, str) and said != architecture else ""
    return (
        f"weights {path} do not match {architecture}: {found}.{holds}\n"
        f"Use a file with the weights of {architecture} in timm's names; zoo weights lists what is here."
    )
