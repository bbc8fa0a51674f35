"""What the keys of a target's steps depend on, and what they do not."""

from dataclasses import replace
from importlib.metadata import PackageNotFoundError

import pytest

from calibration.errors import TooFewImages
from pipeline.engine.plan import make_plan
from pipeline.engine.store import Store
from pipeline.planning.deployment import check_calibration
from pipeline.planning.training import training_steps
from targets.carried import library_version
from targets.contract import make_target, revision
from targets.errors import Unusable
from targets.onnxruntime import OnnxRuntime
from targets.settings import TargetSettings
from tests.plans import BOARD, HERE, keys, on


@pytest.mark.parametrize("place", [{}, {"board": BOARD}], ids=["here", "elsewhere"])
def test_layers_by_speed_calibrate_anew_only_where_they_are_timed(model, tmp_path, place):
    recipe, data = model
    fastest = recipe.model_copy(update={"calibrate": recipe.calibrate.model_copy(update={"layers": "fastest"})})
    before, after = (keys((one, data), tmp_path, replace(HERE, **place)) for one in (recipe, fastest))
    changed = {name for name in before if name.startswith("calibrate/") and before[name] != after[name]}
    assert changed == (set() if place else {"calibrate/student/int8/mine"})


def test_whether_a_step_may_break_changes_no_key(model, tmp_path):
    recipe, data = model
    auto, asked = (
        keys((recipe.model_copy(update={"precision": precision}), data), tmp_path, HERE)
        for precision in ("auto", "int8")
    )
    for name in ("calibrate/student/int8/mine", "compile/student/int8/mine", "compile/teacher/fp32/mine"):
        assert auto[name] == asked[name]


@pytest.mark.parametrize("place", [{}, {"board": BOARD}, {"host": "ssh://there"}], ids=["here", "elsewhere", "ssh"])
@pytest.mark.parametrize(
    "words", [{"about": "new"}, {"python": "python3.12"}, {"precisions": ("fp32", "fp16", "int8")}]
)
def test_descriptions_of_a_machine_are_not_in_keys(model, tmp_path, place, words):
    """Available precisions, location and description of the machine do not affect results."""
    target = replace(HERE, **place)
    assert keys(model, tmp_path, target) == keys(model, tmp_path, replace(target, **words))


def test_another_address_is_another_device_and_is_measured_again(model, tmp_path):
    first, second = (keys(model, tmp_path, replace(HERE, host=host)) for host in ("ssh://one", "ssh://user@two:2222"))
    assert {name for name in first if first[name] != second[name]} == {"device/mine"}


@pytest.mark.parametrize(
    "changed", [{"threads": 3}, {"runtime": "openvino"}, {"options": {"hint": "throughput"}}, {"device": "GPU"}]
)
def test_settings_of_a_runtime_change_the_keys_of_its_results(model, tmp_path, changed):
    target = TargetSettings("openvino")
    if "runtime" in changed:
        target = HERE
    before, after = (keys(model, tmp_path, one) for one in (target, replace(target, **changed)))
    different = {name for name in before if before[name] != after[name]}
    assert {"compile/student/int8/mine", "compile/teacher/fp32/mine", "measure/mine"} <= different
    assert not {name for name in different if name.startswith(("export/", "reference/", "teacher", "compact"))}


def test_a_revision_of_a_target_makes_its_artifacts_and_what_is_judged_by_them_anew(model, tmp_path, monkeypatch):
    before = keys(model, tmp_path, HERE)
    monkeypatch.setattr(OnnxRuntime, "revision", 1, raising=False)
    after = keys(model, tmp_path, HERE)
    anew = {name for name in before if before[name] != after[name]}
    judged = {"calibrate/student/int8/mine", "measure/mine"}
    assert anew == {name for name in before if name.startswith("compile/")} | judged


def test_runtimes_with_converters_of_their_own_are_revised_apart_from_others():
    """They computed some foreign graphs otherwise before; the keys of other targets' artifacts stay as they were."""
    found = {name: revision(make_target(TargetSettings(name))) for name in ("ncnn", "litert", "executorch", "openvino")}
    assert found == {"ncnn": 1, "litert": 1, "executorch": 1, "openvino": 0}


def test_artifacts_for_a_board_are_planned_without_a_runtime_that_compiling_does_not_need(model, tmp_path, monkeypatch):
    target = TargetSettings("ncnn", board=BOARD)
    with_it = keys(model, tmp_path, target)
    known = library_version

    def version(name):
        if name == "ncnn":
            raise PackageNotFoundError(name)
        return known(name)

    for module in ("pipeline.engine.step", "targets.contract"):
        monkeypatch.setattr(f"{module}.library_version", version)
    without = keys(model, tmp_path, target)
    compiled = {name for name in with_it if name.startswith("compile/")}
    assert {name for name in with_it if with_it[name] != without[name]} == {*compiled, "bundle/mine"}
    with pytest.raises(Unusable, match="ncnn is not installed. Run: pip install"):
        keys(model, tmp_path, TargetSettings("ncnn"))


def test_targets_that_need_the_same_graph_share_it(model, tmp_path):
    elsewhere, other = keys(model, tmp_path, replace(HERE, board=BOARD)), keys(model, tmp_path, HERE)
    for name in ("calibrate/student/fp16", "calibrate/student/int8/mine"):
        assert elsewhere[name] == other[name]


def test_another_result_is_another_measurement_of_the_same_bundle(model, tmp_path):
    found = []
    for content in (b"1", b"2"):
        (tmp_path / "result").write_bytes(content)
        found.append(keys(model, tmp_path, replace(HERE, board=BOARD), tmp_path / "result"))
    assert {name for name in found[0] if found[0][name] != found[1][name]} == {"device/mine"}


@pytest.mark.parametrize("place", [{"board": BOARD}, {"host": "ssh://there"}], ids=["elsewhere", "ssh"])
def test_a_bundle_does_not_depend_on_the_limit_of_the_gate(model, tmp_path, place):
    """The device measures; the gate is applied here."""
    recipe, data = model
    found = []
    for points in (0.5, 3.0):
        calibrate = recipe.calibrate.model_copy(update={"max_map_drop_points": points})
        one = recipe.model_copy(update={"precision": "fp32", "calibrate": calibrate})
        found.append(keys((one, data), tmp_path, replace(HERE, **place))["bundle/mine"])
    assert found[0] == found[1]


def test_without_int8_few_images_are_enough(model, tmp_path):
    recipe, data = model
    few = recipe.calibrate.model_copy(update={"min_images": 33})
    for precision, refused in (("fp16", False), ("auto", True)):
        recipe = recipe.model_copy(update={"precision": precision, "calibrate": few})
        steps = [*training_steps(recipe, data), *on((recipe, data), HERE).steps()]
        plan = make_plan(steps, Store(tmp_path / "store"), {})
        if refused:
            with pytest.raises(TooFewImages):
                check_calibration(plan, recipe, data)
        else:
            check_calibration(plan, recipe, data)


def test_a_teacher_named_like_the_student_is_the_one_that_it_has_anyway(model, tmp_path):
    recipe, data = model
    named = recipe.teacher.model_copy(update={"architecture": recipe.network.architecture})
    plans = [
        make_plan(training_steps(some, data), Store(tmp_path / "store"), {})
        for some in (recipe, recipe.model_copy(update={"teacher": named}))
    ]
    assert [planned.key for planned in plans[0]] == [planned.key for planned in plans[1]]
