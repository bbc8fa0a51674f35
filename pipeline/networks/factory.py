"""The embedding network: a timm backbone, global average pooling and the embedding head of the paper."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, Field

from pipeline.data.images import Input
from pipeline.errors import WeightsError
from pipeline.networks.header import read_header
from pipeline.networks.hub import HubFile, Memory, find_hub_file
from pipeline.networks.matching import classifier_of, mismatch, not_finite, refusal
from pipeline.networks.wheels import get_again, ways_out
from pipeline.settings import Settings
from targets.errors import first_line

if TYPE_CHECKING:
    from torch import nn

    from pipeline.networks.embedder import Embedder

Weights = Path | HubFile | None  # a local file, one on the Hub, or from scratch
Normalisation = tuple[tuple[float, float, float], tuple[float, float, float]]  # mean, deviation


def _safetensors(weights: Path | None) -> Path | None:
    if weights is not None and weights.suffix != ".safetensors":
        raise ValueError("must be a .safetensors file (pickled weights are never read)")
    return weights


# Excluded from dumps: only the file's content counts, and manifests hold no paths of a machine.
LocalWeights = Annotated[
    Path | None,
    AfterValidator(_safetensors),
    Field(
        exclude=True,
        description="local safetensors with timm's names, in place of a download; a relative path starts at the "
        "current folder, else at the folder of zoo.yaml, else at the weights folder",
    ),
]


# Excluded if None, so that recipes without it keep their digests. The file it resolves to counts.
Revision = Annotated[
    str | None,
    Field(
        min_length=1,
        exclude_if=lambda revision: revision is None,
        description="commit, tag or branch of the weights' repository on the Hub; default: the current main",
    ),
]


class Network(Settings):
    """A timm architecture, the stride of its last stage, and the length of the embedding."""

    architecture: str
    last_stride: Literal[1, 2] = 1
    embedding: int = Field(512, ge=2)


def hub_weights(architecture: str, revision: str | None, memory: Memory) -> HubFile:
    """timm's weights of an architecture on the Hub, safetensors only.

    Raises:
        WeightsError: there are none, or they can't be identified.
    """
    check_architecture(architecture)
    config = config_of(architecture)
    if config is None or not config.hf_hub_id:
        raise WeightsError(f"timm has no pretrained weights for {architecture}. {ways_out(architecture)}")
    return find_hub_file(config.hf_hub_id, revision, memory)


def normalisation_of(architecture: str) -> Normalisation | None:
    """Mean and deviation of the images that timm's pretrained weights were trained on; None if unknown."""
    config = config_of(architecture)
    if config is None or len(config.mean) != 3 or len(config.std) != 3:
        return None
    return tuple(config.mean), tuple(config.std)


def license_of(architecture: str) -> str | None:
    """License of timm's pretrained weights, as timm knows it."""
    config = config_of(architecture)
    return config.license or None if config is not None else None


def config_of(architecture: str) -> Any:
    """timm's `PretrainedCfg` of an architecture, by its name with or without a tag; None if timm has no such name."""
    import timm

    if not timm.is_model(architecture):  # which does not look at the tag
        return None
    try:
        return timm.get_pretrained_cfg(architecture)
    except RuntimeError:  # an unknown tag
        return None


def _bound(architecture: str, size: Input) -> dict[str, Any]:
    """The image size, for architectures that depend on it."""
    config = config_of(architecture)
    return {"img_size": (size.height, size.width)} if config is not None and config.fixed_input_size else {}


def _plain(architecture: str, size: Input) -> nn.Module:
    """The network with random weights, without pooling and classifier."""
    import timm

    network: nn.Module = timm.create_model(architecture, num_classes=0, global_pool="", **_bound(architecture, size))
    return network


def _by_timm(architecture: str, size: Input, weights: Path, **head: Any) -> nn.Module:
    """Weights from a file, adapted to the image size as timm does it.

    Args:
        head: `num_classes=0` for a file whose classifier is missing or of other classes than timm's; timm then checks
            no names.
    """
    import timm

    source = {"file": str(weights)}
    bound = _bound(architecture, size)
    backbone: Any = timm.create_model(architecture, pretrained=True, pretrained_cfg_overlay=source, **bound, **head)
    backbone.reset_classifier(0, "")
    network: nn.Module = backbone
    return network


def _published(architecture: str, size: Input, weights: Path) -> nn.Module:
    """Weights from a file of the Hub."""
    header = read_header(weights, "Remove it, so that it is downloaded again.")
    try:
        return _by_timm(architecture, size, weights)
    except (RuntimeError, KeyError):
        plain = _plain(architecture, size)  # raises if not the weights but the size is at fault
        if found := mismatch(header, plain.state_dict(), classifier_of(plain)):
            raise WeightsError(refusal(weights, architecture, found, header)) from None
        raise


def _local(architecture: str, size: Input, weights: Path) -> nn.Module:
    """Weights from a safetensors file with timm's names; the classifier is optional, everything else must match.

    Any floating type is accepted, and converted. Where only shapes differ, as those of position embeddings for another
    image size, timm adapts them.
    """
    from safetensors.torch import load_file

    header = read_header(weights, get_again(weights))
    network = _plain(architecture, size)
    found = mismatch(header, network.state_dict(), classifier_of(network))
    if not found:
        state = load_file(weights)
        network.load_state_dict({name: state[name] for name in network.state_dict() if name in state}, strict=True)
        return network
    if found.reshaped and not (found.missing or found.unexpected or found.retyped):
        with suppress(RuntimeError, KeyError):  # timm can't adapt them either
            return _by_timm(architecture, size, weights, num_classes=0)
    raise WeightsError(refusal(weights, architecture, found, header))


def _finite(network: nn.Module, weights: Path) -> nn.Module:
    """The network, if all of its weights are numbers.

    Raises:
        WeightsError: they are not.
    """
    if broken := not_finite(network):
        raise WeightsError(
            f"weights {weights} hold values that are infinite or not numbers, in {len(broken)} of their tensors, such "
            f"as {broken[0]}. Use other weights, or get these again from their source."
        )
    return network


def check_architecture(architecture: str) -> None:
    """Refuse an architecture or a tag that timm does not have.

    Raises:
        WeightsError: it is unknown; the message suggests similar ones, or lists the tags.
    """
    import difflib

    import timm

    name, _, tag = architecture.partition(".")
    if not timm.is_model(name):
        models = timm.list_models()
        near = [one for one in models if name and one.startswith(name)][:NEAR]
        near = near or difflib.get_close_matches(architecture, models, 1)
        hint = f"Did you mean {' or '.join(map(repr, near))}?" if near else "timm.list_models() has all names."
        raise WeightsError(f"timm has no model {architecture!r}. {hint}")
    if tag and config_of(architecture) is None:
        known = ", ".join(timm.list_pretrained(f"{name}.*")) or "none"
        raise WeightsError(f"timm has no weights {architecture!r}. Known: {known}; or leave the tag out: {name}")


def build_backbone(architecture: str, size: Input, weights: Weights = None) -> nn.Module:
    """A timm network without pooling and classifier: N×3×H×W → N×C×h×w, or N×L×C for a transformer.

    Raises:
        WeightsError: unknown architecture, or weights that are missing or do not match.
    """
    check_architecture(architecture)
    if isinstance(weights, HubFile):
        path = weights.fetch()
        return _finite(_published(architecture, size, path), path)
    if weights is not None:
        return _finite(_local(architecture, size, weights), weights)
    return _plain(architecture, size)


def check_backbone(architecture: str, weights: Path) -> None:
    """Check that a local file holds the weights of an architecture.

    Raises:
        WeightsError: see `build_backbone`.
    """
    config = config_of(architecture)
    _, height, width = config.input_size if config is not None else (3, 224, 224)
    build_backbone(architecture, Input(height=height, width=width), weights)


def _cannot_embed(architecture: str, size: Input, error: Exception) -> WeightsError:
    reason = first_line(error).rstrip(".")
    return WeightsError(
        f"{architecture} can't embed {size.height}×{size.width} images here: {reason}. Use an architecture that ends "
        "in a map or in tokens, such as a ResNet or a ViT."
    )


def _check_patches(backbone: nn.Module, architecture: str, size: Input) -> None:
    """Check that patches cover the image; a transformer silently ignores the rest."""
    embedding: Any = getattr(backbone, "patch_embed", None)
    patch = getattr(embedding, "patch_size", None)
    if not isinstance(patch, tuple) or len(patch) != 2 or getattr(embedding, "dynamic_img_pad", False):
        return
    wrong = [
        f"input.{name} {pixels} to {' or '.join(str(n) for n in (pixels // of * of, -(-pixels // of) * of) if n >= of)}"
        for name, pixels, of in (("height", size.height, patch[0]), ("width", size.width, patch[1]))
        if pixels % of
    ]
    if wrong:
        raise WeightsError(
            f"{architecture} divides images into patches of {patch[0]}×{patch[1]} pixels, and would ignore the edge of "
            f"{size.height}×{size.width} images. Change {' and '.join(wrong)}."
        )


NEAR = 4  # names that an error suggests
_UNFIT = (RuntimeError, AssertionError, IndexError, TypeError, AttributeError, ValueError)  # errors of timm


def build_network(network: Network, size: Input, weights: Weights = None) -> Embedder:
    """The network of a recipe.

    Raises:
        WeightsError: see `build_backbone`; or the architecture can't be used like this, or not at this image size.
    """
    import torch

    from pipeline.networks.embedder import Embedder, map_axes, set_last_stride

    try:
        backbone = build_backbone(network.architecture, size, weights)
    except WeightsError:
        raise
    except _UNFIT as error:
        raise _cannot_embed(network.architecture, size, error) from None
    _check_patches(backbone, network.architecture, size)
    if network.last_stride == 1:
        set_last_stride(backbone, network.architecture)
    try:
        with torch.no_grad():
            features = backbone.eval()(torch.zeros(1, 3, size.height, size.width))
        # timm's `num_features` counts a head that some networks have and that is not used here
        channels = features.shape[1 if features.ndim == 4 and map_axes(backbone) == (2, 3) else -1]
        embedder = Embedder(backbone, channels, network.embedding, size)
    except _UNFIT as error:
        raise _cannot_embed(network.architecture, size, error) from None
    return embedder.train()
