"""Why a step runs again, in words: what changed since the last build."""

import re

import pytest

from pipeline.engine.plan import make_plan
from pipeline.engine.store import Store
from pipeline.planning.training import training_steps
from tests.plans import HERE, on

INT8 = "calibrate/student/int8/mine"


@pytest.fixture
def planned(model, tmp_path):
    """Makes the plan of a build here, by step, from changes of the recipe's calibration and the plan before it."""
    recipe, data = model

    def plan(last=None, **changes):
        changed = recipe.model_copy(update={"calibrate": recipe.calibrate.model_copy(update=changes)})
        steps = [*training_steps(changed, data), *on((changed, data), HERE).steps()]
        known = {name: one.ingredients for name, one in (last or {}).items()}
        return {str(one.step.id): one for one in make_plan(steps, Store(tmp_path / "store"), known)}

    return plan


def test_a_step_that_begins_or_ceases_to_depend_on_the_machine_says_so(planned):
    before, after = planned(), planned(layers="fastest")
    begins, ceases = planned(before, layers="fastest")[INT8].reason, planned(after)[INT8].reason
    assert begins == "it depends on the machine now, here unset → true, calibrate.layers unset → fastest"
    assert ceases == "it no longer depends on the machine, here true → unset, calibrate.layers fastest → unset"


@pytest.mark.parametrize(
    ("section", "was", "reason"),
    [
        ("libraries", {"onnxruntime": "0.1"}, r"onnxruntime 0\.1 → \S+"),
        ("libraries", {"onnxruntime": None}, r"onnxruntime none → \S+"),
        ("libraries", {"gone": "1.0"}, "gone 1.0 → none"),
        ("data", "0" * 64, "the data changed"),
        ("version", None, r"version of the stage none → \d+"),
        ("inputs", {"graph": "0" * 64}, "graph is new"),
        ("files", {"onnx": "0" * 64}, "the file of onnx changed"),
    ],
)
def test_what_changed_is_named(planned, section, was, reason):
    last = planned()
    known = last[INT8].ingredients
    known[section] = {**known[section], **was} if isinstance(was, dict) else was
    found = planned(last)
    assert re.fullmatch(reason, found[INT8].reason)
