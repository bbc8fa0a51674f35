"""A result turns a pending row into figures."""

import io
import json
import re
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from rich.console import Console

from targets.bundles.archive import read_list
from targets.bundles.bundle import BUNDLE_LIST
from targets.contract import make_target
from targets.files import sha256
from targets.machine.device import this_device
from targets.settings import TargetSettings
from tests.helpers import random_images
from tests.zoo.elsewhere.boards import (
    NAME,
    board_elsewhere,
    build,
    copied,
    measured_on,
    printed_figures,
    release_of,
)
from zoo.release.manifest import manifest_schema
from zoo.tables import measurement_rows, measurement_table

SCHEMA = Path(__file__).parents[3] / "docs" / "manifest.schema.json"


def test_a_result_turns_the_pending_row_into_figures(back):
    shop, taken, built = back
    said = "received: tiny@1.0.0 on board. Record it: zoo build tiny --target board"
    assert taken.startswith(said)
    assert built.splitlines()[-1].startswith("manifest: ")
    assert re.search(r"board +student +int8 .*✓", built)
    release = release_of(shop)
    assert not release.pending
    assert {one.target for one in release.measured} == {"board", "onnxruntime-cpu", "openvino-cpu"}
    rows = measured_on(shop)
    assert [(row.network, row.precision, row.ships) for row in rows] == [
        ("teacher", "fp32", False), ("student", "fp32", False), ("student", "int8", True),
    ]  # fmt: skip
    assert len({row.run for row in rows}) == 1
    device = rows[0].device
    assert device == this_device().__class__(**{**vars(this_device()), "cores": device.cores})
    assert "device/board" in {stage.name for stage in release.manifest.stages}


def test_the_release_holds_the_devices_artifacts(back):
    shop, _, _ = back
    folder = (shop.home / "releases" / "tiny" / "1.0.0").resolve()
    (artifact,) = [one for one in release_of(shop).manifest.artifacts if one.target == "board"]
    assert (artifact.path, artifact.precision, artifact.runtime) == ("board/model.onnx", "int8", "onnxruntime")
    assert sha256(folder / artifact.path) == artifact.sha256
    rows = make_target(TargetSettings("onnxruntime")).load(folder / "board").embed(random_images(2))
    assert np.linalg.norm(rows, axis=1) == pytest.approx(1, abs=1e-5)


def test_the_recorded_accuracy_is_the_devices(ran, back):
    rows = measured_on(back[0])
    figures = [(row.accuracy.map, row.accuracy.cmc1) for row in rows]
    assert printed_figures(ran[0]) == [pytest.approx(pair, abs=0.01) for pair in figures]


def test_the_same_runtime_elsewhere_agrees_as_it_does_here(back):
    """The same artifacts on the same machine give the same embeddings, whoever ran them."""
    there, here = measured_on(back[0]), measured_on(back[0], "onnxruntime-cpu")
    assert there
    for one, other in zip(there, here, strict=True):
        assert one.accuracy == other.accuracy
        assert one.agreement == other.agreement


@pytest.mark.parametrize("width", [80, 100, 130])
def test_what_ships_is_marked_on_a_narrow_terminal_too(back, width):
    """In every part of a table that is too wide."""
    screen = io.StringIO()
    console = Console(width=width, file=screen)
    console.print(measurement_table([release_of(back[0])]))
    parts, rest = divmod(screen.getvalue().count("✓"), 1 + 3)  # the heading, and one row per target
    assert parts >= 1
    assert rest == 0


@pytest.mark.parametrize("when", ["waiting", "back"])
def test_manifests_follow_both_schemas(when, request):
    shop = request.getfixturevalue(when)[0]
    content = json.loads((shop.home / "releases" / "tiny" / "1.0.0" / "manifest.json").read_text())
    assert content["schema_version"] == 3
    jsonschema.validate(content, json.loads(SCHEMA.read_text()))
    jsonschema.validate(content, manifest_schema())


def test_nothing_runs_again_once_it_is_recorded(back, tmp_path):
    shop = copied(back[0], tmp_path / "shop")
    with board_elsewhere():
        plan = json.loads(shop.zoo("build", "tiny", "--target", "board", "--plan", "--json").stdout)["steps"]
    assert not [row for row in plan if row["runs"]]
    assert plan[-2]["step"] == "measure/openvino-cpu"
    assert "device/board" in {row["step"] for row in plan}


def test_a_changed_build_is_pending_again(back, tmp_path):
    """The received result belongs to the old bundle; the result of the new one is received afterwards."""
    shop = copied(back[0], tmp_path / "shop")
    path = shop.home / "bundles" / f"{NAME}.zoo"
    before = read_list(path, BUNDLE_LIST)["key"]
    printed = build(shop, "--set", "measure.calls=49")
    assert printed.stdout.splitlines()[-1] == f"python3 {NAME}.zoo"
    assert read_list(path, BUNDLE_LIST)["key"] != before
    assert [one.target for one in release_of(shop).pending] == ["board"]
    printed = build(shop)  # unchanged: the received result belongs to this one
    assert printed.stdout.splitlines()[-1].startswith("manifest: ")


def test_precisions_that_do_not_ship_stay_in_the_table(back):
    rows = [row for row in measurement_rows([release_of(back[0])]) if row["target"] == "board"]
    shown = [(row["network"], row["precision"], row["ships"]) for row in rows]
    assert shown == [("teacher", "fp32", False), ("student", "fp32", False), ("student", "int8", True)]
