"""Untrained releases: valid manifests over files with any content."""

from __future__ import annotations

import hashlib
from functools import partial
from pathlib import Path

from tests.zoo.records import an_artifact, manifest_values, measurement
from zoo.home import Home
from zoo.layout import MANIFEST, MEASUREMENTS
from zoo.release.local import Release, find_release
from zoo.release.manifest import Manifest
from zoo.release.measurements import Measured, write_measurements

# of what `put_release` puts, before its name and its files are known
measured = partial(measurement, target="onnxruntime-cpu", precision="fp32", release="tiny@1.0.0")


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def values_over(files: dict[str, bytes], name: str = "tiny", version: str = "1.0.0", **changes) -> dict:
    """What a manifest over these files says, as JSON has it; `changes` are its fields."""
    artifacts = []
    for path, content in files.items():
        top = path.split("/")[0]
        runtime, device, _ = top.partition("-")
        place = {"target": top, "runtime": runtime} if device else {}
        artifacts.append(an_artifact(path, digest=sha(content), size=len(content), **place))
    return manifest_values(name, version, **{"artifacts": artifacts, "calibrations": []} | changes)


def files_of(content: bytes = b"weights") -> dict[str, bytes]:
    """Files of a small release; other `content` makes another release."""
    return {
        "graph/model.onnx": b"graph of " + content,
        "network/network.safetensors": content * 3,
        "onnxruntime-cpu/model.onnx": b"for ort " + content,
        "openvino-cpu/model.xml": b"for ov " + content,
        "openvino-cpu/model.bin": content * 50_000,
    }


def put_release(
    home: Home,
    name: str = "tiny",
    version: str = "1.0.0",
    files: dict[str, bytes] | None = None,
    records: tuple[Measured, ...] | None = None,
    **changes,
) -> Release:
    """Write a release as a build would leave it."""
    files = files_of() if files is None else files
    folder = home.releases / name / version
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    manifest = Manifest.model_validate(values_over(files, name, version, **changes))
    (folder / MANIFEST).write_text(manifest.model_dump_json())
    label = f"{name}@{version}"
    write_measurements(folder / MEASUREMENTS, (measured(release=label),) if records is None else records)
    return find_release(home, label)


def tree(root: Path) -> set[str]:
    """All files below a folder."""
    return {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}
