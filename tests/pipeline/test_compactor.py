"""Compactors: identity at the start, and their gradients."""

import torch

from pipeline.method.compactor import Compactor, insert_compactors, sparsity_loss
from tests.helpers import alive_network, random_images, sites_of


def test_inserting_compactors_changes_nothing():
    network = alive_network()
    images = torch.from_numpy(random_images(4)).permute(0, 3, 1, 2)
    with torch.inference_mode():
        before = network(images)
        compacted = insert_compactors(network, sites_of(network))
        assert len(compacted) == 4
        assert torch.allclose(network(images), before, atol=1e-6)


def test_a_masked_row_keeps_only_the_penalty_and_others_have_both():
    compactor = Compactor(3)
    with torch.no_grad():
        compactor.weight.copy_(torch.randn(3, 3, generator=torch.Generator().manual_seed(0)))
    task = torch.ones(3, 3)
    compactor.weight.grad = task.clone()
    compactor.reset_gradient(torch.tensor([1.0, 0.0, 1.0]), 0.25)
    rows, gradient = compactor.weight.detach().flatten(1), compactor.weight.grad.flatten(1)
    penalty = 0.25 * rows / rows.norm(dim=1, keepdim=True)
    assert torch.equal(gradient[1], penalty[1])
    assert torch.allclose(gradient[0], 1 + penalty[0])
    assert torch.allclose(gradient[2], 1 + penalty[2])


def test_a_row_of_zeros_gives_no_nan():
    compactor = Compactor(2)
    with torch.no_grad():
        compactor.weight[0] = 0
    sparsity_loss([compactor]).backward()
    assert compactor.weight.grad.isfinite().all()
    compactor.reset_gradient(torch.zeros(2), 0.1)
    assert compactor.weight.grad.flatten(1)[0].tolist() == [0, 0]
    compactor.shrink_rows(0.5)
    assert compactor.weight.isfinite().all()


def test_the_penalty_of_the_first_phase_is_the_gradient_of_the_group_lasso():
    compactor = Compactor(4)
    with torch.no_grad():
        compactor.weight.copy_(torch.randn(4, 4, generator=torch.Generator().manual_seed(0)))
    (0.3 * sparsity_loss([compactor])).backward()
    by_autograd = compactor.weight.grad.clone()
    compactor.weight.grad = None
    compactor.reset_gradient(torch.ones(4), 0.3)
    assert torch.allclose(compactor.weight.grad, by_autograd, atol=1e-7)


def test_a_proximal_step_shortens_rows_and_ends_in_exact_zeros():
    compactor = Compactor(2)
    with torch.no_grad():
        compactor.weight.copy_(torch.tensor([[3.0, 4.0], [0.03, 0.04]]))
    compactor.shrink_rows(0.1)
    assert torch.allclose(compactor.row_norms(), torch.tensor([4.9, 0.0]))
    assert compactor.weight[1].flatten().tolist() == [0, 0]
