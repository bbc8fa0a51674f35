"""Training by several processes on parts of a batch equals training by one on the whole batch."""

import csv

import numpy as np
import pytest
import torch

from pipeline.data.sampler import IdentitySampler, Sampling
from pipeline.errors import DataError
from pipeline.networks.weights import load_tensors
from tests.forked import context
from tests.helpers import draw_vehicles, free_port
from tests.pipeline.train_distributed import train, train_as


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Folder of the same trainings by one process, `one`, and by two, `two`."""
    root = tmp_path_factory.mktemp("together")
    draw_vehicles(root / "veri")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as the two have: sums of several threads are rounded otherwise
    train(root, root / "one")
    torch.set_num_threads(threads)
    port = str(free_port())
    started = [context.Process(target=train_as, args=(root, root / "two", index, port)) for index in range(2)]
    for process in started:
        process.start()
    for process in started:
        process.join(200)
    assert [process.exitcode for process in started] == [0, 0]
    return root


def states(runs, name):
    """State of one process alone, and of the first and second of two."""
    places = ("one", "0"), ("two", "0"), ("two", "1")
    return [load_tensors(runs / some / name / f"{index}.safetensors")[0] for some, index in places]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["weights", "masks", "budget"])
def test_both_processes_hold_the_same_to_the_bit(name, runs):
    _, first, second = states(runs, name)
    assert first.keys() == second.keys()
    assert sum(value.numel() for value in first.values()) > 1e5
    for key, value in first.items():
        assert torch.equal(value, second[key]), key


@pytest.mark.slow
def test_two_processes_mask_what_one_does_and_keep_the_same_features(runs):
    one, two, _ = states(runs, "masks")
    masks = [key for key in one if key.endswith("mask")]
    assert sum(int((one[key] == 0).sum()) for key in masks) > 20
    for key in masks:
        assert torch.equal(one[key], two[key]), key
    banks = [key for key in one if key.endswith("bank")]
    assert banks
    for key in banks:
        assert one[key].abs().sum() > 0
        assert torch.allclose(one[key], two[key], atol=1e-5), key


@pytest.mark.slow
def test_two_processes_meet_a_budget_as_one_does(runs):
    left = [
        float([*csv.DictReader((runs / some / "budget" / "metrics.csv").open())][-1]["left"]) for some in ("one", "two")
    ]
    assert all(0.588 <= share <= 0.6 for share in left)


@pytest.mark.slow
def test_two_processes_reach_the_losses_and_weights_of_one(runs):
    one, two, _ = states(runs, "weights")
    still, _, _ = states(runs, "masks")  # what both began with: it has hardly moved
    learnt = [key for key, value in one.items() if "resetting" not in key and value.is_floating_point()]
    assert len(learnt) > 50
    for key in learnt:
        moved, apart = (one[key] - still[key]).norm(), (one[key] - two[key]).norm()
        assert apart < 0.02 * moved + 1e-5, key
    rows = [[*csv.DictReader((runs / some / "weights" / "metrics.csv").open())] for some in ("one", "two")]
    losses = [[{key: float(value) for key, value in row.items() if key != "masked"} for row in some] for some in rows]
    for ours, theirs in zip(*losses, strict=True):
        assert ours == pytest.approx(theirs, rel=2e-3)  # the hardest of a batch's images may swap places


def test_parts_of_a_batch_make_up_the_batch():
    labels, sampling = np.arange(40) // 4, Sampling(identities=4, images=3)
    whole = [*IdentitySampler(labels, sampling, 1)]
    parts = [[*IdentitySampler(labels, sampling, 1, part, 3)] for part in range(3)]
    assert whole == [[draw for part in some for draw in part] for some in zip(*parts, strict=True)]


def test_a_batch_that_cannot_be_divided_is_refused():
    with pytest.raises(DataError, match=r"4 × 3 = 12 images can't be divided among 5 processes. Set sampling"):
        IdentitySampler(np.arange(40) // 4, Sampling(identities=4, images=3), 1, 0, 5)


def test_an_epoch_can_start_at_any_batch():
    sampler = IdentitySampler(np.arange(40) // 4, Sampling(identities=2, images=2), 1)
    whole = [*sampler]
    sampler.start = 3
    assert [*sampler] == whole[3:]
