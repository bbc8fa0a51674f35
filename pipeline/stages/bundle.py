"""Stage `bundle`: one archive with everything a device needs to compile and measure (`targets.bundles.contents`)."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

import targets
from pipeline.data import LIBRARIES as IMAGES
from pipeline.data.images import Input, read_image
from pipeline.data.samples import Index
from pipeline.engine.step import StepId, Variant
from pipeline.engine.work import Work, read_json
from pipeline.stages.calibrate import CALIBRATION
from pipeline.stages.compile import ARTIFACTS
from pipeline.stages.export import GRAPH
from pipeline.stages.measure import Measure, files_below
from pipeline.stages.reference import GALLERY, QUERY
from pipeline.stages.unsupported import check_left, parted
from targets.bundles.archive import write_archive
from targets.bundles.contents import BUNDLE_LIST, MAIN
from targets.bundles.contents import Variant as BundledVariant
from targets.bundles.packed import pack
from targets.bundles.pixels import pack as pack_pixels
from targets.contract import find_runtime, make_target, needs_of
from targets.files import sha256
from targets.settings import Precision, TargetSettings

VERSION = 4
LIBRARIES = IMAGES
SUFFIX = ".zoo"
STATIC = "static"  # folder of files that a runtime's package needs besides its code


def _sources(package: Path) -> Iterator[tuple[str, Path]]:
    for path in sorted(package.rglob("*.py")):
        yield path.relative_to(package.parent).as_posix(), path


def device_code(runtime: str) -> dict[str, Path]:
    """What a device needs to run a runtime, by name in the bundle: the sources of `targets`, and either the files of a
    library that `targets` carries for the runtime, or the sources of a third-party package that provides it.

    Raises:
        UnknownRuntime: no installed package provides it.
    """
    package = Path(targets.__file__).parent
    code = {name: path for name, path in _sources(package) if not name.startswith("targets/ssh/")}  # the host's part
    top, *inner = find_runtime(runtime).module.split(".")
    if top == package.name:
        carried = package.joinpath(*inner[:-1], STATIC)
        return code | {path.relative_to(package.parent).as_posix(): path for path in files_below(carried)}
    spec = find_spec(top)
    if spec and spec.origin:
        origin = Path(spec.origin)
        code |= dict(_sources(origin.parent)) if origin.name == "__init__.py" else {origin.name: origin}
    return code


def code_digest(runtime: str) -> str:
    """sha256 over the files of `device_code`."""
    listed = {name: sha256(path) for name, path in device_code(runtime).items()}
    return hashlib.sha256(json.dumps(listed, sort_keys=True).encode()).hexdigest()


def _test_set(scratch: Path, data: Index, size: Input) -> Path:
    """The folder of the test set, written once; what an interrupted step left is written again."""
    folder, fresh = scratch / "test", scratch / "test.new"
    if not folder.exists():
        shutil.rmtree(fresh, ignore_errors=True)
        _write_test_set(fresh, data, size)
        fresh.rename(folder)
    return folder


def _write_test_set(folder: Path, data: Index, size: Input) -> None:
    """Write each image of the test set and the gate's split once, as pixels, so that a device needs no decoder (see
    `targets.bundles.pixels`).
    """
    folder.mkdir()
    places: dict[str, int] = {}
    splits = {"query": data.query, "gallery": data.gallery} | ({"gate": data.gate} if data.gate else {})
    for name, samples in splits.items():
        at = [places.setdefault(path, len(places)) for path in samples.paths]
        np.save(folder / f"{name}.npy", np.array(at))
        assert samples.contents is not None  # the data set is open
        np.save(folder / f"{name}-labels.npy", np.stack([samples.identities, samples.cameras, samples.contents]))
    shape = (len(places), 3, size.height, size.width)
    images = np.lib.format.open_memmap(folder / "images.npy", "w+", np.uint8, shape)
    for path, place in places.items():
        images[place] = pack_pixels(read_image(data.query.root / path, size)[None])[0]
    images.flush()


def write_bundle(
    work: Work,
    *,
    data: Index,
    input: Input,
    release: str,
    name: str,
    target: TargetSettings,
    code: str,  # noqa: ARG001 - part of the key, so that a new bundle is made when the code changes
    settings: Measure,
    precisions: tuple[Precision, ...],
    graphs: Mapping[Variant, Path],
    references: Mapping[StepId, Path],
    compiled: Mapping[Variant, Path] | None = None,
) -> None:
    """Write `NAME-VERSION-TARGET.zoo`. A broken variant is in its list, without a graph.

    Args:
        release: name@version.
        name: name of the target.
        code: see `code_digest`.
        precisions: those that may ship.
        graphs: folders of the stages `export` and `calibrate`.
        references: folder of the student's stage `reference`.
        compiled: folders of the stage `compile`, if the bundle carries artifacts in place of graphs.

    Raises:
        CheckFailed: see `check_left`.
    """
    sound, broken = parted(compiled or graphs)
    check_left(broken, precisions)
    scratch = work.scratch / "bundle"
    scratch.mkdir(exist_ok=True)
    suffix = "artifact" if compiled else "onnx"
    variants = [BundledVariant(*variant, f"graphs/{variant.network}-{variant.precision}.{suffix}") for variant in sound]
    files: dict[str, Path | bytes] = {"__main__.py": MAIN.encode(), **device_code(target.runtime)}
    calibrations = {}
    for (variant, folder), bundled in zip(sound.items(), variants, strict=True):
        files[bundled.graph] = folder / GRAPH
        if compiled:
            files[bundled.graph] = scratch / f"{variant.network}-{variant.precision}.{suffix}"
            pack(folder / ARTIFACTS, scratch / f"{variant.network}-{variant.precision}.{suffix}")
        if (graphs[variant] / CALIBRATION).exists():
            calibrations[str(variant)] = read_json(graphs[variant] / CALIBRATION)
    files |= {f"test/{path.name}": path for path in sorted(_test_set(scratch, data, input).iterdir())}
    for split in (QUERY, GALLERY):
        half = np.load(references[StepId("reference", "student")] / split).astype(
            np.float16
        )  # changes a cosine by less than 1e-6
        np.save(scratch / split, half)
        files[f"reference/{split}"] = scratch / split
    manifest = {"release": release, "data": data.fingerprint, "calibrations": calibrations}
    files["manifest.json"] = (json.dumps(manifest, indent=1) + "\n").encode()
    entry = find_runtime(target.runtime)
    shown: Mapping[str, Any] = {
        "release": release,
        "target": name,
        "settings": asdict(target),
        "entry": f"{entry.module}:{entry.attr}",
        "height": input.height,
        "width": input.width,
        "batches": settings.batches,
        "calls": settings.calls,
        "max_seconds": settings.max_seconds,
        "variants": [asdict(one) for one in variants],
        "broken": [one.model_dump(mode="json") for one in broken],
    }
    if needs := needs_of(make_target(target)):
        shown = {**shown, "needs": needs}
    path = work.out / f"{release.replace('@', '-')}-{name}{SUFFIX}"
    write_archive(path, BUNDLE_LIST, shown, files)
    work.progress.say(f"bundle for {name}: {path.stat().st_size / 1e6:.1f} MB")


def bundle_file(folder: Path) -> Path:
    """The archive in a folder of this stage."""
    return next(folder.glob(f"*{SUFFIX}"))
