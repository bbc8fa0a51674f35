"""The precision that a device trains in: bf16 only if it computes in it, and does not emulate it."""

from __future__ import annotations

import torch

from pipeline.training.schedule import TrainingPrecision

CPU_INSTRUCTIONS = ("avx512_bf16", "amx_bf16", "bf16")  # of x86, x86 and ARM, as in `torch.cpu.get_capabilities`


def computes_in_bf16(device: torch.device) -> bool:
    """Whether a device has instructions for bf16.

    Others emulate it: a CPU with AVX2 takes 6 times as long as in fp32 for a step of ResNet-18 at 32×32, and 12 times
    for EfficientNet-Lite0 at 96×96. True for a CPU where an older torch can't tell.
    """
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    capabilities = getattr(torch.cpu, "get_capabilities", None)
    return capabilities is None or any(capabilities().get(name, False) for name in CPU_INSTRUCTIONS)


def precision_on(device: torch.device, asked: TrainingPrecision) -> TrainingPrecision:
    """The precision in which a device trains if a schedule asks for another one."""
    return "bf16" if asked == "bf16" and computes_in_bf16(device) else "fp32"
