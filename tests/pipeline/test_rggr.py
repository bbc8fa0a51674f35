"""Retrieval-guided gradient resetting, against a literal implementation."""

import itertools

import pytest
import torch

from pipeline.method.rggr import GradientResetting, contributions, unimportant_channels
from pipeline.method.settings import Resetting
from tests.literal import literal_resetting

SHAPES = [(4, 7), (3, 16), (8, 5), (6, 33)]
CASES = list(itertools.product([1, 2, 3, 4, 5], [0.1, 0.3, 0.5, 0.7, 0.9], SHAPES, ["cosine", "euclidean"]))


@pytest.mark.parametrize(("neighbours", "share", "shape", "distance"), CASES)
def test_masks_equal_the_literal_ones_while_the_bank_fills_and_wraps(neighbours, share, shape, distance):
    batch, channels = shape
    random = torch.Generator().manual_seed(batch * channels + neighbours)
    settings = Resetting(neighbours=neighbours, share=share, bank=2 * batch + 1, distance=distance)
    resetting = GradientResetting({"layer1.0.conv1": channels}, settings)
    weak = torch.linspace(0.01, 2.0, channels) ** 2  # some channels are small everywhere, or nothing intersects
    seen, masked = [], set()
    for _ in range(4):
        teacher = torch.randn(batch, channels, generator=random) * weak
        student = torch.randn(batch, channels, generator=random) * weak
        seen += list(teacher)
        gallery = torch.stack(seen[-settings.bank :])
        masked |= literal_resetting(teacher, student, gallery, min(neighbours, len(gallery)), share, distance)
        resetting.update({"layer1.0.conv1": teacher}, {"layer1.0.conv1": student})
        expected = torch.tensor([0.0 if c in masked else 1.0 for c in range(channels)])
        assert torch.equal(resetting.mask("layer1.0.conv1"), expected)


def test_the_cases_above_mask_something():
    weak = torch.linspace(0.01, 2.0, 16) ** 2
    rows = torch.randn(3, 16, generator=torch.Generator().manual_seed(0)) * weak
    found = contributions(rows, rows, rows, 1, "euclidean")
    assert found.shape == (3, 1, 16)
    assert unimportant_channels(found, 0.5).any()


def test_a_mask_stays():
    resetting = GradientResetting({"a": 4}, Resetting(neighbours=1, bank=8))
    strong_left, strong_right = torch.tensor([[9.0, 9.0, 0.1, 0.1]]), torch.tensor([[0.1, 0.1, 9.0, 9.0]])
    resetting.update({"a": strong_left}, {"a": strong_left})
    assert resetting.mask("a").tolist() == [1, 1, 0, 0]
    resetting.update({"a": strong_right}, {"a": strong_right})
    assert resetting.mask("a").tolist() == [0, 0, 0, 0]


def test_the_bank_may_be_smaller_than_a_batch():
    resetting = GradientResetting({"a": 6}, Resetting(neighbours=2, bank=3))
    rows = torch.arange(30.0).view(5, 6) + 1
    resetting.update({"a": rows}, {"a": rows})
    bank = resetting.state_dict()["sites.a.bank"]
    kept = {tuple(row.tolist()) for row in torch.nn.functional.normalize(rows[-3:])}
    assert {tuple(row.tolist()) for row in bank} == kept


def test_state_is_restored():
    settings = Resetting(bank=7)
    one, two = (GradientResetting({"a.b": 5}, settings) for _ in range(2))
    rows = [torch.rand(3, 5, generator=torch.Generator().manual_seed(n)) for n in range(4)]
    for row in rows[:2]:
        one.update({"a.b": row}, {"a.b": row})
    two.load_state_dict(one.state_dict())
    for row in rows[2:]:
        one.update({"a.b": row}, {"a.b": row})
        two.update({"a.b": row}, {"a.b": row})
    assert two.written == 12
    for name, value in one.state_dict().items():
        assert torch.equal(value, two.state_dict()[name])


def test_masks_are_decided_in_float32_under_autocast():
    masks = []
    for enabled in (False, True):
        random = torch.Generator().manual_seed(0)
        found = []
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            for _ in range(20):
                resetting = GradientResetting({"a": 8}, Resetting(bank=4000))
                for batch in (4000, *[2] * 4):  # many rows of the bank are about as near: bfloat16 would take others
                    teacher, student = (torch.randn(batch, 8, generator=random) for _ in range(2))
                    resetting.update({"a": teacher}, {"a": student})
                found.append(resetting.mask("a"))
        masks.append(torch.stack(found))
    assert torch.equal(*masks)
    assert 0 < masks[0].mean() < 1
