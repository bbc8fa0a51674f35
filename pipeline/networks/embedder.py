"""The embedding network as torch modules."""

from __future__ import annotations

from types import NoneType
from typing import NamedTuple

import torch
from torch import Tensor, nn

from pipeline.data.images import Input
from pipeline.errors import WeightsError


class Features(NamedTuple):
    """`pooled`: backbone features after global average pooling, N×C. `embedding`: N×D, not normalised."""

    pooled: Tensor
    embedding: Tensor


def map_axes(backbone: nn.Module) -> tuple[int, int]:
    """Axes of height and width in the maps of a timm backbone: Swin and others give N×H×W×C (`output_fmt`)."""
    return (1, 2) if getattr(backbone, "output_fmt", "NCHW") == "NHWC" else (2, 3)


class Embedder(nn.Module):
    """Pixels to embedding: normalise, backbone, pool, then BN → ReLU → Linear (no bias) → BN (CVPR 2023, sec. 4.1).

    Input N×3×H×W RGB, 0 … 255, uint8 or float. Embeddings are compared by cosine.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, backbone: nn.Module, channels: int, embedding: int, size: Input) -> None:
        super().__init__()
        for name, values in zip(("mean", "std"), size.normalisation, strict=True):
            self.register_buffer(name, 255 * torch.tensor(values).view(1, 3, 1, 1), persistent=False)
        self.backbone = backbone
        self.fused: tuple[str, ...] = ()  # modules with fused branches (`pipeline.networks.branches`)
        self.spatial = map_axes(backbone)
        self.prefix = int(getattr(backbone, "num_prefix_tokens", 0))  # class token and others before the patches
        self.head = nn.Sequential(
            nn.BatchNorm1d(channels),
            nn.ReLU(),
            nn.Linear(channels, embedding, bias=False),
            nn.BatchNorm1d(embedding),
        )
        self.embedding, self.size = embedding, size

    def draw_head(self) -> None:
        """Draw the head's linear layer from He's normal distribution (ICCV 2015), variance 2 / outputs."""
        for module in self.head:
            if isinstance(module, nn.Linear):
                nn.init.kaiming_normal_(module.weight, mode="fan_out")

    def features(self, images: Tensor) -> Features:
        """Pooled feature and embedding of a batch."""
        pooled = self.pool(self.backbone((images.float() - self.mean) / self.std))
        return Features(pooled, self.head(pooled))

    def pool(self, features: Tensor) -> Tensor:
        """N×C: the mean of a map N×C×H×W or N×H×W×C; the class token of tokens N×L×C, or their mean without one."""
        if features.ndim == 4:
            return features.mean(dim=self.spatial)
        return features[:, 0] if self.prefix else features.mean(dim=1)

    def forward(self, images: Tensor) -> Tensor:
        return self.features(images).embedding


def set_last_stride(backbone: nn.Module, architecture: str) -> None:
    """Give the last stage of a ResNet stride 1, its shortcut included (finer features, as usual in re-identification).

    Raises:
        WeightsError: the architecture's last stage is not a ResNet's.
    """
    stage = getattr(backbone, "layer4", None)
    if stage is None:
        raise WeightsError(f"{architecture} has no last stage `layer4`: set `network.last_stride: 2` for it.")
    if not all(isinstance(getattr(block, "aa", None), nn.Identity | NoneType) for block in stage):
        raise WeightsError(f"{architecture} blurs where it strides: set `network.last_stride: 2` for it.")
    for module in stage.modules():
        if isinstance(module, nn.Conv2d):
            module.stride = (1, 1)
    for block in stage:
        shortcut = getattr(block, "downsample", None)
        if shortcut is not None:
            for name, module in shortcut.named_children():
                if isinstance(module, nn.AvgPool2d):  # "d" and "t" variants average before they project
                    setattr(shortcut, name, nn.Identity())
