"""A registry as one expects it: twelve models of cars on three devices, and one of boats. Nothing measured its figures.

`python -m tests.zoo.site.example OUT` writes its site.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from pipeline.progress import Silent
from targets.files import sha256
from tests.zoo.records import (
    ACCURACY,
    AGREEMENT,
    DEVICE,
    ORIN,
    a_calibration,
    an_artifact,
    broken,
    dense,
    estimated,
    latency,
    manifest_values,
    measurement,
    pending,
    ratio,
    release,
)  # fmt: skip
from tests.zoo.shelf import write_graph
from tests.zoo.site.sources import RECIPE, SIZE, entry, sites, source
from zoo.release.measurements import Measured
from zoo.site.build import build
from zoo.site.source import Signed, Source

PI = {"name": "Raspberry Pi 5 Model B Rev 1.0", "architecture": "aarch64", "cores": 4, "memory_gib": 7.9,
      "system": "Linux 6.6"}  # fmt: skip
CUDA = {"name": "tensorrt", "version": "10.3.0", "device": "GPU"}
# of the student on the CPU: name, what it is, mAP, p50 in ms, parameters
MODELS = (
    ("resnet10t-cars", "ResNet-10t, pruned to 16 % of its MACs", 57.8, 0.21, 600_000),
    ("resnet18-cars", "ResNet-18, pruned to 30 %", 64.1, 1.10, 3_300_000),
    ("resnet34-cars", "ResNet-34, pruned to 45 %", 66.9, 2.70, 9_500_000),
    ("resnet50-cars", "ResNet-50, pruned to 45 %", 71.3, 4.80, 11_200_000),
    ("mobilenetv3-cars", "MobileNetV3-Large, pruned to 60 %", 61.2, 0.74, 2_500_000),
    ("efficientnet-lite0-cars", "EfficientNet-Lite0, pruned to 50 %", 65.8, 1.28, 2_300_000),
    ("convnext-atto-cars", "ConvNeXt-Atto, pruned to 50 %", 67.4, 1.95, 1_900_000),
    ("regnety-004-cars", "RegNetY-400MF, pruned to 60 %", 63.0, 1.02, 2_600_000),
    ("repvgg-a0-cars", "RepVGG-A0, pruned to 30 %", 60.4, 0.66, 2_400_000),
    ("deit-tiny-cars", "DeiT-Tiny, pruned to 60 %", 62.7, 3.10, 3_400_000),
    ("vit-small-cars", "ViT-Small, pruned to 45 %", 69.0, 7.90, 9_900_000),
    ("resnext50-cars", "ResNeXt-50, pruned to 45 %", 70.2, 6.30, 10_400_000),
)
# name, target, device, runtime, unit of time against the CPU's, loss in int8
PLACES = (
    ("openvino-cpu", DEVICE, None, 1.0, 0.28),
    ("onnxruntime-cpu", DEVICE, None, 1.22, 0.35),
    ("onnxruntime-cpu", PI, None, 9.5, 0.35),
    ("jetson-orin-nano", ORIN, CUDA, 0.55, 0.61),
)
ONNXRUNTIME_HERE = ("onnxruntime-cpu", DEVICE["name"])
SMALLER = {"fp32": (1.0, 0.0, 4.0), "fp16": (0.93, 0.03, 2.0), "int8": (0.62, 1.0, 1.05)}  # time, loss, bytes


def rows_of(name: str, map_: float, p50: float, parameters: int, places: Sequence, noise: random.Random) -> list:
    """Records of a model on some devices, dense and in three precisions."""
    found = []
    for number, (target, device, runtime, slower, lost) in enumerate(places):
        base = p50 * slower * noise.uniform(0.92, 1.08)
        about = {"target": target, "device": device, "run": f"{name}-{number}", "data": "a" * 64}
        about |= {"runtime": runtime} if runtime else {}
        if device is ORIN:
            about["power_mode"] = "15W"
        timed = [latency(1, 3.2 * base, calls=500), latency(8, 21 * base, calls=120)]
        found.append(dense(1, map_=map_ + 1.6, latency=timed, size_bytes=4 * parameters * 3, **about))
        for precision, (faster, share, width) in SMALLER.items():
            drop = round(share * lost * noise.uniform(0.7, 1.2), 2)
            time = base * faster * noise.uniform(0.96, 1.04)
            meter = {"mj_per_image": round(time * 5.1, 2), "source": "tegrastats VDD_IN", "images": 100, "seconds": 3.0}
            energy = meter if device is ORIN else None
            found.append(
                measurement(
                    1,
                    round(map_ - drop, 2),
                    precision=precision,
                    ships=precision == ("fp16" if device is ORIN else "int8"),
                    latency=[
                        latency(1, round(time, 3), calls=500, energy=energy),
                        latency(8, round(6.4 * time, 3), calls=120),
                    ],
                    ratios=[
                        ratio(round(3.1 / faster, 2), round(3.3 / faster, 2)),
                        ratio(round(3.2 / faster, 2), round(3.4 / faster, 2), 8),
                    ],
                    size_bytes=int(width * parameters),
                    agreement=AGREEMENT | {"map_drop_points": drop, "map_drop_interval": [drop - 0.12, drop + 0.14]},
                    accuracy=ACCURACY | {"map": round(map_ - drop, 2), "cmc1": round(map_ + 12, 2)},
                    **about,
                )
            )
    return found


def under(record: Measured, **conditions) -> Measured:
    """A record that was measured under other conditions."""
    return record.model_copy(update={"conditions": replace(record.conditions, **conditions)})


busy = partial(under, other_work_cores=1.4)
throttled = partial(under, throttled="under-voltage")


def stages() -> list[dict]:
    names = (
        "teacher",
        "distill",
        "compact",
        "export",
        "calibrate/student/int8",
        "compile/student/int8/openvino-cpu",
        "measure/openvino-cpu",
    )
    keys = [f"{at:x}" * 64 for at in range(1, len(names) + 1)]
    return [
        {
            "name": name, "key": keys[at], "version": at + 1, "files": {}, "seconds": 40.0 * at + 3,
            "inputs": {names[at - 1]: keys[at - 1]} if at else {}, "finished_at": f"2026-11-01T0{at}:10:00+00:00",
            "libraries": {"torch": "2.15.0+cpu", "timm": "1.0.30"},
        }
        for at, name in enumerate(names)
    ]  # fmt: skip


def example(graph: Path | None = None) -> Source:
    """The registry.

    Args:
        graph: where a real graph is kept, which the first release then has.
    """
    noise, entries = random.Random(1), []
    for number, (name, description, map_, p50, parameters) in enumerate(MODELS):
        places = PLACES if number % 3 != 2 else PLACES[:2]
        records = rows_of(name, map_, p50, parameters, places, noise)
        if number % 3 == 2:
            records += [pending(), estimated(map=map_ - 0.6)]
        if number == 4:
            records.append(broken(target="jetson-orin-nano", precision="int8"))
        if number == 7:
            records = [busy(one) if (one.target, one.device.name) == ONNXRUNTIME_HERE else one for one in records]
        if number == 9:
            records = [throttled(one) if one.device.name.startswith("Raspberry") else one for one in records]
        artifacts = [
            an_artifact(size=4 * parameters),
            an_artifact("openvino-cpu/model.xml", "int8", "openvino-cpu", "openvino", "d" * 64, parameters),
        ]
        read = None
        if graph and number == 0:
            write_graph(graph, size=SIZE)
            content = graph.read_bytes()
            artifacts[0] |= {"sha256": sha256(graph), "size_bytes": len(content)}
            read = {"graph/model.onnx": content}.get
        one = release(
            name, "1.1.0" if number == 3 else "1.0.0", records, description=description, recipe=RECIPE,
            parameters=(3 * parameters, parameters), sites=sites(noise), artifacts=artifacts, stages=stages(),
            calibrations=[a_calibration(), a_calibration(target="openvino-cpu", float_layers=[])],
            accuracy={
                "teacher": ACCURACY | {"map": map_ + 1.6}, "dense_student": ACCURACY | {"map": map_ + 0.7},
                "student": ACCURACY | {"map": map_},
            },
        )  # fmt: skip
        signed: Signed = "trusted" if number % 2 == 0 else "unsigned"
        yanked = "its calibration images were of another camera" if number == 8 else None
        entries.append(entry(one, signed, yanked, read and (lambda path, _limit, read=read: read(path))))
    boats = [
        record.model_copy(update={"data": "b" * 64})
        for record in rows_of("resnet18-boats", 81.0, 1.2, 3_300_000, PLACES[:1], noise)
    ]
    data = manifest_values()["data"] | {"name": "boats", "fingerprint": "b" * 64}
    entries.append(
        entry(release("resnet18-boats", "1.0.0", boats, description="ResNet-18 for boats", data=data, recipe=RECIPE))
    )
    return source(*sorted(entries, key=lambda one: one.release.manifest.name))


if __name__ == "__main__":
    with TemporaryDirectory() as folder:
        print(build(example(Path(folder, "model.onnx")), Path(sys.argv[1]), True, Silent()))
