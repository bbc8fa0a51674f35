"""Untrained releases: valid manifests over files with any content."""

from __future__ import annotations

import hashlib
from pathlib import Path

from targets.settings import PRECISIONS
from zoo.home import Home
from zoo.release.local import Release, find_release
from zoo.release.manifest import MANIFEST, Manifest
from zoo.release.measurements import MEASUREMENTS, Measured, write_measurements

ACCURACY = {
    "map": 80.0, "cmc1": 90.0, "cmc5": 95.0, "cmc10": 97.0, "minp": 40.0, "queries": 8, "skipped": 0, "gallery": 8,
    "protocol": "cosine",
}  # fmt: skip
COST = {"parameters": 1000, "kernel_parameters": 900, "macs": 5000}
AGREEMENT = {
    "largest_ap_drop_points": 0.0, "map_drop_interval": (0.0, 0.0), "map_drop_points": 0.0, "mean_cosine": 1.0,
    "min_cosine": 1.0, "queries_worse": 0.0, "shared_neighbours": 100.0,
}  # fmt: skip
STATE = dict.fromkeys((
    "load_average", "cpu_min_mhz", "cpu_mean_mhz", "cpu_max_mhz", "gpu_mhz", "gpu_memory_mhz", "temperatures_c",
    "power_w", "slowed_by", "throttle_counts",
))  # fmt: skip
CONDITIONS = {
    "cores": [0], "governors": None, "power_mode": None, "before": STATE, "after": STATE, "seconds": 1.0,
    "other_work_cores": None, "stolen_cores": None, "throttled": None, "tells_throttling": False,
}  # fmt: skip
DIGEST = hashlib.sha256(b"").hexdigest()


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def manifest_values(name: str, version: str, files: dict[str, bytes], **changes) -> dict:
    """Content of a manifest over these files; `changes` replace parts of it."""
    artifacts = [
        {
            "path": path, "size_bytes": len(content), "sha256": sha(content), "precision": PRECISIONS[0],
            "target": top if "-" in (top := path.split("/")[0]) else None,
            "runtime": top.partition("-")[0] if "-" in top else None,
        }
        for path, content in files.items()
    ]  # fmt: skip
    return {
        "schema_version": 3, "name": name, "version": version, "description": "a sample",
        "created_at": "2026-01-01T00:00:00+00:00", "recipe": {"seed": 0}, "recipe_digest": DIGEST,
        "data": {"name": "squares", "fingerprint": DIGEST, "train_images": 8, "train_identities": 2,
                 "query_images": 8, "gallery_images": 8},
        "licenses": {"code": "Apache-2.0", "weights": "MIT", "data": "CC0-1.0"},
        "stages": [], "accuracy": dict.fromkeys(("teacher", "dense_student", "student"), ACCURACY),
        "compression": {"teacher": COST, "before": COST, "after": COST, "difference_after_merging": 0.0,
                        "difference_after_pruning": 0.0, "sites": []},
        "parity": {}, "calibrations": [], "artifacts": artifacts, "documents": [],
        "provenance": {"zoo": "0.1.0", "python": "3.11", "libraries": {}, "git": None, "seed": 0, "seconds": 1.0,
                       "command": f"zoo build {name}"},
        **changes,
    }  # fmt: skip


def measured(label: str, target: str = "onnxruntime-cpu", p50_ms: float = 2.0, **changes) -> Measured:
    latency = {
        "batch": 1, "calls": 50, "p50_ms": p50_ms, "p90_ms": p50_ms, "p99_ms": None,
        "images_per_second": 1000 / p50_ms, "warmup_calls": 9, "steady": True,
    }  # fmt: skip
    return Measured.model_validate({
        "release": label, "target": target, "network": "student", "precision": "fp32", "ships": True, "run": "r",
        "device": {"name": "a board", "architecture": "arm", "cores": 4, "memory_gib": 8.0, "system": "Linux"},
        "runtime": {"name": target.partition("-")[0], "version": "1", "device": "CPU"}, "threads": 1,
        "conditions": CONDITIONS, "measured_at": "2026-01-01T00:00:00+00:00", "data": DIGEST, "accuracy": ACCURACY,
        "agreement": AGREEMENT, "latency": [latency], "ratios": [], "size_bytes": 10, **changes,
    })  # fmt: skip


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
    manifest = Manifest.model_validate(manifest_values(name, version, files, **changes))
    (folder / MANIFEST).write_text(manifest.model_dump_json())
    label = f"{name}@{version}"
    write_measurements(folder / MEASUREMENTS, (measured(label),) if records is None else records)
    return find_release(home, label)


def tree(root: Path) -> set[str]:
    """All files below a folder."""
    return {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}
