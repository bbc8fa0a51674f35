"""The learning rate over time."""

import pytest
from pydantic import ValidationError

from pipeline.stages.distill import Distill
from pipeline.training.schedule import Schedule


def test_the_papers_schedule_is_the_default():
    schedule = Schedule()
    assert (schedule.epochs, schedule.warmup, schedule.flat) == (120, 10, 40)
    assert schedule.lr_at(0) == pytest.approx(0.001)
    assert schedule.lr_at(5) == pytest.approx(0.0055)
    assert schedule.lr_at(10) == schedule.lr_at(40) == 0.01
    assert schedule.lr_at(80) == pytest.approx(0.005, rel=1e-4)
    assert schedule.lr_at(120) == pytest.approx(1e-7)
    assert (schedule.momentum, schedule.weight_decay, schedule.classifier_lr_factor) == (0.9, 5e-4, 1.5)


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


def test_a_shorter_run_keeps_the_proportions():
    assert (Distill(epochs=12).warmup, Distill(epochs=12).flat, Distill(epochs=12).learn) == (1, 4, 2)


def test_phases_that_do_not_fit_are_refused():
    with pytest.raises(ValidationError, match="leaves nothing"):
        Distill(epochs=3, learn_epochs=3)
    with pytest.raises(ValidationError, match="must follow each other"):
        Schedule(epochs=10, flat_until=20)
