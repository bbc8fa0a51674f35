"""NVML reads the GPU that computes, by its PCI bus address."""

import ctypes

import pytest

from targets.contract import make_target, runtimes
from targets.nvidia import cuda
from targets.nvidia.nvml import open_gpu
from targets.settings import TargetSettings
from tests.targets.boards import BUS_ID


class Driver:
    """A fake libcuda: CUDA counts only visible GPUs, in its own order."""

    def __init__(self, *bus_ids, failing=()):
        self.bus_ids, self.failing = bus_ids, failing

    def cuInit(self, _flags):
        return 100 if "cuInit" in self.failing else 0

    def cuDeviceGet(self, device, index):
        if index >= len(self.bus_ids):
            return 101
        device._obj.value = 7 + index
        return 0

    def cuDeviceGetPCIBusId(self, name, size, device):
        name.value = self.bus_ids[device.value - 7].encode()
        assert len(name.value) < size
        return 0


@pytest.fixture
def driver(monkeypatch):
    """The driver's library of this process."""

    def install(found):
        def load(name):
            assert name == "libcuda.so.1"
            if found is None:
                raise OSError("no such file")
            return found

        monkeypatch.setattr(ctypes, "CDLL", load)

    return install


def test_a_gpu_is_identified_by_its_bus_address(driver):
    driver(Driver("0000:b1:00.0", BUS_ID))
    assert [cuda.pci_bus_id(index) for index in range(3)] == ["0000:b1:00.0", BUS_ID, None]


@pytest.mark.parametrize("found", [None, Driver(BUS_ID, failing=["cuInit"]), object()])
def test_without_a_driver_there_is_no_name(driver, found):
    driver(found)
    assert cuda.pci_bus_id() is None


@pytest.mark.parametrize(
    ("runtime", "device", "expected"),
    [
        ("tensorrt", "GPU", "0000:b1:00.0"),
        ("tensorrt", "GPU.1", BUS_ID),
        ("tensorrt_rtx", "GPU.1", BUS_ID),
        ("onnxruntime", "CUDA", "0000:b1:00.0"),
        ("onnxruntime", "TensorRT", "0000:b1:00.0"),
        ("onnxruntime", "CPU", None),
        ("openvino", "GPU", None),
        ("openvino", "CPU", None),
    ],
)
def test_every_target_says_on_which_gpu_it_computes(driver, runtime, device, expected):
    driver(Driver("0000:b1:00.0", BUS_ID))
    names = {name.replace("-", "_"): name for name in runtimes()}
    assert make_target(TargetSettings(names[runtime], device)).gpu_bus_id == expected


def test_nvml_reads_that_gpu_whatever_is_visible_to_cuda(nvml, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,1")
    found = open_gpu(BUS_ID)
    assert found is not None
    assert found._handle == BUS_ID.encode()
    assert open_gpu("0000:00:00.0") is None
