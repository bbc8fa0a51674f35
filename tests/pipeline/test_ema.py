"""The average of weights: its recurrence, that it is what is saved, and that dead rows are dead in it."""

import pytest
import torch

from pipeline.method.compactor import DEAD, Gate
from pipeline.method.compress import Compress
from pipeline.method.settings import Resetting
from pipeline.networks.weights import load_tensors
from pipeline.stages.distill import Distill
from pipeline.training.ema import Average
from tests.pipeline.test_training import AVERAGED, SETTINGS, batches, make_task, train  # noqa: F401 - a fixture


def test_the_average_follows_its_recurrence():
    task = make_task()
    average = Average(task, 0.8)
    classifier = task.network.classifier.weight
    norm = task.network.embedder.head[0].running_mean
    expected = None
    for step in range(1, 30):
        with torch.no_grad():
            classifier += torch.randn(classifier.shape)
            norm += torch.randn(norm.shape)
        average.update(task)
        decay = min(0.8, 1 - step ** (-2 / 3))
        now = [value.clone() for value in (classifier, norm)]
        expected = [(1 - decay) * b + decay * a for a, b in zip(expected or now, now, strict=True)]
    found = average.ema.module
    assert torch.allclose(found.classifier.weight, expected[0], atol=1e-5)
    assert torch.allclose(found.embedder.head[0].running_mean, expected[1], atol=1e-5)


def test_the_average_is_saved_and_does_not_affect_training(batches, tmp_path):  # noqa: F811
    plain = train(make_task(), batches, tmp_path / "plain")
    averaged = SETTINGS.model_copy(update={"ema": 0.9})
    kept = train(make_task(averaged), batches, tmp_path / "averaged", averaged)
    assert (tmp_path / "plain" / "metrics.csv").read_text() == (tmp_path / "averaged" / "metrics.csv").read_text()
    tensors, _ = load_tensors(sorted((tmp_path / "averaged" / "checkpoints").iterdir())[-1])
    for name, value in plain.items():
        assert torch.equal(tensors[f"model.{name}"], value), name
    names = [name for name in plain if name.startswith("student.") and plain[name].is_floating_point()]
    for name in names:
        assert torch.equal(kept[name], tensors["average.ema.module." + name.removeprefix("student.")]), name
    assert sum(not torch.equal(kept[name], plain[name]) for name in names) > 0.9 * len(names)


BUDGETS = {
    "by norm": AVERAGED,
    "aligned": AVERAGED.model_copy(update={"align": 8}),
    "coupled": Distill(
        method="cdd",
        epochs=4,
        learn_epochs=1,
        lr=0.02,
        sparsity_weight=4.0,
        sparsity="proximal",
        sites="coupled",
        compress=Compress(macs=0.3),
        rggr=Resetting(by="none"),
        ema=0.9,
    ),
    "no budget": SETTINGS.model_copy(update={"sparsity": "proximal", "sparsity_weight": 8.0, "ema": 0.95}),
}


@pytest.mark.parametrize(
    "name", ["coupled", "no budget", *(pytest.param(name, marks=pytest.mark.slow) for name in ("by norm", "aligned"))]
)
def test_dead_rows_are_dead_in_the_average_at_every_step(name, batches, tmp_path, monkeypatch):  # noqa: F811
    settings = BUDGETS[name]
    task = make_task(settings)
    update, seen = Average.update, []

    def watched(average, task):
        update(average, task)
        for site, rows in task._compactors.items():
            other = average.ema.module.get_submodule(task._paths[site])
            dead = rows.row_norms() < DEAD
            assert torch.equal(other.weight[dead], rows.weight[dead])
            assert isinstance(rows, Gate) or (other.row_norms()[~dead] > DEAD).all()
        seen.append(sum(int((rows.row_norms() < DEAD).sum()) for rows in task._compactors.values()))

    monkeypatch.setattr(Average, "update", watched)
    state = train(task, batches, tmp_path / "run", settings)
    assert seen[-1] > 10
    kept = [rows.row_norms() for rows in task._compactors.values()]
    assert sum(int((norms < DEAD).sum()) for norms in kept) == seen[-1]
    if settings.compress:
        assert all(norms[norms < DEAD].eq(0).all() for norms in kept)
        assert task.budget.met
        assert task.figures()["left"] <= task.budget.target
    assert all(value.isfinite().all() for value in state.values())
