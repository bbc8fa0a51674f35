"""Stage `calibrate`: one graph per precision, and its loss of accuracy."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import numpy as np
from pydantic import Field, model_validator
from typing_extensions import Self

from calibration.errors import TooFewImages
from calibration.fallback import Sensitivity, fall_back, sensitivities
from calibration.fastest import AS_IT_WAS, Fastest
from calibration.quantize import Quantizer, write_half
from calibration.samples import candidates, coverage, k_centre
from calibration.work import work_per_value
from pipeline.data import LIBRARIES as IMAGES
from pipeline.data.images import Input, read_batches
from pipeline.data.samples import Index, Samples
from pipeline.engine.work import Work
from pipeline.retrieval.agreement import Agreement, Answered, agreement, answer
from pipeline.settings import Settings
from pipeline.stages.export import GRAPH
from pipeline.stages.reference import read_gate_reference
from targets.contract import Job, Session, make_target
from targets.measuring.graphs import time_graphs
from targets.measuring.ratio import Ratio
from targets.settings import EMBED_BATCH, Activations, TargetSettings, WeightBits

VERSION = 4
LIBRARIES = (*IMAGES, "torch", "onnx", "onnxruntime")
CALIBRATION = "calibration.json"
SENSITIVITY_IMAGES = 32
TIMED_CALLS, TIMED_SECONDS = 400, 20.0  # per graph, to tell whether it is faster
BRIEF_CALLS, BRIEF_SECONDS = 80, 5.0  # per graph, to choose those that are worth it
# Run graphs of targets whose device is not here; the second one computes int8 as on any device, not as on this one.
HOST = TargetSettings("onnxruntime")
EXACT = TargetSettings("onnxruntime", options={"int8_kernels": False})


class Calibrate(Settings):
    """Calibration images, and the limit on the loss of accuracy."""

    images: int = Field(300, ge=1, description="number of training images on which ranges are observed")
    min_images: int = Field(128, ge=1, description="fewer are an error")
    choose: Literal["k_centre", "random"] = Field("k_centre", description="how the images are chosen")
    max_map_drop_points: float = Field(0.5, ge=0, description="mAP in torch − mAP of the artifact, percentage points")
    max_float_layers: float = Field(
        0.5, ge=0, le=1, description="share of layers that may return to float before int8 is given up"
    )

    layers: Literal["all", "fastest"] = Field(
        "all",
        exclude_if=lambda layers: layers == "all",  # so that recipes without it keep their digests
        description="layers that become int8: `all` that accuracy allows; or `fastest`, those of them that are faster "
        "in int8, timed on the target if it is this machine",
    )

    @model_validator(mode="after")
    def _asks_for_enough(self) -> Self:
        if self.images < self.min_images:
            raise ValueError(f"images ({self.images}) is below min_images ({self.min_images})")
        return self

    def check(self, data: Index) -> None:
        """Check, before training, that there are enough calibration images.

        Raises:
            TooFewImages: there are not.
        """
        if len(data.train) < self.min_images:
            raise TooFewImages(
                f"the data set has {len(data.train)} training images, but int8 calibration needs calibrate.min_images "
                f"({self.min_images}). Add images, lower that setting, or build with --precision fp16."
            )


def embed_samples(session: Session, samples: Samples, size: Input) -> np.ndarray:
    """Embeddings N×D of a split by a compiled artifact."""
    return np.concatenate([session.embed(batch) for batch in read_batches(samples, size, EMBED_BATCH)])


def answer_gate(session: Session, data: Index, size: Input) -> Answered:
    """Embeddings of the split that decides gates, `Index.judged`, by a compiled artifact."""
    query_of, gallery_of = data.judged
    query = embed_samples(session, query_of, size)
    gallery = query if gallery_of is query_of else embed_samples(session, gallery_of, size)
    return answer(query, gallery, query_of, gallery_of)


class ReferenceRuntime:
    """Runs graphs as a target would."""

    def __init__(self, target: TargetSettings, data: Index, size: Input, scratch: Path) -> None:
        self.target, self._data, self._size = make_target(target), data, size
        self._folder = scratch / "compiled"

    def session(self, graph: Path) -> Session:
        """A session of the graph, compiled and loaded."""
        self._folder.mkdir(exist_ok=True)
        self.target.compile(graph, self._folder, Job(self._size.height, self._size.width, (1, EMBED_BATCH)))
        return self.target.load(self._folder)

    def time(self, graphs: Mapping[str, Path], brief: bool, tell: Callable[[str], None]) -> dict[str, Ratio]:
        """Ratios of graphs to the one named `AS_IT_WAS`, timed in turn with one image a call."""
        calls, seconds = (BRIEF_CALLS, BRIEF_SECONDS) if brief else (TIMED_CALLS, TIMED_SECONDS)
        with TemporaryDirectory(dir=self._folder.parent) as scratch:
            job = Job(self._size.height, self._size.width, (1,))
            _, timing, _ = time_graphs(self.target, graphs, Path(scratch), job, calls, seconds, tell)
        return {name: timing.ratio(name, AS_IT_WAS) for name in graphs if name != AS_IT_WAS}

    def embed(self, graph: Path, images: np.ndarray) -> np.ndarray:
        """Embeddings N×D of uint8 N×H×W×3."""
        session = self.session(graph)
        parts = [session.embed(images[at : at + EMBED_BATCH]) for at in range(0, len(images), EMBED_BATCH)]
        return np.concatenate(parts)

    def answer(self, graph: Path) -> Answered:
        """Embeddings of the split that decides gates, `Index.judged`."""
        return answer_gate(self.session(graph), self._data, self._size)


def _gate(judge: ReferenceRuntime, reference: Answered) -> Callable[[Path], Agreement]:
    return lambda graph: agreement(reference, judge.answer(graph))


def halve_graph(work: Work, *, data: Index, input: Input, settings: Calibrate, graph: Path, reference: Path) -> None:
    """Write `model.onnx` in fp16, and its loss of accuracy on the host to `calibration.json`.

    Args:
        graph: folder of a stage `export`.
        reference: folder of the stage `reference` of the same network.

    Raises:
        NotQuantisable: the graph can't be converted to fp16.
    """
    write_half(graph / GRAPH, work.out / GRAPH)
    verdict = _gate(ReferenceRuntime(HOST, data, input, work.scratch), read_gate_reference(reference, data))(
        work.out / GRAPH
    )
    work.write_json(
        CALIBRATION,
        {
            "precision": "fp16",
            "judge": HOST.runtime,
            "agreement": verdict.model_dump(),
            "holds": verdict.map_drop_points <= settings.max_map_drop_points,
        },
    )


def _chosen(
    data: Index, settings: Calibrate, embed: Callable[[Samples], np.ndarray], seed: int
) -> tuple[np.ndarray, dict[str, float]]:
    """Indices of training images, and how well they cover the others."""
    some = candidates(len(data.train), seed)
    embeddings = embed(data.train.subset(some))
    if settings.choose == "k_centre":
        picked = k_centre(embeddings, settings.images)
    else:
        picked = np.random.default_rng(seed).permutation(len(some))[: settings.images]
    found = coverage(embeddings, picked)
    return np.sort(some[picked]), {"mean_distance": found.mean, "largest_distance": found.largest}


def quantize_graph(
    work: Work,
    *,
    data: Index,
    input: Input,
    seed: int,
    settings: Calibrate,
    activations: Activations,
    judge: TargetSettings,
    graph: Path,
    reference: Path,
    weight_bits: WeightBits = 8,
    here: bool = False,
) -> None:
    """Write `model.onnx` with Q/DQ; images, float layers and loss of accuracy to `calibration.json`.

    Args:
        activations: kind that the target needs, see `calibration.quantize`.
        judge: target in which the loss is measured: the target itself if it is here.
        graph: folder of a stage `export`.
        reference: folder of the stage `reference` of the same network.
        weight_bits: of int8 weights that the target needs, see `targets.contract.weight_bits`.
        here: whether `judge` is the target, so that layers can be timed.

    Raises:
        TooFewImages: see `Calibrate.check`.
        NotQuantisable: the graph can't be quantised.
    """
    settings.check(data)
    runs = ReferenceRuntime(judge, data, input, work.scratch)
    float_session = runs.session(graph / GRAPH)
    picked, covered = _chosen(data, settings, lambda some: embed_samples(float_session, some, input), seed)
    chosen = data.train.subset(picked)
    images = np.concatenate(list(read_batches(chosen, input, EMBED_BATCH)))
    quantizer = Quantizer(graph / GRAPH, images, activations, work.scratch, weight_bits)

    ranked: list[Sensitivity] = []

    def rank(verdict: Agreement) -> list[str]:
        work.progress.say(
            f"int8 costs {verdict.map_drop_points:.2f} mAP points, more than {settings.max_map_drop_points:g}: "
            "the most sensitive layers return to float"
        )
        with work.progress.bar("sensitivity", len(quantizer.layers)) as bar:
            few = images[:: max(1, len(images) // SENSITIVITY_IMAGES)][:SENSITIVITY_IMAGES]
            ranked.extend(sensitivities(quantizer, runs.embed, few, work.scratch, bar.advance))
        return [one.layer for one in ranked]

    judged = _gate(runs, read_gate_reference(reference, data))
    most = int(settings.max_float_layers * len(quantizer.layers))
    outcome = fall_back(
        quantizer,
        rank,
        work.out / GRAPH,
        judged,
        lambda verdict: verdict.map_drop_points,
        settings.max_map_drop_points,
        most,
    )
    excluded, verdict, speed = outcome.excluded, outcome.verdict, dict[str, Any]()
    if settings.layers == "fastest" and here and outcome.holds:
        search = Fastest(
            quantizer,
            lambda graphs, brief: runs.time(graphs, brief, work.progress.say),
            judged,
            lambda found: found.map_drop_points <= settings.max_map_drop_points,
            work.scratch,
        )
        work_of = work_per_value(graph / GRAPH)
        faster = search.find(excluded, most, sorted(quantizer.layers, key=lambda layer: work_of[layer]))
        if faster:
            excluded, verdict = faster.excluded, faster.verdict
            quantizer.write(work.out / GRAPH, excluded=excluded)
        speed = {"alone": {layer: ratio.ratio for layer, ratio in search.alone.items()}}
        speed |= {"for_accuracy": list(outcome.excluded), "faster": asdict(faster.ratio) if faster else None}
    work.write_json(
        CALIBRATION,
        {
            "precision": "int8",
            "activations": activations,
            "weight_bits": weight_bits,
            "images": list(chosen.paths),
            "images_sha256": hashlib.sha256(images.tobytes()).hexdigest(),
            "coverage": covered,
            "judge": judge.runtime,
            "agreement": verdict.model_dump(),
            "before_fallback": outcome.before.model_dump(),
            "float_layers": list(excluded),
            "sensitivities": {one.layer: one.loss for one in ranked},
            "layers": len(quantizer.layers),
            "holds": outcome.holds,
            **({"fastest": speed} if speed else {}),
        },
    )
