"""Networks of several widths are timed in turn, and a bundle of them is treated as untrusted."""

import time
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest

from targets.bundles.archive import write_archive
from targets.bundles.bundle import BUNDLE_LIST
from targets.bundles.widths import open_widths, time_widths
from targets.contract import Job
from targets.errors import BadBundle
from targets.settings import TargetSettings

SETTINGS = TargetSettings("onnxruntime")


class Sleeper:
    """A runtime whose artifacts define the time of a call, ms."""

    gpu_bus_id = None

    def __init__(self):
        self.order = []

    def compile(self, graph, folder, _job):
        (folder / "ms").write_text(graph.read_text())

    def load(self, folder, _cache):
        return Sleeping(float((folder / "ms").read_text()), self.order)


class Sleeping:
    compute_ms: float | None = None

    def __init__(self, ms, order):
        self.ms, self.order = ms, order

    def embed(self, images):
        self.order.append(self.ms)
        assert images.shape == (4, 8, 8, 3)
        time.sleep(self.ms / 1000)
        return np.ones((len(images), 2), np.float32)


def test_networks_take_turns_in_one_run(tmp_path):
    sleeper: Any = Sleeper()
    graphs = {}
    for name, ms in (("wide", 6), ("narrow", 2)):
        graphs[name] = tmp_path / name
        graphs[name].write_text(str(ms))
    said = []
    rows, conditions = time_widths(sleeper, graphs, tmp_path / "scratch", Job(8, 8, (1, 4)), 16, 1.0, said.append)
    assert [row.name for row in rows] == ["wide", "narrow"]
    for row, ms in zip(rows, (6, 2), strict=True):
        assert ms <= row.low_ms <= row.p50_ms
        assert row.calls == 16
    changes = sum(one != other for one, other in zip(sleeper.order, sleeper.order[1:], strict=False))
    assert changes >= 8  # and not one after the other
    assert conditions.seconds > 0
    assert said[-1] == "timing 2 networks in turn at batch 4"


GOOD = {
    "kind": "widths",
    "release": "tiny@1.0.0",
    "target": "board",
    "settings": asdict(SETTINGS),
    "entry": "targets.onnxruntime:OnnxRuntime",
    "height": 32,
    "width": 32,
    "batch": 1,
    "calls": 10,
    "max_seconds": 1.0,
    "graphs": ["0", "1"],
}


def written(path, **other):
    files = {f"graphs/{name}.onnx": b"graph" for name in "01"}
    write_archive(path, BUNDLE_LIST, {**GOOD, **other}, files)
    return path


def test_a_bundle_is_read_as_it_was_written(tmp_path):
    bundle = open_widths(written(tmp_path / "a.zoo"), tmp_path / "a")
    assert (bundle.graphs, bundle.batch, bundle.settings) == (("0", "1"), 1, SETTINGS)


@pytest.mark.parametrize(
    "other",
    [
        {"release": "../tiny@1.0.0"},
        {"target": "a/b"},
        {"batch": 0},
        {"batch": 10**9},
        {"calls": True},
        {"max_seconds": -1},
        {"graphs": []},
        {"graphs": ["0", "0"]},
        {"graphs": ["2"]},
        {"graphs": ["../0"]},
        {"graphs": "01"},
        {"settings": {"runtime": "onnxruntime", "threads": 0}},
        {"entry": "os:system"},
    ],
)
def test_a_bundle_that_no_build_writes_is_refused(tmp_path, other):
    with pytest.raises(BadBundle, match="is not a bundle this version can read"):
        open_widths(written(tmp_path / "a.zoo", **other), tmp_path / "a")
