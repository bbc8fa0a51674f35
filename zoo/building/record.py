"""The last stage: one folder with all files of a release, and the name that links to it."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Any

from pipeline.data import LIBRARIES as IMAGES
from pipeline.data.samples import Index
from pipeline.engine.step import RECORD, Step, StepId
from pipeline.engine.store import Store, explain, read_record
from pipeline.engine.work import Work, read_json
from pipeline.files import place_file
from pipeline.foreign_recipe import ForeignRecipe
from pipeline.recipe import Recipe
from pipeline.stages.calibrate import CALIBRATION
from pipeline.stages.compile import ARTIFACTS
from pipeline.stages.export import GRAPH as EXPORTED
from pipeline.stages.measure import files_below
from pipeline.stages.trained import TRAINING
from targets.files import sha256
from targets.settings import PRECISIONS, Precision
from zoo import __version__
from zoo.building.budget import budget_record
from zoo.building.origin import Given, origin_of
from zoo.building.repeating import command_line, portable
from zoo.building.results import target_records
from zoo.documents import write_documents
from zoo.documents.graph_metadata import facts, write_facts
from zoo.home import user_catalogue
from zoo.layout import GRAPH, MANIFEST, MEASUREMENTS
from zoo.release.lineage import Ancestor, Provenance
from zoo.release.manifest import Manifest
from zoo.release.measurements import Measured, Measurement, read_measurements, write_measurements

VERSION = 11
# used for documents and metadata
LIBRARIES = (*IMAGES, "onnx", "onnxruntime", "cyclonedx-python-lib", "huggingface-hub", "timm")
LICENSE = "Apache-2.0"  # license of this project's code, which makes and runs the release


def _artifact(
    root: Path, path: str, precision: str = "fp32", target: str | None = None, runtime: str | None = None
) -> dict[str, Any]:
    file = root / path
    return {
        "path": path,
        "size_bytes": file.stat().st_size,
        "sha256": sha256(file),
        "precision": precision,
        "target": target,
        "runtime": runtime,
    }


def _git() -> str | None:
    """The commit of the catalogue's folder, if it is in a repository."""
    folder = (user_catalogue() or Path.cwd() / "zoo.yaml").absolute().parent
    try:
        command = ["git", "-C", str(folder), "describe", "--always", "--abbrev=40", "--dirty=+", "--exclude=*"]
        result = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return result.stdout.strip() or None


def _stage(step: StepId, folder: Path) -> dict[str, Any]:
    record = read_record(folder)
    return {
        "name": str(step),
        "key": folder.name,
        **{key: record[key] for key in ("version", "inputs", "files", "libraries", "finished_at", "seconds")},
        "hub": record.get("hub", {}),
        "trained_on": read_json(folder / TRAINING) if (folder / TRAINING).exists() else None,
    }


def _shipped(target: str, chosen: Precision | None, folders: Mapping[StepId, Path]) -> Iterator[tuple[str, str, Path]]:
    """Artifacts of a target: precision, path in the release, file. All precisions for a pending target."""
    device = folders.get(StepId("device", target=target))
    if device and chosen:
        root = device / ARTIFACTS / f"student-{chosen}"
        yield from ((chosen, f"{target}/{path.relative_to(root).as_posix()}", path) for path in files_below(root))
    if device:
        return
    for precision in PRECISIONS if chosen is None else (chosen,):
        if folder := folders.get(StepId("compile", "student", precision, target)):
            below, root = target if chosen else f"{target}/{precision}", folder / ARTIFACTS
            yield from ((precision, f"{below}/{p.relative_to(root).as_posix()}", p) for p in files_below(root))


def _calibrations(folders: Mapping[StepId, Path]) -> Iterator[dict[str, Any]]:
    for step, folder in folders.items():
        found = folder / CALIBRATION
        if step.stage == "calibrate" and found.exists():  # otherwise it is broken
            yield {"network": step.network, "target": step.target, **read_json(found)}


def _of_what_ships(record: Measurement, added: Mapping[str, int]) -> Measurement:
    """A record with the size of the artifact as it is in the release, where it is.

    Args:
        added: bytes that facts took in the student's artifacts, by precision.
    """
    if not isinstance(record, Measured) or record.network != "student" or not added.get(record.precision):
        return record
    return record.model_copy(update={"size_bytes": record.size_bytes + added[record.precision]})


def record_release(
    work: Work,
    *,
    data: Index,
    name: str,
    recipe: Recipe | ForeignRecipe,
    data_license: str,
    targets: Mapping[str, str],
    overrides: tuple[str, ...],
    git: str | None,
    results: Mapping[StepId, Path],
    ancestors: tuple[Ancestor, ...] = (),
    given: Given | None = None,
    model: str | None = None,
) -> None:
    """Write `manifest.json` and all files that it names.

    Args:
        targets: runtimes by target.
        overrides: changes to the catalogue's recipe, for the command that repeats the build.
        git: commit of the catalogue's folder, if it is in a repository.
        results: folders of all earlier steps.
        ancestors: the release that training started from, and those before it.
        given: the file of a foreign network.
        model: name in the catalogue, if the release has another one.
    """
    out, origin = work.out, origin_of(recipe, results, given)
    recipe_digest = hashlib.sha256(recipe.model_dump_json().encode()).hexdigest()
    told = facts(
        f"{name}@{recipe.version}",
        (recipe.license, data_license),
        recipe.input,
        origin.embedding,
        recipe_digest,
        origin.digest,
    )
    artifacts = []
    known: list[Measurement] = []
    for source, path in (*origin.files, (results[StepId("export", "student")] / EXPORTED, GRAPH)):
        place_file(source, out / path)
        write_facts(out / path, told)
        artifacts.append(_artifact(out, path))
    for target, runtime in targets.items():
        chosen, records = target_records(target, f"{name}@{recipe.version}", data.fingerprint, results)
        added: Counter[str] = Counter()  # bytes, by precision
        for precision, path, source in _shipped(target, chosen, results):
            place_file(source, out / path)
            write_facts(out / path, told)
            added[precision] += (out / path).stat().st_size - source.stat().st_size
            artifacts.append(_artifact(out, path, precision, target, runtime))
        records = [_of_what_ships(record, added) for record in records]
        write_measurements(out / MEASUREMENTS, records)
        known += records
    stages = [_stage(step, folder) for step, folder in results.items()]
    draft = Manifest.model_validate(
        {
            "name": name,
            "version": recipe.version,
            "description": recipe.description,
            "created_at": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "recipe": recipe.model_dump(mode="json"),
            "recipe_digest": recipe_digest,
            "data": {
                "name": recipe.dataset,
                "fingerprint": data.fingerprint,
                "train_images": len(data.train),
                "train_identities": data.train.identity_count,
                "gate_images": len(data.gate) if data.gate else 0,
                "gate_identities": data.gate.identity_count if data.gate else 0,
                "query_images": len(data.query),
                "gallery_images": len(data.gallery),
            },
            "licenses": {"code": LICENSE, "weights": recipe.license, "data": data_license},
            "ancestors": ancestors,
            "stages": stages,
            **origin.told,
            "budget": budget_record(results, known),
            "calibrations": list(_calibrations(results)),
            "artifacts": artifacts,
            "documents": [],
            "provenance": Provenance(
                zoo=__version__,
                python=platform.python_version(),
                libraries={k: v for stage in stages for k, v in stage["libraries"].items()},
                git=git,
                seed=recipe.seed,
                seconds=round(sum(stage["seconds"] for stage in stages), 1),
                command=command_line(
                    ("add" if given else "build", model or name, *(given.words if given else ())),
                    targets,
                    map(portable, overrides),
                ),
            ),
        }
    )
    documents = write_documents(out, draft, read_measurements(out / MEASUREMENTS), recipe.input)
    work.write_json(MANIFEST, draft.model_copy(update={"documents": documents}).model_dump(mode="json"))


def record_step(
    name: str,
    recipe: Recipe | ForeignRecipe,
    data: Index,
    data_license: str,
    steps: list[Step],
    targets: Mapping[str, str],
    overrides: tuple[str, ...],
    ancestors: tuple[Ancestor, ...] = (),
    given: Given | None = None,
    model: str | None = None,
) -> Step:
    """The step that records the results of `steps`."""
    return Step(
        RECORD,
        # git runs before training, so that no process is forked beside data loaders and their signal handlers. The
        # commit is in the record, but not in its key.
        partial(record_release, git=_git()),
        VERSION,
        {
            "name": name,
            "recipe": recipe,
            "data_license": data_license,
            "targets": targets,
            "overrides": overrides,
            **({"ancestors": ancestors} if ancestors else {}),  # others keep their keys
            **({"given": given} if given else {}),
            **({"model": model} if model not in (None, name) else {}),
        },
        inputs={"results": {step.id: step.id for step in steps}},
        libraries=LIBRARIES,
        data=data,
    )


def publish(store: Store, key: str, releases: Path, name: str, version: str) -> Path:
    """Link the release's name to a recorded result, in one rename, and return the manifest's path.

    Raises:
        StoreError: the folder of releases can't be written.
    """
    link = releases / name / version
    target = os.path.relpath(store.folder("record", key), link.parent)
    try:
        if not (link.is_symlink() and str(link.readlink()) == target):
            link.parent.mkdir(parents=True, exist_ok=True)
            fresh = link.with_name(f".{version}.new")
            fresh.unlink(missing_ok=True)
            fresh.symlink_to(target, target_is_directory=True)
            fresh.replace(link)
    except OSError as error:
        raise explain(error, releases) from None
    return link / MANIFEST
