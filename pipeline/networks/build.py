"""The embedding network: a timm backbone, global average pooling and the embedding head of the paper."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, Field

from pipeline.data.images import Input
from pipeline.errors import WeightsError
from pipeline.settings import Settings
from targets.errors import one_line

if TYPE_CHECKING:
    from torch import nn

    from pipeline.networks.embedder import Embedder

WAYS_OUT = (
    "Ways out: `teacher.weights: FILE.safetensors` (a local file), HF_HUB_OFFLINE=1 with a filled Hugging Face cache, "
    "or `teacher.pretrained: false` (from scratch)."
)


def _safetensors(weights: Path | None) -> Path | None:
    if weights is not None and weights.suffix != ".safetensors":
        raise ValueError("must be a .safetensors file (pickled weights are never read)")
    return weights


# Excluded from dumps: what counts is the file's content, and no path of a machine belongs in a manifest.
LocalWeights = Annotated[
    Path | None,
    AfterValidator(_safetensors),
    Field(exclude=True, description="local safetensors with timm's names, instead of a download"),
]


class Network(Settings):
    """Which timm architecture, the stride of its last stage, and the length of the embedding."""

    architecture: str
    last_stride: Literal[1, 2] = 1
    embedding: int = Field(512, ge=2)


def _from_hub(architecture: str) -> Path:
    """Path of timm's weights in the Hugging Face cache, fetched if they are not there yet. Safetensors only."""
    import huggingface_hub
    import timm

    config = timm.get_pretrained_cfg(architecture)
    if config is None or not config.hf_hub_id:
        raise WeightsError(f"timm offers no pretrained weights of {architecture}. {WAYS_OUT}")
    logger = logging.getLogger("huggingface_hub")
    level = logger.level
    logger.setLevel(logging.ERROR)  # it would print a line for every retry
    try:
        return Path(huggingface_hub.hf_hub_download(config.hf_hub_id, "model.safetensors"))
    except (OSError, ValueError, RuntimeError) as error:  # its errors derive from these
        cause = one_line(error).split(". ")[0]
        raise WeightsError(f"can't get pretrained weights of {architecture}: {cause}.\n{WAYS_OUT}") from None
    finally:
        logger.setLevel(level)


def _bound(architecture: str, size: Input) -> dict[str, Any]:
    """The image size, for architectures that are bound to one."""
    import timm

    config = timm.get_pretrained_cfg(architecture)
    return {"img_size": (size.height, size.width)} if config is not None and config.fixed_input_size else {}


def _pretrained(architecture: str, size: Input) -> nn.Module:
    import timm

    source = {"file": str(_from_hub(architecture))}
    bound = _bound(architecture, size)
    backbone: Any = timm.create_model(architecture, pretrained=True, pretrained_cfg_overlay=source, **bound)
    backbone.reset_classifier(0, "")
    network: nn.Module = backbone
    return network


def _local(architecture: str, size: Input, weights: Path) -> nn.Module:
    """Weights from a safetensors file with timm's names; the classifier may be there or not, all else must fit."""
    import timm
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    backbone: Any = timm.create_model(architecture, num_classes=0, global_pool="", **_bound(architecture, size))
    try:
        state = load_file(weights)
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"can't read weights {weights}: {one_line(error)}. It must be a safetensors file.") from None
    classifiers = backbone.pretrained_cfg.get("classifier") or ()
    prefixes = tuple(f"{name}." for name in ([classifiers] if isinstance(classifiers, str) else classifiers))
    state = {name: value for name, value in state.items() if not name.startswith(prefixes)}
    try:
        backbone.load_state_dict(state, strict=True)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise WeightsError(f"weights {weights} do not fit {architecture}: {reason}") from None
    network: nn.Module = backbone
    return network


def build_backbone(
    architecture: str, size: Input, *, pretrained: bool = False, weights: Path | None = None
) -> nn.Module:
    """A timm network without pooling and classifier, N×3×H×W → N×C×h×w, or N×L×C for a transformer.

    Raises:
        WeightsError: unknown architecture, or weights that can't be had or do not fit.
    """
    import timm

    if not timm.is_model(architecture):
        import difflib

        near = difflib.get_close_matches(architecture, timm.list_models(), 1)
        raise WeightsError(f"timm has no model {architecture!r}." + (f" Did you mean {near[0]!r}?" if near else ""))
    if weights is not None:
        return _local(architecture, size, weights)
    if pretrained:
        return _pretrained(architecture, size)
    network: nn.Module = timm.create_model(architecture, num_classes=0, global_pool="", **_bound(architecture, size))
    return network


def _cannot_embed(architecture: str, size: Input, error: Exception) -> WeightsError:
    reason = one_line(error).rstrip(".")
    return WeightsError(
        f"{architecture} can't embed {size.height}×{size.width} images here: {reason}. Use an architecture that ends "
        "in a map or in tokens, such as a ResNet or a ViT."
    )


_UNFIT = (RuntimeError, AssertionError, IndexError, TypeError, AttributeError, ValueError)  # what timm raises


def build_network(network: Network, size: Input, *, pretrained: bool = False, weights: Path | None = None) -> Embedder:
    """The network that a recipe asks for.

    Raises:
        WeightsError: see `build_backbone`; or the architecture can't be used so.
    """
    import torch

    from pipeline.networks.embedder import Embedder, set_last_stride

    try:
        backbone = build_backbone(network.architecture, size, pretrained=pretrained, weights=weights)
    except WeightsError:
        raise
    except _UNFIT as error:
        raise _cannot_embed(network.architecture, size, error) from None
    if network.last_stride == 1:
        set_last_stride(backbone, network.architecture)
    try:
        with torch.no_grad():
            features = backbone.eval()(torch.zeros(1, 3, size.height, size.width))
        # timm's `num_features` counts a head that some networks have and we do not use
        embedder = Embedder(backbone, features.shape[1 if features.ndim == 4 else 2], network.embedding, size)
    except _UNFIT as error:
        raise _cannot_embed(network.architecture, size, error) from None
    return embedder.train()
