"""What a release says about where its network comes from: trained by a build, or from a foreign file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.engine.step import COMPACT, DISTILL, TEACHER, StepId
from pipeline.engine.work import read_json
from pipeline.foreign_recipe import ForeignRecipe
from pipeline.method.settings import SELECTION
from pipeline.networks.serialization import DESCRIPTION, WEIGHTS
from pipeline.planning.foreign import GRAPH as FOREIGN_GRAPH
from pipeline.planning.training import NETWORKS
from pipeline.recipe import Recipe
from targets.files import sha256
from zoo.building.results import student_accuracy
from zoo.layout import NETWORK

Folders = Mapping[StepId, Path]  # results of steps


@dataclass(frozen=True)
class Given:
    """What `zoo add` was told about a file, beside the recipe.

    Attributes:
        file: its name, without folders.
        size_bytes: with external data.
        words: options that repeat the command, without paths of this machine.
    """

    file: str
    size_bytes: int
    source: str
    trained_on: str
    words: tuple[str, ...]


@dataclass(frozen=True)
class Origin:
    """Facts about a network.

    Attributes:
        files: of the trained network, with their paths in the release.
        digest: sha256 of its weights, or of the foreign file.
        embedding: length of its output.
        told: parts of the manifest.
    """

    files: tuple[tuple[Path, str], ...]
    digest: str
    embedding: int
    told: dict[str, Any]


def _cut(cut: dict[str, Any]) -> dict[str, Any]:
    told = {key: value for key, value in cut.items() if key not in ("search", "compared")}
    return {**told, "tries": max(0, len(cut["search"]) - 1)}


def _cuts(path: Path) -> list[dict[str, Any]]:
    """Steps at which channels were removed by importance, from the output of stage `distill`."""
    return [_cut(cut) for cut in read_json(path)["cuts"]] if path.exists() else []


def _parity(results: Folders) -> Iterator[tuple[str, dict[str, Any]]]:
    for network in NETWORKS:
        if folder := results.get(StepId("export", network)):
            exported = read_json(folder / "export.json")
            yield network, {key: exported[key] for key in ("min_cosine", "images", "opset")}


def origin_of(recipe: Recipe | ForeignRecipe, results: Folders, given: Given | None) -> Origin:
    """Facts about the network of a release.

    Args:
        results: folders of all steps.
        given: of a foreign network.
    """
    own = read_json(student_accuracy(results))
    parity = dict(_parity(results))
    if isinstance(recipe, Recipe):
        student = results[COMPACT]
        files = tuple((student / name, f"{NETWORK}/{name}") for name in (WEIGHTS, DESCRIPTION))
        told = {
            "accuracy": {
                "teacher": read_json(results[TEACHER] / "accuracy.json"),
                "dense_student": read_json(results[DISTILL] / "accuracy.json"),
                "student": own,
            },
            "compression": {
                "teacher": read_json(results[TEACHER] / "cost.json"),
                "cuts": _cuts(results[DISTILL] / SELECTION),
                **read_json(student / "compression.json"),
            },
            "parity": parity,
        }
        return Origin(files, sha256(student / WEIGHTS), recipe.network.embedding, told)
    assert given is not None
    exported = read_json(results[FOREIGN_GRAPH] / "export.json")
    foreign: dict[str, Any] = {
        "accuracy": {"teacher": None, "dense_student": None, "student": own},
        "compression": None,
        "foreign": {
            "file": given.file,
            "sha256": recipe.foreign.sha256,
            "size_bytes": given.size_bytes,
            "source": given.source,
            "trained_on": given.trained_on,
            "producer": exported["producer"],
            "cost": exported["cost"],
        },
        "parity": parity,
    }
    return Origin((), recipe.foreign.sha256, exported["dimension"], foreign)
