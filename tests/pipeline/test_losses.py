"""Loss terms against sums written out by hand."""

import math

import torch
from torch.nn import functional

from pipeline.method.bank import EmbeddingBank
from pipeline.method.compress import Compress
from pipeline.method.distillation import output_losses, teacher_trust
from pipeline.method.losses import (
    embedding_regression,
    feature_distillation,
    logits_distillation,
    relational_distillation,
    relative_feature_distillation,
)
from pipeline.method.settings import Distillation
from pipeline.training.supervised import Scores, batch_hard_triplet


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


def test_relative_features_are_scale_free():
    random = torch.Generator().manual_seed(0)
    student, teacher = ({name: torch.randn(4, 6, generator=random) for name in "ab"} for _ in range(2))
    one = relative_feature_distillation(student, teacher)
    scaled = [{name: 100 * value for name, value in some.items()} for some in (student, teacher)]
    assert torch.isclose(relative_feature_distillation(*scaled), one)
    twice = [{**some, "c": some["a"], "d": some["b"]} for some in (student, teacher)]
    assert torch.isclose(relative_feature_distillation(*twice), one)  # nor does it grow with depth
    assert relative_feature_distillation(teacher, teacher) == 0


def test_relations_compare_neighbourhoods_and_not_embeddings():
    random = torch.Generator().manual_seed(0)
    teacher = torch.randn(8, 5, generator=random)
    turned = teacher @ torch.linalg.qr(torch.randn(5, 5, generator=random)).Q
    assert relational_distillation(turned, teacher) < 1e-6  # turned as a whole, nothing is lost
    longer = torch.cat([3 * teacher, torch.zeros(8, 2)], 1)
    assert relational_distillation(longer, teacher) < 1e-6  # nor with other lengths
    assert relational_distillation(torch.randn(8, 5, generator=random), teacher) > 0.1


def test_relations_to_a_bank_are_further_columns():
    random = torch.Generator().manual_seed(0)
    student, teacher, earlier = (torch.randn(count, 5, generator=random) for count in (4, 4, 3))
    bank = functional.normalize(earlier)
    rows = []
    for one in (student, teacher):
        unit = functional.normalize(one)
        likeness = torch.cat([unit @ unit.T, unit @ bank.T], 1) / 0.1
        rows.append(torch.stack([torch.cat([row[:place], row[place + 1 :]]) for place, row in enumerate(likeness)]))
    p, q = rows[1].softmax(1), rows[0].softmax(1)
    expected = (p * (p / q).log()).sum(1).mean()
    assert torch.allclose(relational_distillation(student, teacher, bank=bank), expected, atol=1e-5)


def test_a_bank_holds_the_latest_embeddings_and_is_saved():
    bank = EmbeddingBank(3, 2)
    assert len(bank.filled) == 0
    for angle in range(5):
        bank.add(2 * torch.tensor([[math.cos(angle), math.sin(angle)]]))
    expected = torch.tensor([[math.cos(angle), math.sin(angle)] for angle in (3, 4, 2)])
    assert torch.allclose(bank.filled, expected, atol=1e-6)
    other = EmbeddingBank(3, 2)
    other.load_state_dict(bank.state_dict())
    assert torch.equal(other.filled, bank.filled)
    other.add(torch.ones(1, 2))
    assert torch.allclose(other.filled[2], torch.full((2,), 0.5**0.5))


def test_regression_is_half_the_squared_distance_of_unit_embeddings():
    random = torch.Generator().manual_seed(0)
    student, teacher = torch.randn(6, 5, generator=random), torch.randn(6, 5, generator=random)
    apart = functional.normalize(student) - functional.normalize(teacher)
    assert torch.allclose(embedding_regression(student, teacher), apart.square().sum(1).mean() / 2, atol=1e-6)
    assert embedding_regression(3 * teacher, teacher) < 1e-6


def test_two_perfect_networks_have_a_finite_weight():
    """Without label smoothing, cross entropies of confident networks are exactly zero."""
    settings = Distillation(compress=Compress(macs=0.5), balance="relative", label_smoothing=0)
    perfect = Scores(torch.zeros(4, 2), torch.zeros(4, 2), 200 * torch.eye(4))
    assert 0 <= teacher_trust(perfect, perfect, torch.arange(4), settings) <= 1


def test_a_student_better_than_its_teacher_ignores_it():
    settings = Distillation(compress=Compress(macs=0.5), balance="relative")
    labels = torch.arange(4)
    unsure, sure = (Scores(torch.zeros(4, 2), torch.zeros(4, 2), size * torch.eye(4)) for size in (1.0, 5.0))
    assert teacher_trust(unsure, sure, labels, settings) == 1
    assert teacher_trust(sure, unsure, labels, settings) < 0.05
    assert teacher_trust(sure, unsure, labels, settings.model_copy(update={"balance": "fixed"})) == 1
    losses = output_losses(sure, unsure, labels, settings, teacher_trust(sure, unsure, labels, settings))
    assert losses["logits"] < 0.05 * output_losses(sure, unsure, labels, settings, torch.ones(()))["logits"] + 1e-6
