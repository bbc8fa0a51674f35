"""A literal implementation of the method, one sample and one neighbour at a time: the reference for the fast code."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def literal_resetting(
    teacher: Tensor, student: Tensor, gallery: Tensor, neighbours: int, share: float, distance: str
) -> set[int]:
    """Channels that no match of the batch needs (CVPR 2023, section 3.3); B×C, B×C and N×C as they come."""
    if distance == "cosine":
        teacher, student, gallery = (functional.normalize(rows) for rows in (teacher, student, gallery))
    channels = teacher.shape[1]
    unimportant = set(range(channels))
    for t, s in zip(teacher, student, strict=True):
        near = gallery @ t if distance == "cosine" else -(gallery - t).square().sum(1)
        for n in near.argsort(descending=True)[:neighbours]:
            contribution = (gallery[n] * s).abs()
            candidates = contribution.argsort()[: int(share * channels)]
            unimportant &= set(candidates.tolist())
    return unimportant


def literal_masks(
    teacher: dict[str, Tensor],
    student: dict[str, Tensor],
    galleries: dict[str, Tensor],
    neighbours: int = 2,
    share: float = 0.5,
    distance: str = "cosine",
) -> dict[str, Tensor]:
    """Masks of one step at all sites."""
    masks = {}
    for name, rows in teacher.items():
        lost = literal_resetting(rows, student[name], galleries[name], neighbours, share, distance)
        masks[name] = torch.tensor([0.0 if channel in lost else 1.0 for channel in range(rows.shape[1])])
    return masks
