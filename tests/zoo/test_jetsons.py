"""Jetsons in the catalogue and in `zoo doctor`: both say what the table of JetPacks says."""

from dataclasses import replace

import pytest

from targets.contract import make_target, needs_of, precisions_of
from targets.nvidia.jetpacks import STACKS
from tests.targets.boards import jetson_here
from zoo.catalogue import load_catalogue
from zoo.doctor import examine
from zoo.home import Home

NANO = "NVIDIA Jetson Orin Nano Developer Kit"
AGX = "NVIDIA Jetson AGX Orin Developer Kit"


@pytest.fixture
def catalogue(monkeypatch, tmp_path):
    """The shipped catalogue alone."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ZOO_CATALOGUE", raising=False)
    monkeypatch.delenv("ZOO_HOME", raising=False)
    return load_catalogue()


def test_every_row_of_the_table_is_a_target(catalogue):
    for stack in STACKS:
        target = catalogue.targets[stack.target]
        assert (target.runtime, target.device, target.board) == ("tensorrt", "GPU", stack.board)
        assert target.options == {"versions": stack.tensorrt}
        assert target.about == f"SM {stack.sm}, JetPack {stack.jetpack}"
        assert needs_of(make_target(target)).startswith(f"a {stack.board} with JetPack {stack.jetpack} (TensorRT ")


def test_every_jetson_is_a_row_of_the_table_or_its_dla(catalogue):
    jetsons = {name for name, target in catalogue.targets.items() if (target.board or "").startswith("Jetson")}
    assert jetsons - {stack.target for stack in STACKS} == {"jetson-orin-agx-dla"}
    (stack,) = (stack for stack in STACKS if stack.no_dla is None)
    dla = catalogue.targets["jetson-orin-agx-dla"]
    assert (dla.device, dla.board, dla.options) == ("DLA", stack.board, {"versions": stack.tensorrt})
    assert dla.precisions == precisions_of(make_target(dla), replace(dla, precisions=None))


def rows_of(catalogue, tmp_path):
    rows = examine(catalogue, Home(tmp_path / "home"))
    return {name: [row for row in rows if row["name"] == name] for name in {row["name"] for row in rows}}


def test_doctor_names_the_jetpacks_of_boards_elsewhere(catalogue, tmp_path):
    rows = rows_of(catalogue, tmp_path)
    assert "jetpack" not in rows
    for stack in STACKS:
        (row,) = rows[stack.target]
        assert not row["usable"]
        assert (
            f"another machine, a {stack.board} with JetPack {stack.jetpack} (TensorRT {stack.tensorrt}, " in row["what"]
        )


def test_doctor_on_a_jetson_says_its_jetpack_and_how_to_install(catalogue, tmp_path, monkeypatch):
    jetson_here(monkeypatch, tmp_path, NANO, "36.4.3")
    rows = rows_of(catalogue, tmp_path)
    (row,) = rows["jetpack"]
    assert row["usable"]
    assert row["what"] == (
        "6.1 to 6.2 (L4T 36.4.3): target jetson-orin-nano, TensorRT >=10.3,<10.4, CUDA 12.6, Python 3.10. Run: sudo "
        "apt install python3-libnvinfer; pip install 'cuda-bindings>=12.8,<13' numpy"
    )
    (own,) = rows["jetson-orin-nano"]
    assert (own["usable"], own["what"].partition(" (")[0]) == (False, "tensorrt is not installed")
    assert own["mend"].startswith("Run: sudo apt install python3-libnvinfer (a virtual environment")
    (other,) = rows["jetson-orin-agx"]
    assert other["what"].startswith("another machine, a Jetson AGX Orin with JetPack 6.1 to 6.2")


def test_doctor_on_a_jetson_whose_tensorrt_is_another_jetpacks(catalogue, tmp_path, monkeypatch):
    jetson_here(monkeypatch, tmp_path, AGX, "39.2.0")
    monkeypatch.setattr("targets.carried.version", lambda _: "10.16.2.10")
    rows = rows_of(catalogue, tmp_path)
    assert [row["what"].partition(" (")[0] for row in rows["jetpack"]] == ["7.2", "7.2.2 or later"]
    assert "; or pip install 'tensorrt>=10.16,<10.17'; pip" in rows["jetpack"][0]["what"]
    assert "Add NVIDIA's Debian repository" in rows["jetpack"][1]["what"]
    for name in ("jetson-orin-agx", "jetson-orin-agx-jp722", "jetson-orin-agx-dla"):
        (row,) = rows[name]
        assert "and the device has 10.16.2.10" in row["what"]
        assert row["mend"] == "10.16.2.10 belongs to JetPack 7.2: build for --target jetson-orin-agx-jp72."


def test_doctor_on_a_jetson_that_the_table_lacks(catalogue, tmp_path, monkeypatch):
    jetson_here(monkeypatch, tmp_path, NANO, "36.3.0")
    (row,) = rows_of(catalogue, tmp_path)["jetpack"]
    assert (row["usable"], row["what"]) == (False, f"zoo knows no JetPack with L4T 36.3.0 on this board ({NANO})")
    assert row["mend"] == "See docs/jetson.md."
