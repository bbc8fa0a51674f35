"""Which GPU is asked: the one that computes."""

import pytest

from targets.nvml import open_gpu
from targets.settings import TargetSettings
from targets.trial import nvidia_gpu


@pytest.mark.parametrize(
    ("runtime", "device", "number"),
    [("tensorrt", "GPU", 0), ("tensorrt-rtx", "GPU.2", 2), ("onnxruntime", "CUDA", 0), ("openvino", "GPU", None),
     ("openvino", "CPU", None)],
)  # fmt: skip
def test_a_target_names_its_gpu(runtime, device, number):
    assert nvidia_gpu(TargetSettings(runtime, device)) == number


@pytest.mark.parametrize(
    ("visible", "number", "asked"),
    [(None, 1, 1), ("", 1, 1), ("3,1", 0, 3), ("3,1", 1, 1), ("GPU-8a, GPU-9b", 1, "GPU-9b"), ("MIG-7", 0, "MIG-7")],
)
def test_nvml_is_asked_for_the_gpu_that_cuda_means(nvml, monkeypatch, visible, number, asked):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert open_gpu(number)._handle == asked
