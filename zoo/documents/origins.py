"""Where the weights of a release come from, and what the network is for: facts that several documents share."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pipeline.networks.wheels import wheel_by_converted
from zoo.markdown import escaped
from zoo.release.lineage import ForeignFile, StageRecord
from zoo.release.manifest import Manifest

# The Hub knows four relations: adapter, finetune, merge, quantized (https://huggingface.co/docs/hub/model-cards). A
# student is another network for another task, so it is a fine-tuned one; `quantized` would list it among conversions
# that have the base's task and outputs. The Hub guesses `quantized` from ONNX files, so the relation is written out.
RELATION = "finetune"

USE_CASES = (
    "Image retrieval: find images of the same identity by the cosine of their embeddings.",
    "Search on an edge device, without sending images to a server.",
)


@dataclass(frozen=True)
class Risk:
    """Something that use of the network may do to people, and what reduces it."""

    name: str
    mitigation: str


RISKS = (
    Risk(
        "It links images of one identity across cameras and time. Where identities are people, or belong to people, as "
        "vehicles do, that is tracking.",
        "Check that you may process these images for this purpose, tell those concerned where the law requires it, and "
        "delete embeddings together with their images.",
    ),
    Risk(
        "A nearest image is not a proof of identity. The share of right answers on other data than the training data "
        "is unknown.",
        "Measure it on your own images, choose a threshold there, and let a person decide where it matters.",
    ),
)


def _given(manifest: Manifest, stage: str) -> StageRecord | None:
    return next((one for one in manifest.stages if one.name == stage and one.files), None)


def hub_models(manifest: Manifest) -> list[str]:
    """Repositories on the Hub whose weights student and teacher start from: the student's own first.

    They are those that the build loaded. For local files, the recipe's `base_model` says so.
    """
    said = manifest.recipe.get("base_model")
    found: list[str] = []
    for stage in ("distill", "teacher"):
        if record := _given(manifest, stage):
            found += [one.repository for one in record.hub.values()] or ([str(said)] if said else [])
    return list(dict.fromkeys(found))


def _local(manifest: Manifest, network: str, digest: str) -> str:
    """A local file: the wheel that it was made of, and the network that the recipe says it is a copy of."""
    wheel = wheel_by_converted(digest)
    what = f"`{wheel.project}` {wheel.version} of PyPI, converted" if wheel else "a local file"
    said, teacher = manifest.recipe.get("base_model"), manifest.recipe.get("teacher") or {}
    another = network == "teacher" and teacher.get("architecture")  # the recipe speaks of the student's
    return what if another or not said else f"{what}, a copy of `{said}` according to the recipe"


def _foreign(file: ForeignFile) -> Iterator[str]:
    yield f"file: {escaped(file.file)}, {file.size_bytes / 1e6:.2f} MB, sha256 `{file.sha256}`"
    yield f"source: {escaped(file.source) or 'not stated'}"
    yield f"trained on: {escaped(file.trained_on) or 'not stated'}"
    if file.producer:
        yield f"written by: {escaped(file.producer)}"


def origins(manifest: Manifest) -> list[str]:
    """Initial weights of teacher and student, or the file of a foreign network, a line of Markdown each."""
    lines = [*_foreign(manifest.foreign)] if manifest.foreign else []
    for stage, network in (("teacher", "teacher"), ("distill", "student")):
        record = _given(manifest, stage)
        for name, digest in record.files.items() if record else ():
            hub = record.hub.get(name) if record else None
            what = f"`{hub.repository}` at commit `{hub.revision}`" if hub else _local(manifest, network, digest)
            lines.append(f"{network}: {what}, sha256 `{digest}`")
    return lines
