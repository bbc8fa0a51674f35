"""The learning rate over time."""

import pytest
import torch
from pydantic import ValidationError

from pipeline.method.compactor import Compactor
from pipeline.method.settings import Resetting
from pipeline.stages.distill import Distill
from pipeline.training.learner import _optimizer
from pipeline.training.schedule import Schedule
from pipeline.training.supervised import Classified
from tests.helpers import alive_network
from tests.pipeline.test_training import make_task


def test_the_papers_schedule_is_the_default():
    schedule = Schedule()
    assert (schedule.epochs, schedule.warmup, schedule.flat) == (120, 10, 40)
    assert schedule.lr_at(0) == pytest.approx(0.001)
    assert schedule.lr_at(5) == pytest.approx(0.0055)
    assert schedule.lr_at(10) == schedule.lr_at(40) == 0.01
    assert schedule.lr_at(80) == pytest.approx(0.005, rel=1e-4)
    assert schedule.lr_at(120) == pytest.approx(1e-7)
    assert (schedule.momentum, schedule.weight_decay, schedule.head_lr_factor) == (0.9, 5e-4, 1.5)


def test_the_papers_distillation_is_the_default():
    distill = Distill()
    assert distill.learn == 20
    weights = distill.identity_weight, distill.triplet_weight, distill.logits_weight, distill.features_weight
    assert weights == (1.0, 1.0, 1.0, 0.5)
    assert (distill.sparsity_weight, distill.sparsity, distill.temperature) == (0.004, "subgradient", 2.0)
    assert (distill.label_smoothing, distill.margin, distill.init) == (0.1, 0.35, "pretrained")
    assert distill.rggr.model_dump() == {
        "by": "retrieval",
        "neighbours": 2,
        "share": 0.5,
        "bank": 24_000,
        "distance": "cosine",
    }


def test_importance_by_retrieval_keeps_the_settings_of_its_neighbours():
    chosen = {"neighbours": 5, "bank": 70, "distance": "euclidean"}
    settings = Distill(compress={"macs": 0.5}, importance="retrieval", rggr={**chosen, "share": 0.1, "by": "none"})
    assert settings.read().rggr == Resetting(**chosen)
    assert Distill(compress={"macs": 0.5}, rggr=chosen).read().rggr == Resetting()


@pytest.mark.parametrize("by", ["norm", "none"])
def test_only_resetting_by_retrieval_reads_neighbours_bank_share_and_distance(by):
    chosen = {"neighbours": 5, "bank": 70, "distance": "euclidean", "share": 0.1}
    settings = Distill(method="cdd", compress={"macs": 0.5}, rggr={**chosen, "by": by})
    assert settings.read().rggr == Resetting(by=by)
    kept = Distill(method="cdd", compress={"macs": 0.5}, rggr=chosen)
    assert kept.read().rggr == Resetting(**chosen)


@pytest.mark.parametrize(
    ("name", "changes", "kept"),
    [
        ("search_tries", {"allocation": "searched"}, True),
        ("search_tries", {"allocation": "best"}, False),
        ("search_tries", {"method": "cdd"}, False),
        ("score_steps", {"importance": "taylor", "reconstruct": False}, True),
        ("score_steps", {"importance": "sensitivity", "reconstruct": False}, True),
        ("score_steps", {"importance": "best", "reconstruct": False}, True),
        ("score_steps", {"importance": "retrieval", "reconstruct": False}, True),
        ("score_steps", {"importance": "norm"}, True),  # of the inputs that channels are reconstructed from
        ("score_steps", {"importance": "norm", "reconstruct": False}, False),
        ("score_steps", {"importance": "position", "reconstruct": False}, False),
        ("score_steps", {"method": "torch_pruning"}, True),
        ("score_steps", {"method": "torch_pruning", "importance": "l1"}, False),
    ],
)
def test_a_setting_counts_only_where_it_is_used(name, changes, kept):
    settings = Distill(**{"compress": {"macs": 0.5}, name: 7, **changes})
    assert getattr(settings, name) == 7
    assert getattr(settings.read(), name) == (7 if kept else Distill.model_fields[name].default)


def test_torch_pruning_with_a_budget_of_a_target_is_refused():
    budget = {"images_per_second": 100, "target": "openvino-cpu"}
    with pytest.raises(ValueError, match="torch_pruning counts MACs or parameters, not images_per_second: set"):
        Distill(method="torch_pruning", compress=budget)


@pytest.mark.parametrize("method", ["cdd", "torch_pruning"])
@pytest.mark.parametrize("importance", ["sensitivity", "best"])
def test_sensitivity_is_importance_of_pruning_alone(method, importance):
    with pytest.raises(ValueError, match=f"method: {method} .* importance (to )?norm"):
        Distill(method=method, compress={"macs": 0.5}, importance=importance)


def test_head_and_classifier_learn_faster_than_the_backbone():
    task = make_task()
    groups = _optimizer(task, Schedule()).param_groups
    names = {parameter: name for name, parameter in task.named_parameters()}
    fast = {names[parameter] for parameter in groups[1]["params"]}
    assert groups[1]["factor"] == 1.5
    assert fast == {name for name in names.values() if "embedder.head" in name or "classifier" in name}
    assert len(fast) == 6
    assert {names[parameter] for parameter in groups[0]["params"]} == set(names.values()) - fast


def test_the_head_is_initialised_as_set():
    torch.manual_seed(0)
    uniform, kaiming = (Classified(alive_network(), 500, init) for init in ("uniform", "kaiming"))
    linear = kaiming.embedder.head[2].weight.detach()
    assert float(linear.std()) == pytest.approx((2 / len(linear)) ** 0.5, rel=0.05)
    assert float(kaiming.classifier.weight.detach().std()) == pytest.approx(0.001, rel=0.05)
    assert uniform.embedder.head[2].weight.abs().max() <= linear.shape[1] ** -0.5
    assert uniform.classifier.weight.abs().max() <= 16**-0.5


def test_a_shorter_run_keeps_the_proportions():
    assert (Distill(epochs=12).warmup, Distill(epochs=12).flat, Distill(epochs=12).learn) == (1, 4, 2)


@pytest.mark.parametrize("sparsity", ["subgradient", "proximal"])
@pytest.mark.parametrize(("epochs", "batches"), [(3, 40), (30, 40), (12, 300)])
def test_a_reach_shrinks_rows_equally_in_any_schedule(sparsity, epochs, batches):
    settings = Distill(epochs=epochs, lr=0.02, sparsity=sparsity, sparsity_reach=0.6).with_reach(batches)
    compactor = Compactor(4)
    optimizer = torch.optim.SGD(compactor.parameters(), lr=0.02, momentum=settings.momentum)
    for step in range(epochs * batches):
        lr = settings.lr_at(step / batches)
        optimizer.param_groups[0]["lr"] = lr
        if sparsity == "proximal":
            compactor.shrink_rows(lr * settings.sparsity_weight)
        else:
            compactor.weight.grad = None
            compactor.reset_gradient(torch.ones(4), settings.sparsity_weight)
            optimizer.step()
    assert torch.allclose(compactor.row_norms(), torch.full((4,), 0.4), atol=1e-4)


def test_the_papers_weight_has_the_reach_that_is_documented():
    """VeRi-776: 37 778 images in batches of 96."""
    weight = Distill(sparsity_reach=11.9).with_reach(393).sparsity_weight
    assert weight == pytest.approx(0.004, rel=0.01)
    assert Distill().with_reach(393) == Distill()


def test_phases_that_do_not_fit_are_refused():
    with pytest.raises(ValidationError, match="leaves none"):
        Distill(epochs=3, learn_epochs=3)
    with pytest.raises(ValidationError, match="must follow each other"):
        Schedule(epochs=10, flat_until=20)
