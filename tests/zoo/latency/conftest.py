"""Budgets in milliseconds of a tiny model: few networks with short timings, since these times are not compared."""

import json
from pathlib import Path

import pytest

from pipeline.engine.processes import Processes
from pipeline.engine.run import run_plan
from pipeline.progress import Silent
from tests.zoo.elsewhere.boards import copied
from zoo.building.build import BuildRequest, prepare
from zoo.catalogue import load_catalogue
from zoo.home import Home


class Told(Silent):
    """Records messages."""

    def __init__(self):
        self.lines = []

    def say(self, text):
        self.lines.append(text)


def budget(**compress):
    """An override."""
    return f"distill.compress={json.dumps(compress)}"


def before_training(shop, overrides, host=None, target="onnxruntime-cpu"):
    """Run a build up to the teacher; return its messages and the plan."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ZOO_CATALOGUE", str(shop.catalogue))
        told, home = Told(), Home(shop.home)
        wish = BuildRequest("tiny", (target,), overrides, host)
        build = prepare(load_catalogue(), home, wish, Path(shop.root, "data"), told)
        first = [planned for planned in build.plan if planned.step.stage.startswith("latency_")]
        run_plan(first, build.store, Processes("cpu"), told)
    return told.lines, build


def _quick(patch):
    patch.setattr("pipeline.stages.latency_table.NETWORKS", 4)
    patch.setattr("pipeline.stages.latency_budget.NETWORKS", 1)
    patch.setattr("pipeline.stages.latency_budget.ANCHORS", 1)
    patch.setattr("pipeline.stages.latency_budget.ROUNDS", 1)
    patch.setattr("pipeline.stages.width_graphs.CALLS", 16)
    patch.setattr("pipeline.stages.width_graphs.MAX_SECONDS", 0.3)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Tables in seconds."""
    _quick(monkeypatch)


@pytest.fixture(scope="session")
def dense_ms():
    """Largest budget of `tabled`, determined there."""
    return {}


@pytest.fixture(scope="session")
def tabled(finished, tmp_path_factory, dense_ms):
    """A workshop in which `tiny` is built and the widths of its student are measured; read-only."""
    shop = copied(finished, tmp_path_factory.mktemp("tabled") / "shop")
    with pytest.MonkeyPatch.context() as patch:
        _quick(patch)
        refused = shop.refused("build", "tiny", "--target", "onnxruntime-cpu", "--set", HUGE)
    dense_ms["told"] = refused
    return shop


HUGE = budget(p50_ms=10_000, target="onnxruntime-cpu")


@pytest.fixture
def shop(tabled, tmp_path):
    """A copy of it that a test may change."""
    return copied(tabled, tmp_path / "shop")
