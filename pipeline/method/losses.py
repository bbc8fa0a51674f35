"""What the teacher teaches, one function a term; all are means over the batch."""

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
