"""The one factory of manifests, measurements and releases that tests make by hand.

Each function gives a valid record of `big@1.0.0`; what a test is about it passes by name.
"""

from pathlib import Path

from targets.measuring.latency import TIMER
from zoo.home import Home
from zoo.layout import MANIFEST, MEASUREMENTS
from zoo.release.local import Release
from zoo.release.manifest import Manifest
from zoo.release.measurements import Broken, Emulated, Estimated, Measured, Pending, write_measurements

ACCURACY = {
    "map": 80.0, "cmc1": 95.0, "cmc5": 97.0, "cmc10": 98.0, "minp": 50.0, "queries": 100, "skipped": 0, "gallery": 500,
}  # fmt: skip
AGREEMENT = {
    "min_cosine": 0.9, "mean_cosine": 0.99, "shared_neighbours": 95.0, "map_drop_points": 0.2,
    "map_drop_interval": [0.1, 0.3], "largest_ap_drop_points": 4.0, "queries_worse": 5.0,
}  # fmt: skip
NO_STATE = dict.fromkeys((
    "load_average", "cpu_min_mhz", "cpu_mean_mhz", "cpu_max_mhz", "gpu_mhz", "gpu_memory_mhz", "temperatures_c",
    "power_w", "slowed_by", "throttle_counts",
))  # fmt: skip
CONDITIONS = {
    "cores": [0, 1], "governors": None, "power_mode": None, "before": NO_STATE, "after": NO_STATE, "seconds": 9.0,
    "other_work_cores": None, "stolen_cores": None, "throttled": None, "tells_throttling": True,
}  # fmt: skip
DEVICE = {"name": "AMD EPYC", "architecture": "x86_64", "cores": 2, "memory_gib": 8.0, "system": "Linux 6"}
ORIN = {"name": "NVIDIA Jetson Orin Nano Developer Kit", "architecture": "aarch64", "cores": 6, "memory_gib": 7.4,
        "system": "Linux 5.15"}  # fmt: skip


RUNTIMES = {
    "openvino": {"name": "openvino", "version": "2026.1", "device": "CPU"},
    "onnxruntime": {"name": "onnxruntime", "version": "1.32.0", "device": "CPU"},
}
SITES = [
    {"site": "layer1.conv", "width_before": 64, "width_after": 16, "parameters_before": 4000, "parameters_after": 1000,
     "macs_before": 40000, "macs_after": 10000},
    {"site": "layer2.conv", "width_before": 32, "width_after": 0, "parameters_before": 2000, "parameters_after": 0,
     "macs_before": 20000, "macs_after": 0},
]  # fmt: skip


def latency(batch=1, p50_ms=5.0, **changes):
    figures = {
        "batch": batch, "calls": 500, "p50_ms": p50_ms, "p90_ms": 1.2 * p50_ms, "p99_ms": 1.5 * p50_ms,
        "images_per_second": 1000 * batch / p50_ms, "warmup_calls": 50, "steady": True, "timer": TIMER,
    }  # fmt: skip
    return figures | changes


def ratio(low, high, batch=1):
    return {"baseline": "teacher/fp32", "batch": batch, "ratio": (low + high) / 2, "low": low, "high": high, "turns": 9}


def energy(source, mj=3.0):
    """Energy of a run, as a meter counted it."""
    return {"mj_per_image": mj, "source": source, "images": 9, "seconds": 2.0}


def far(mean_cosine, **changes):
    """An agreement in all but the direction of the embeddings."""
    return AGREEMENT | {"mean_cosine": mean_cosine, "min_cosine": 0.5} | changes


def measurement(
    p50_ms=5.0, map_=80.0, throttled=None, power_mode=None, protocol=None, steady=True, energy=None, batch=1,
    target="openvino-cpu", **changes
):  # fmt: skip
    """Of the student in int8, which ships; `changes` are fields of the record itself."""
    accuracy = ACCURACY | {"map": map_} | ({"protocol": protocol} if protocol else {})
    timed = [latency(batch, p50_ms, steady=steady, energy=energy)]
    record = {
        "release": "big@1.0.0", "target": target, "network": "student", "precision": "int8", "ships": True,
        "run": "one", "device": DEVICE, "runtime": RUNTIMES.get(target.partition("-")[0], RUNTIMES["openvino"]),
        "threads": 2, "conditions": CONDITIONS | {"throttled": throttled, "power_mode": power_mode},
        "measured_at": "2026-11-01T00:00:00+00:00", "data": "a" * 64, "accuracy": accuracy, "agreement": AGREEMENT,
        "latency": timed, "ratios": [ratio(2.9, 3.1, batch)], "size_bytes": 1_000_000,
    }  # fmt: skip
    return Measured.model_validate(record | changes)


def dense(p50_ms=15.0, **changes):
    """A record of the teacher."""
    return measurement(p50_ms, **{"network": "teacher", "precision": "fp32", "ships": False, "ratios": []} | changes)


def pending(target="jetson-orin-nano"):
    """A target that waits for its device."""
    return Pending(release="big@1.0.0", target=target, bundle=f"big-1.0.0-{target}.pyz", bundle_sha256="b" * 64)


def estimated(target="jetson-orin-nano", **changes):
    record = {
        "release": "big@1.0.0", "target": target, "network": "student", "precision": "int8", "data": "a" * 64,
        "map": 80.0, "agreement": AGREEMENT, "method": "the graph, run elsewhere",
    }  # fmt: skip
    return Estimated.model_validate(record | changes)


def emulated(target="openvino-cpu", **changes):
    record = {
        "release": "big@1.0.0", "target": target, "network": "student", "precision": "int8", "agrees": True,
        "cpu": "cortex-a72", "emulator": "qemu-aarch64 7.2.22", "system": "Debian 12, Python 3.11",
        "runtime": RUNTIMES[target.partition("-")[0]], "artifact_sha256": "e" * 64, "compared_with": DEVICE,
        "data": "a" * 64, "images": 17, "largest_difference": 1e-6, "min_cosine": 0.9999, "mean_cosine": 0.99999,
        "accuracy": None, "accuracy_here": None, "golden_cosine": 0.999, "checked_at": "2026-11-01T00:00:00+00:00",
    }  # fmt: skip
    return Emulated.model_validate(record | changes)


def broken(target="jetson-orin-nano", **changes):
    record = {
        "release": "big@1.0.0", "target": target, "network": "student", "precision": "fp16",
        "reason": "it has no kernels for <fp16>", "found_at": "2026-11-01T00:00:00+00:00",
        "runtime": {"name": "tensorrt", "version": "10.3.0", "device": "GPU"},
    }  # fmt: skip
    return Broken.model_validate(record | changes)


def a_calibration(**changes):
    """Of an int8 graph for onnxruntime-cpu, that holds the gate."""
    return {
        "network": "student", "precision": "int8", "target": "onnxruntime-cpu", "judge": "onnxruntime",
        "agreement": AGREEMENT, "holds": True, "activations": "asymmetric", "images": ["a.jpg", "b.jpg"],
        "float_layers": ["conv_7"], "layers": 20,
    } | changes  # fmt: skip


def an_artifact(path="graph/model.onnx", precision="fp32", target=None, runtime=None, digest="c" * 64, size=1000):
    """A file of a release, as a manifest lists it."""
    return {
        "path": path, "size_bytes": size, "sha256": digest, "precision": precision, "target": target,
        "runtime": runtime,
    }  # fmt: skip


def costs(parameters):
    """Of a network with so many parameters."""
    return {"parameters": parameters, "kernel_parameters": parameters, "macs": 10 * parameters}


def manifest_values(name="big", version="1.0.0", parameters=(4_000_000, 1_000_000), sites=SITES, **changes):
    """A manifest as JSON has it: sound in all respects, with an int8 artifact.

    Args:
        parameters: of the dense network and of the student.
        sites: sets of channels that were compacted.
        changes: fields of the manifest, each in place of the whole one.
    """
    dense, small = map(costs, parameters)
    return {
        "schema_version": 3, "name": name, "version": version, "description": "made by hand",
        "created_at": "2026-11-01T00:00:00+00:00", "recipe": {"seed": 0}, "recipe_digest": "d" * 64,
        "licenses": {"code": "Apache-2.0", "weights": "Apache-2.0", "data": "CC0-1.0"},
        "data": {"name": "cars", "fingerprint": "a" * 64, "train_images": 9, "train_identities": 3, "gate_images": 6,
                 "gate_identities": 2, "query_images": 100, "gallery_images": 500},
        "stages": [], "parity": {}, "calibrations": [a_calibration()],
        "artifacts": [
            an_artifact(),
            an_artifact("onnxruntime-cpu/model.onnx", "int8", "onnxruntime-cpu", "onnxruntime", "d" * 64),
        ],
        "documents": [],
        "accuracy": {"teacher": ACCURACY | {"map": 85.0}, "dense_student": ACCURACY,
                     "student": ACCURACY | {"map": 80.2}},
        "compression": {"teacher": dense, "before": dense, "after": small, "difference_after_merging": 0.0,
                        "difference_after_pruning": 0.0, "sites": sites},
        "provenance": {"zoo": "0", "python": "3.11", "git": None, "seed": 0, "seconds": 1.0,
                       "libraries": {"numpy": "2.4.6", "onnxruntime": "1.32.0", "torch": "2.15.0+cpu"},
                       "command": f"zoo build {name}"},
        **changes,
    }  # fmt: skip


def foreign_values(file="net.onnx", **changes):
    """What `manifest_values` says, as changes for a network that zoo did not train."""
    values = manifest_values()
    told = {"file": file, "sha256": "f" * 64, "size_bytes": 1000, "source": "", "trained_on": "", "producer": "pytorch"}
    return {
        "foreign": told | {"cost": costs(1_000_000)},
        "compression": None,
        "accuracy": {"teacher": None, "dense_student": None, "student": values["accuracy"]["student"]},
        "provenance": values["provenance"] | {"command": f"zoo add big --onnx {file} --data cars --license Apache-2.0"},
        **changes,
    }


def built_by(command):
    """A change: the command of a release."""
    return {"provenance": manifest_values()["provenance"] | {"command": command}}


def a_manifest(**changes):
    """`manifest_values`, read."""
    return Manifest.model_validate(manifest_values(**changes))


def release(name="big", version="1.0.0", records=None, **changes):
    """A release that lies nowhere; without `records`, with one measurement.

    Args:
        changes: as of `manifest_values`.
    """
    records = [measurement()] if records is None else records
    label = f"{name}@{version}"
    labelled = [record.model_copy(update={"release": label}) for record in records]
    return Release(Path("nowhere"), a_manifest(name=name, version=version, **changes), labelled)


def keep(home: Path, *releases: Release) -> None:
    """Write releases to a home as if they were built there."""
    for one in releases:
        folder = Home(home).releases / one.manifest.name / one.manifest.version
        folder.mkdir(parents=True)
        (folder / MANIFEST).write_text(one.manifest.model_dump_json())
        write_measurements(folder / MEASUREMENTS, one.measurements)
