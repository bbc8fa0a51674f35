"""A precision that a target does not support: what is recorded, and when a build still fails."""

import json

import pytest

from calibration.errors import NotQuantisable, TooFewImages
from pipeline.engine.processes import Processes
from pipeline.engine.step import Variant
from pipeline.engine.work import Work
from pipeline.errors import CheckFailed
from pipeline.progress import Silent
from pipeline.stages.compile import compile_graph
from pipeline.stages.measurement import BrokenVariant
from pipeline.stages.unsupported import BROKEN, breakable, check_left, indispensable, parted
from targets.contract import runtime_version
from targets.errors import ArtifactFailed, in_a_line
from targets.onnxruntime import OnnxRuntime
from targets.settings import TargetSettings

HERE = TargetSettings("onnxruntime")
ORT = {
    "name": "onnxruntime",
    "version": runtime_version(OnnxRuntime(HERE)),
    "device": "CPU",
    "options": {},
    "environment": None,
}


@pytest.fixture
def told():
    """What a stage says."""
    return []


@pytest.fixture
def work(tmp_path, told):
    for name in ("out", "scratch", "graph"):
        (tmp_path / name).mkdir()
    progress = Silent()
    progress.say = told.append
    return Work(tmp_path / "out", tmp_path / "scratch", Processes("cpu"), progress)


def failing(error):
    def stage(work, *, graph, target=None):
        (work.out / "artifacts").mkdir()
        (work.out / "artifacts" / "half.onnx").write_text(f"half of {graph}")
        raise error

    return stage


def test_a_target_that_can_do_nothing_is_named_with_a_way_out(work, tmp_path):
    stage = failing(ArtifactFailed(f"no Gather in {tmp_path}/graph/a.onnx."))
    given = {"graph": tmp_path / "graph", "target": HERE}  # as of stage `compile`
    with pytest.raises(ArtifactFailed) as caught:
        indispensable(stage, "phone", work, **given)
    assert str(caught.value) == "no Gather in a.onnx. So there is nothing for phone: build without this target."


@pytest.mark.parametrize(("kind", "runtime"), [(NotQuantisable, None), (ArtifactFailed, ORT)])
def test_only_the_reason_of_a_broken_precision_is_kept(work, told, tmp_path, kind, runtime):
    error = kind(f"no kernel in\n  {tmp_path}/graph/model.onnx, tried in {work.scratch}/judged")
    breakable(failing(error), HERE, work, graph=tmp_path / "graph")
    assert [path.name for path in work.out.iterdir()] == [BROKEN]
    kept = json.loads((work.out / BROKEN).read_text())
    assert kept == {"reason": "no kernel in model.onnx, tried in judged", "runtime": runtime}
    assert told == ["broken: no kernel in model.onnx, tried in judged"]


@pytest.mark.parametrize("error", [TooFewImages("few"), CheckFailed("wrong"), ValueError("a fault")])
def test_other_errors_are_not_taken_for_a_broken_precision(work, tmp_path, error):
    with pytest.raises(type(error), match=str(error)):
        breakable(failing(error), HERE, work, graph=tmp_path / "graph")
    assert not (work.out / BROKEN).exists()


def test_a_broken_graph_is_not_compiled_and_its_reason_is_passed_on(work, tmp_path):
    (tmp_path / "graph" / BROKEN).write_text(json.dumps({"reason": "no kernel", "runtime": ORT}))
    compile_graph(work, input=None, target=HERE, batches=(1,), tried=True, graph=tmp_path / "graph")
    assert [path.name for path in work.out.iterdir()] == [BROKEN]
    _, broken = parted({Variant("student", "int8"): work.out, Variant("student", "fp32"): tmp_path})
    assert broken == [BrokenVariant(network="student", precision="int8", reason="no kernel", runtime=ORT)]


def cell(network, precision):
    return BrokenVariant(network=network, precision=precision, reason=f"no {precision}", runtime=None)


def test_a_build_without_any_working_precision_fails():
    broken = [cell("student", "int8"), cell("student", "fp16")]
    check_left(broken, ("fp32", "fp16", "int8"))
    check_left([cell("teacher", "int8")], ("int8",))
    with pytest.raises(CheckFailed, match=r"fp16 is broken: no fp16; int8 is broken: no int8\. .*precision: auto"):
        check_left(broken, ("fp16", "int8"))


def test_a_reason_is_a_line_of_bounded_length():
    assert in_a_line(ArtifactFailed("a\n\n b\tc")) == "a b c"
    assert len(in_a_line(ArtifactFailed("x" * 100_000))) == 1000
