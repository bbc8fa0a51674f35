"""Removal of channels at once or gradually: when, how many, and the same result after an interruption."""

import json

import pytest
import torch

import pipeline.stages.prune
from pipeline.engine.processes import Processes
from pipeline.engine.work import Work
from pipeline.method.compress import Compress
from pipeline.networks.cost import network_cost
from pipeline.networks.factory import Network
from pipeline.progress import Silent
from pipeline.stages.distill import Distill
from pipeline.stages.prune import cut_schedule, train_and_cut
from pipeline.training.supervised import Classified
from tests.helpers import SMALL, alive_network
from tests.pipeline.test_training import batches  # noqa: F401 # a fixture

NETWORK = Network(architecture="resnet10t", last_stride=1, embedding=16)


def settings(**changes):
    return Distill(init="teacher", epochs=4, lr=0.02, compress=Compress(macs=0.3), score_steps=2, **changes)


def run(chosen, source, folder):
    """The small student, and the messages on its cuts."""
    work = Work(folder / "out", folder / "scratch", Processes("cpu"), Silent())
    for some in (work.out, work.scratch):
        some.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    student = Classified(alive_network(), 8)
    known = {name: value.clone() for name, value in student.state_dict().items()}

    def teacher():
        other = Classified(alive_network(), 8)
        other.load_state_dict(known)
        return other

    small = train_and_cut(work, student, teacher, chosen, source, NETWORK, SMALL, 0)
    return small, json.loads((work.out / "selection.json").read_text())["cuts"]


def test_a_schedule_reaches_the_budget_in_the_first_half():
    at_once, later = cut_schedule(settings(), 0.3), cut_schedule(settings(learn_epochs=1), 0.3)
    assert [(cut.epoch, cut.share) for cut in (*at_once, *later)] == [(0, 0.3), (1, 0.3)]
    gradual = settings(shrink="gradual").model_copy(update={"epochs": 100})
    cuts = cut_schedule(gradual, 0.1)
    assert len(cuts) == pipeline.stages.prune.MOST_CUTS
    assert [cut.epoch for cut in cuts] == [*range(0, 50, 5)]
    assert cuts[0].share == pytest.approx(0.1**0.1)
    assert cuts[-1].share == pytest.approx(0.1)


def test_channels_of_later_cuts_are_named_as_in_the_dense_student(batches, tmp_path, monkeypatch):  # noqa: F811
    """They choose the teacher's features that a small student is compared with."""

    def untrained(_task, _batches, _settings, folder, *_):
        (folder / "metrics.csv").write_text("epoch\n")

    monkeypatch.setattr(pipeline.stages.prune, "fit", untrained)
    chosen = settings(shrink="gradual", importance="norm", allocation="global", reconstruct=False)
    run(chosen, batches, tmp_path)
    first, second = (
        json.loads((tmp_path / "scratch" / f"cut-{epoch:05d}" / "kept.json").read_text()) for epoch in (0, 1)
    )
    for name, rows in second.items():
        assert 0 < len(rows) < len(first[name])
        assert {*rows} < {*first[name]}


@pytest.mark.parametrize(
    ("chosen", "epochs"),
    [
        pytest.param(settings(learn_epochs=1), [1], id="behind a first phase", marks=pytest.mark.slow),
        pytest.param(settings(shrink="gradual"), [0, 1], id="gradually", marks=pytest.mark.slow),
    ],
)
def test_a_run_killed_after_a_cut_equals_an_uninterrupted_one(chosen, epochs, batches, tmp_path, monkeypatch):  # noqa: F811
    whole, told = run(chosen, batches, tmp_path / "whole")
    assert [cut["epoch"] for cut in told] == epochs
    dense = network_cost(alive_network(), SMALL).macs
    assert 0.25 < network_cost(whole.embedder, SMALL).macs / dense <= 0.3
    rows = (tmp_path / "whole" / "out" / "metrics.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in rows] == ["epoch", "1", "2", "3", "4"]

    honest, calls = pipeline.stages.prune.fit, []  # type: ignore[attr-defined]

    def killed(*given):
        calls.append(given)
        if len(calls) == 2:
            raise KeyboardInterrupt
        honest(*given)

    monkeypatch.setattr(pipeline.stages.prune, "fit", killed)
    with pytest.raises(KeyboardInterrupt):
        run(chosen, batches, tmp_path / "broken")
    monkeypatch.setattr(pipeline.stages.prune, "fit", honest)
    choose = pipeline.stages.prune.select_channels  # type: ignore[attr-defined]
    chosen_again = []
    monkeypatch.setattr(
        pipeline.stages.prune, "select_channels", lambda *given: chosen_again.append(1) or choose(*given)
    )
    resumed, _ = run(chosen, batches, tmp_path / "broken")
    assert not chosen_again  # the earlier choice is reused
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name
