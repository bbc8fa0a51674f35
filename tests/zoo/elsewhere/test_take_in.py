"""The stage that receives a result: the gate chooses, and invalid results are refused."""

import json
from typing import Any

import numpy as np
import pytest

from pipeline.engine.processes import Processes
from pipeline.engine.step import StepId
from pipeline.engine.work import Work
from pipeline.errors import CheckFailed
from pipeline.progress import Silent
from pipeline.stages.device import measure_on_device
from targets.bundles.archive import read_list
from targets.bundles.contents import RESULT_LIST
from targets.errors import BadBundle
from tests.targets.refusal import refusal
from tests.zoo.elsewhere.boards import NAME, altered, board_elsewhere, changed
from zoo.building.build import BuildRequest, prepare
from zoo.catalogue import load_catalogue
from zoo.home import Home


@pytest.fixture(scope="module")
def take_in(waiting):
    """Runs the stage that receives a result."""
    shop, _ = waiting
    with pytest.MonkeyPatch.context() as patch, board_elsewhere():
        patch.setenv("ZOO_CATALOGUE", str(shop.catalogue))
        made = prepare(
            load_catalogue(), Home(shop.home), BuildRequest("tiny", ("board",)), shop.root / "data", Silent()
        )
    folders = {planned.step.id: made.store.folder(planned.step.stage, planned.key) for planned in made.plan}
    references = {step: folder for step, folder in folders.items() if step.stage == "reference"}
    bundle = folders[StepId("bundle", target="board")]

    def call(path, folder, precisions=("fp32", "fp16", "int8")):
        for name in ("out", "scratch"):
            (folder / name).mkdir()
        work = Work(folder / "out", folder / "scratch", Processes("cpu"), Silent())
        given = {"data": made.data, "settings": made.recipe.measure, "bundle": bundle, "result": path}
        at = {"precisions": precisions, "max_map_drop_points": 5, "host": None, "python": "python3"}
        measure_on_device(work, **given, **at, references=references)

    return call


def test_a_result_is_received_with_all_of_its_figures(take_in, light, tmp_path):
    take_in(light, tmp_path)
    rows = json.loads((tmp_path / "out" / "measurement.json").read_text())["rows"]
    assert [row["network"] for row in rows] == ["teacher", "student", "student"]


def test_a_refused_variant_is_received_with_its_reason(take_in, light, tmp_path):
    rows = read_list(light, RESULT_LIST)["rows"][:-1]
    path = altered(light, tmp_path / "less.result", RESULT_LIST, rows=rows, broken=[INT8 | {"reason": "no kernel"}])
    for name in ("auto", "asked"):
        (tmp_path / name).mkdir()
    take_in(path, tmp_path / "auto")
    measured = json.loads((tmp_path / "auto" / "out" / "measurement.json").read_text())
    assert measured["chosen"] == "fp32"
    assert measured["broken"] == [INT8 | {"reason": "no kernel", "runtime": measured["runtime"]}]
    with pytest.raises(CheckFailed, match="int8 is broken: no kernel"):
        take_in(path, tmp_path / "asked", ("int8",))


def test_a_result_of_another_bundle_is_refused(take_in, foreign, tmp_path):
    message = refusal(take_in, foreign, tmp_path, of=BadBundle)
    assert message.startswith("foreign.result is the result of another build of tiny@1.0.0. Run the bundle of")
    assert f"({NAME}.zoo)" in message


WORSE = {"other images'": lambda rows: np.roll(rows, 2, axis=0), "no numbers": lambda rows: rows * np.nan}


@pytest.mark.parametrize("how", WORSE)
def test_a_precision_that_the_gate_refuses_does_not_ship_and_stays_in_the_table(take_in, light, how, tmp_path):
    """int8 is wrong on the device for the gate's split, or not finite, which the test set would not show."""
    name = "embeddings/student-int8-gate.npy"
    files = {name: changed(light, name, WORSE[how])}
    path = altered(light, tmp_path / "worse.result", RESULT_LIST, files)
    for name in ("auto", "asked"):
        (tmp_path / name).mkdir()
    take_in(path, tmp_path / "auto")
    measured = json.loads((tmp_path / "auto" / "out" / "measurement.json").read_text())
    assert measured["chosen"] == "fp32"
    drops = {row["precision"]: row["gate"]["map_drop_points"] for row in measured["rows"][1:]}
    assert drops["fp32"] < 1
    assert drops["int8"] > 5 > measured["rows"][-1]["agreement"]["map_drop_points"]
    with pytest.raises(CheckFailed, match=f"int8 {drops['int8']:.2f} points"):
        take_in(path, tmp_path / "asked", ("int8",))


QUERY = "embeddings/student-fp32-query.npy"


STUDENT = {"network": "student", "precision": "fp32"}
INT8 = {"network": "student", "precision": "int8"}


NONSENSE: dict[str, Any] = {
    "no rows": ({}, {"rows": []}),
    "a row of nobody": ({}, {"rows": [{"network": "nobody", "precision": "fp32"}]}),
    "a row that is none": ({}, {"rows": [7]}),
    "no latency": ({}, {"rows": [STUDENT]}),
    "no device": ({}, {"device": None}),
    "no embeddings": ({QUERY: None}, {}),
    "embeddings that are none": ({QUERY: b"nonsense"}, {}),
    "too few embeddings": ({QUERY: lambda rows: rows[:1]}, {}),
    "no embeddings of the gate's split": ({"embeddings/student-int8-gate.npy": None}, {}),
    "too few of the gate's split": ({"embeddings/student-int8-gate.npy": lambda rows: rows[:1]}, {}),
    "no latency at all": ({}, {"rows": lambda rows: [{**row, "latency": []} for row in rows]}),
    "a size that is none": ({}, {"rows": lambda rows: [{**row, "size_bytes": "large"} for row in rows]}),
    "embeddings of objects": ({QUERY: lambda rows: rows.astype(object)}, {}),
    "a variant less": ({}, {"rows": lambda rows: rows[:-1]}),
    "a variant twice": ({}, {"rows": lambda rows: [*rows, rows[-1]]}),
    "a variant that ran and is broken": ({}, {"broken": [STUDENT | {"reason": "none"}]}),
    "the student in fp32 is broken": (
        {},
        {"rows": lambda rows: [rows[0], rows[2]], "broken": [STUDENT | {"reason": "it was refused"}]},
    ),
    "a reason without end": ({}, {"rows": lambda rows: rows[:-1], "broken": [INT8 | {"reason": "x" * 100_000}]}),
    "nothing on what is broken": ({}, {"broken": None}),
    "no artifact of one": ({"artifacts/student-int8/model.onnx": None}, {}),
    "no artifacts": ({f"artifacts/student-{precision}/model.onnx": None for precision in ("fp32", "int8")}, {}),
}


@pytest.mark.parametrize("what", NONSENSE)
def test_an_inconsistent_result_is_refused_in_one_line(take_in, light, what, tmp_path):
    """Digests and the bundle are valid, but the device is untrusted and may report anything."""
    files, about = NONSENSE[what]
    files = {name: changed(light, name, change) if callable(change) else change for name, change in files.items()}
    about = {
        key: change(read_list(light, RESULT_LIST)[key]) if callable(change) else change for key, change in about.items()
    }
    path = altered(light, tmp_path / "nonsense.result", RESULT_LIST, files, **about)
    assert "nonsense.result" in refusal(take_in, path, tmp_path, of=BadBundle)
