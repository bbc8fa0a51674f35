"""Losses of distillation, one function per term; all are means over the batch."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional


def logits_distillation(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """KL(teacher ‖ student) of softened class scores N×I, times T² (Hinton et al. 2015, arXiv 1503.02531)."""
    return functional.kl_div(
        functional.log_softmax(student / temperature, dim=1),
        functional.log_softmax(teacher / temperature, dim=1),
        reduction="batchmean",
        log_target=True,
    ) * (temperature**2)


def feature_distillation(student: Mapping[str, Tensor], teacher: Mapping[str, Tensor]) -> Tensor:
    """Sum over sites of the batch mean of ‖f_t − f_s‖₂, pooled features N×C by site (CVPR 2023, sec. 3.2)."""
    return torch.stack(
        [torch.linalg.vector_norm(teacher[name] - value, dim=1).mean() for name, value in student.items()]
    ).sum()


def relative_feature_distillation(student: Mapping[str, Tensor], teacher: Mapping[str, Tensor]) -> Tensor:
    """Mean over norms of the batch mean of ‖f_t − f_s‖₂ / ‖f_t‖₂, pooled features N×C by the layer that writes them.

    It is one for features that are unrelated to the teacher's, whatever the network's depth, width and scale.
    """
    return torch.stack([_relative_distance(value, teacher[name]) for name, value in student.items()]).mean()


def _relative_distance(student: Tensor, teacher: Tensor) -> Tensor:
    lengths = torch.linalg.vector_norm(teacher, dim=1).clamp_min(1e-6)
    distance: Tensor = (torch.linalg.vector_norm(teacher - student, dim=1) / lengths).mean()
    return distance


def embedding_regression(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean over the batch of 1 − cos(f_t, f_s), embeddings N×D: half the squared distance of unit vectors."""
    cosine: Tensor = functional.cosine_similarity(student.float(), teacher.float())
    return (1 - cosine).mean()


def relational_distillation(
    student: Tensor, teacher: Tensor, temperature: float = 0.1, bank: Tensor | None = None
) -> Tensor:
    """KL(teacher ‖ student) of the similarities of an image to the others in the batch, mean over images.

    Similarity is the cosine of embeddings N×D, softened by a temperature and normalised over the other images (the idea
    of Park et al., "Relational Knowledge Distillation", CVPR 2019, softened as by Tian et al. 2020). The student's
    embedding may have another length than the teacher's, unless there is a bank.

    Args:
        bank: M×D, earlier embeddings of the teacher of length 1: further images for comparison.
    """
    logs = []
    for embeddings in (student, teacher):
        unit = functional.normalize(embeddings.float())
        itself = torch.eye(len(unit), dtype=torch.bool, device=unit.device)
        likeness = (unit @ unit.T / temperature).masked_fill(itself, -1e4)
        if bank is not None:
            likeness = torch.cat([likeness, unit @ bank.T / temperature], 1)
        logs.append(functional.log_softmax(likeness, dim=1))
    divergence: Tensor = functional.kl_div(logs[0], logs[1], reduction="batchmean", log_target=True)
    return divergence
