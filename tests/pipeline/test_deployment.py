"""The plan of a target by the location of its device: steps and precisions."""

from dataclasses import replace

import pytest

from pipeline.planning.deployment import TargetPlan, place_of
from pipeline.stages.unsupported import breakable
from targets.contract import make_target
from targets.errors import UnsupportedPrecision, Unusable
from targets.machine.device import is_board, this_device
from targets.settings import TargetSettings
from tests.pipeline.deployments import BOARD, HERE, Limited, idle, limited, model, names, on

__all__ = ["idle", "limited", "model"]


def test_a_board_is_recognised_by_words_of_its_name():
    name = this_device().name
    assert is_board(None)
    assert is_board(name.upper()[2:9])
    assert not is_board(BOARD)


@pytest.mark.parametrize(
    ("target", "place"),
    [
        (HERE, "here"),
        (replace(HERE, board=this_device().name), "here"),
        (replace(HERE, board=BOARD), "elsewhere"),
        (replace(HERE, host="ssh://there"), "ssh"),
        (replace(HERE, host="ssh://there", board=BOARD), "ssh"),
        (TargetSettings("openvino", device="GPU"), "here"),  # `check` then reports that it is missing
        (TargetSettings("limited"), "elsewhere"),
    ],
)
def test_the_location_of_a_device(limited, target, place):
    assert place_of(target, make_target(target)) == place


def test_here_everything_is_compiled_and_measured(model):
    found = names(model, HERE)
    assert found[-1] == "measure/mine"
    assert [name for name in found if name.startswith("compile/")] == [
        "compile/teacher/fp32/mine", "compile/student/fp32/mine", "compile/student/fp16/mine",
        "compile/student/int8/mine",
    ]  # fmt: skip
    assert {"calibrate/student/fp16", "calibrate/student/int8/mine"} <= {*found}
    assert not [name for name in found if name.startswith(("bundle/", "device/"))]


def test_layers_are_timed_on_the_target_and_for_this_machine(model):
    recipe, data = model
    fastest = recipe.model_copy(update={"calibrate": recipe.calibrate.model_copy(update={"layers": "fastest"})})
    for target, place in ((HERE, this_device()), (replace(HERE, board=BOARD), None)):
        steps = TargetPlan(fastest, data, "tiny@1.0.0", "mine", target).steps()
        int8 = next(step for step in steps if str(step.id) == "calibrate/student/int8/mine")
        assert (int8.place, int8.settings.get("here", False)) == (place, place is not None)
    assert all(step.place is None for step in on(model, HERE).steps() if step.stage == "calibrate")


def test_elsewhere_it_ends_in_a_bundle_until_its_result_is_there(model, tmp_path):
    elsewhere = replace(HERE, board=BOARD)
    graphs = ["calibrate/student/fp16", "calibrate/student/int8/mine"]
    assert names(model, elsewhere) == [*graphs, "bundle/mine"]
    (tmp_path / "result").write_bytes(b"1")
    assert names(model, elsewhere, tmp_path / "result") == [*graphs, "bundle/mine", "device/mine"]
    assert names(model, replace(HERE, host="ssh://there")) == [*graphs, "bundle/mine", "device/mine"]


def test_what_compiles_ahead_is_compiled_although_its_device_is_not_here(model, limited):
    found = names(model, TargetSettings("limited"))
    assert found == [
        "calibrate/student/fp16", "compile/teacher/fp32/mine", "compile/student/fp32/mine",
        "compile/student/fp16/mine", "bundle/mine",
    ]  # fmt: skip
    assert names(model, TargetSettings("limited", device="none")) == ["calibrate/student/fp16", "bundle/mine"]


class Portable(Limited):
    """A runtime whose artifacts are the same on every board, made by a converter."""

    compiles_ahead, portable, converters = False, True, ("onnx",)

    def check(self):
        return "a runtime"


def test_a_bundle_carries_the_artifacts_of_a_portable_runtime(model, limited, monkeypatch):
    monkeypatch.setattr("tests.pipeline.deployments.Limited", Portable)
    steps = [*on(model, TargetSettings("limited", board=BOARD)).steps()]
    compiled = [step for step in steps if step.id.stage == "compile"]
    assert [str(step.id) for step in compiled] == [
        "compile/teacher/fp32/mine", "compile/student/fp32/mine", "compile/student/fp16/mine",
    ]  # fmt: skip
    assert {step.libraries for step in compiled} == {("numpy", "onnx")}
    assert {*steps[-1].inputs["compiled"].values()} == {step.id for step in compiled}
    assert "compiled" not in [*on(model, replace(HERE, board=BOARD)).steps()][-1].inputs
    with pytest.raises(Unusable, match="no compiler"):
        names(model, TargetSettings("limited", device="none", board=BOARD))
    with pytest.raises(Unusable, match="no compiler"):
        names(model, TargetSettings("limited", device="none"))


@pytest.mark.parametrize(
    ("precision", "asked", "student"),
    [
        ("auto", None, ["fp32", "fp16", "int8"]),
        ("auto", ("int8",), ["fp32", "int8"]),  # fp32 is the reference of all others
        ("auto", ("int8", "fp16"), ["fp32", "fp16", "int8"]),
        ("int8", None, ["fp32", "int8"]),
        ("fp16", None, ["fp32", "fp16"]),
        ("fp32", None, ["fp32"]),
    ],
)
def test_which_precisions_are_built(model, precision, asked, student):
    recipe = model[0].model_copy(update={"precision": precision})
    found = on((recipe, model[1]), replace(HERE, precisions=asked)).variants
    assert found == [("teacher", "fp32"), *(("student", precision) for precision in student)]


@pytest.mark.parametrize(("precision", "asked"), [("int8", None), ("auto", ("fp16", "int8"))])
def test_a_precision_that_the_runtime_lacks_is_refused(model, limited, precision, asked):
    recipe, target = model[0].model_copy(update={"precision": precision}), TargetSettings("limited", precisions=asked)
    with pytest.raises(UnsupportedPrecision, match="limited on CPU can't compute in int8, only in fp32, fp16"):
        on((recipe, model[1]), target).variants  # noqa: B018 - raises


def test_a_precision_that_the_target_leaves_out_is_refused(model):
    recipe, target = model[0].model_copy(update={"precision": "fp32"}), replace(HERE, precisions=("fp16", "int8"))
    with pytest.raises(UnsupportedPrecision, match=r"fp32 is not one of this target's precisions .*\(fp16, int8\)"):
        on((recipe, model[1]), target).variants  # noqa: B018 - raises


@pytest.mark.parametrize("place", [{}, {"host": "ssh://there"}], ids=["here", "ssh"])
def test_a_precision_built_only_for_comparison_does_not_ship(model, place):
    target = replace(HERE, precisions=("fp16", "int8"), **place)
    last = [*on(model, target).steps()][-1]
    assert last.settings["precisions"] == ("fp16", "int8")


@pytest.mark.parametrize("place", [{}, {"board": BOARD}, {"host": "ssh://there"}], ids=["here", "elsewhere", "ssh"])
@pytest.mark.parametrize(
    ("precision", "asked", "may_break"),
    [("auto", None, ["fp16", "int8"]), ("auto", ("int8",), []), ("auto", ("int8", "fp16"), ["fp16", "int8"]),
     ("int8", None, [])],
)  # fmt: skip
def test_a_build_goes_on_without_a_precision_that_breaks_while_another_may_ship(
    model, place, precision, asked, may_break
):
    """The student in fp32 and requested precisions may not break; the dense network, which never ships, may."""
    recipe = model[0].model_copy(update={"precision": precision})
    steps = [*on((recipe, model[1]), replace(HERE, precisions=asked, **place)).steps()]
    found = {str(step.id).split("/", 1)[1] for step in steps if getattr(step.run, "func", None) is breakable}
    expected = {f"student/{one}" + "/mine" * (one == "int8") for one in may_break}
    if not place:
        expected |= {f"student/{one}/mine" for one in may_break} | {"teacher/fp32/mine"}
    assert found == expected
