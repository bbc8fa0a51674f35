"""Loss terms against sums written out by hand."""

import math

import torch

from pipeline.method.losses import feature_distillation, logits_distillation
from pipeline.training.triplet import batch_hard_triplet


def test_triplet_takes_the_hardest_of_each():
    features = torch.tensor([[0.0], [1.0], [3.0], [4.5]])
    labels = torch.tensor([0, 0, 1, 1])
    # distances to the farthest of one's own and the nearest other: (1, 3), (1, 2), (1.5, 2), (1.5, 3.5)
    hinges = [max(0, 1 - 3 + 1.2), max(0, 1 - 2 + 1.2), max(0, 1.5 - 2 + 1.2), max(0, 1.5 - 3.5 + 1.2)]
    assert math.isclose(batch_hard_triplet(features, labels, 1.2).item(), sum(hinges) / 4, rel_tol=1e-5)


def test_logits_term_is_the_divergence_times_temperature_squared():
    random = torch.Generator().manual_seed(0)
    student, teacher = torch.randn(3, 5, generator=random), torch.randn(3, 5, generator=random)
    p, q = (teacher / 2).softmax(1), (student / 2).softmax(1)
    expected = 4 * (p * (p / q).log()).sum(1).mean()
    assert torch.allclose(logits_distillation(student, teacher, 2.0), expected, atol=1e-6)


def test_features_term_is_the_sum_over_sites_of_mean_distances():
    student = {"a": torch.zeros(2, 2), "b": torch.ones(2, 1)}
    teacher = {"a": torch.tensor([[3.0, 4.0], [0.0, 0.0]]), "b": torch.tensor([[3.0], [1.0]])}
    assert feature_distillation(student, teacher).item() == 2.5 + 1.0


def test_equal_features_have_a_finite_gradient():
    student = {"a": torch.ones(2, 3, requires_grad=True)}
    feature_distillation(student, {"a": torch.ones(2, 3)}).backward()
    assert student["a"].grad.isfinite().all()
