"""Training identities that are held out for the gate on accuracy."""

from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from pipeline.data.gate import Gate, hold_out
from pipeline.data.samples import Index, Samples
from pipeline.engine.step import Step, StepId, ingredients, key_of
from pipeline.errors import DataError
from zoo.catalogue import load_catalogue


def split(identities, cameras):
    rows = np.array([(identity, camera) for identity in identities for camera in cameras], np.int64)
    return Samples(Path(), tuple(f"{i}_{c}.jpg" for i, c in rows), *rows.T)


DATA = Index(split(range(20), (0, 1, 2)), split(range(20, 25), (0,)), split(range(20, 25), (1, 2)), "f")


def test_held_out_identities_are_never_trained_on_and_no_image_is_lost():
    found = hold_out(DATA, Gate(identities=5), needed=8)
    train, gate = ({*some.identities.tolist()} for some in (found.train, found.gate))
    assert (len(train), len(gate)) == (15, 5)
    assert not train & gate
    assert sorted(found.train.paths + found.gate.paths) == sorted(DATA.train.paths)
    assert found.train.labels.max() == 14
    assert (found.query, found.gallery, found.fingerprint) == (DATA.query, DATA.gallery, DATA.fingerprint)
    assert found.judged == (found.gate, found.gate)


def test_the_same_identities_are_held_out_each_time():
    first, second = (hold_out(DATA, Gate(identities=5), needed=8) for _ in range(2))
    assert first.gate.paths == second.gate.paths
    assert first.key == second.key


def test_without_held_out_identities_the_gate_is_on_the_test_set():
    found = hold_out(DATA, Gate(identities=0), needed=20)
    assert found is DATA
    assert found.judged == (DATA.query, DATA.gallery)


def test_results_depend_on_the_held_out_identities():
    def key(index):
        return key_of(ingredients(Step(StepId("teacher"), lambda: None, 1, {}, data=index), {}))

    found = [hold_out(DATA, Gate(identities=count), needed=8) for count in (0, 5, 6)]
    assert len({key(index) for index in found}) == 3
    assert found[0].key == DATA.fingerprint, "what was made without a gate's split still stands"


def test_identities_of_one_camera_have_no_right_answer_and_are_not_held_out():
    lonely = split(range(100, 110), (0,))
    both = [np.concatenate(pair) for pair in ((DATA.train.identities, lonely.identities),
                                             (DATA.train.cameras, lonely.cameras))]  # fmt: skip
    mixed = Index(Samples(Path(), DATA.train.paths + lonely.paths, *both), DATA.query, DATA.gallery, "f")
    found = hold_out(mixed, Gate(identities=20), needed=10)
    assert {*found.gate.identities.tolist()} == {*range(20)}
    with pytest.raises(DataError, match="30 identities, 20 of them seen by two cameras"):
        hold_out(mixed, Gate(identities=21), needed=2)


@pytest.mark.parametrize(("count", "needed", "most"), [(13, 8, "12 or fewer"), (50, 16, "4 or fewer"), (2, 19, None)])
def test_too_few_identities_are_an_error_that_says_how_many_can_be_held_out(count, needed, most):
    with pytest.raises(DataError) as caught:
        hold_out(DATA, Gate(identities=count), needed)
    said = str(caught.value)
    assert f"gate.identities ({count}) can't be held out" in said
    assert (f"Set it to {most}" if most else "Lower sampling.identities, or add identities") in said
    assert "0 puts the gate on the test set, which the release records." in said
    assert "\n" not in said


def test_a_gate_needs_two_identities():
    with pytest.raises(ValidationError, match="hold out two or more, or 0"):
        Gate(identities=1)


def test_studies_compare_in_torch_and_hold_nothing_out():
    catalogue = load_catalogue()
    sizes = {name: catalogue.recipe(name).gate.identities for name in catalogue.models if not name.startswith("_")}
    assert all((size == 0) == name.startswith("study-") for name, size in sizes.items())
