"""Shared parts of TensorRT and TensorRT-RTX: fit of an engine, identity of a GPU, progress, caches."""

import dataclasses
from pathlib import Path

import pytest

from targets.errors import ForeignEngine
from targets.nvidia.build import Shares
from targets.nvidia.cache import read_cache, write_cache
from targets.nvidia.cuda import find_gpu
from targets.nvidia.engine import EngineRecord, Place, check_fit
from tests.targets.fake_cuda import FakeCuda
from tests.targets.refusal import refusal

BUILT = Place("tensorrt", "10.3.0", "Orin", 87, "540.4.0", "12.6")
RECORD = EngineRecord(BUILT, (87,), (), (1, 1, 8), 9, "0" * 64)


def test_an_engine_of_this_gpu_and_release_fits():
    check_fit(RECORD, BUILT)
    check_fit(
        RECORD, dataclasses.replace(BUILT, version="10.3.0.26", gpu="Orin (nvgpu)", driver="540.5.0", cuda="12.8")
    )
    check_fit(dataclasses.replace(RECORD, capabilities=(80, 87)), BUILT)


@pytest.mark.parametrize(
    ("here", "why"),
    [
        ({"version": "10.7.0"}, "built by tensorrt 10.3.0, but this is tensorrt 10.7.0"),
        ({"version": "10.3.1"}, "built by tensorrt 10.3.0, but this is tensorrt 10.3.1"),
        ({"runtime": "tensorrt_rtx"}, "built by tensorrt 10.3.0, but this is tensorrt_rtx 10.3.0"),
        ({"sm": 86, "gpu": "RTX 3090"}, "is for SM 87 (built on Orin), but this GPU is RTX 3090 with SM 86"),
    ],
)
def test_a_foreign_engine_is_refused_with_the_remedy(here, why):
    message = refusal(check_fit, RECORD, dataclasses.replace(BUILT, **here), of=ForeignEngine)
    assert why in message
    assert message.endswith("\nCompile it here: python3 BUNDLE (or zoo compile BUNDLE)")


def test_a_gpu_and_its_driver(monkeypatch, tmp_path):
    monkeypatch.setattr("targets.nvidia.cuda.DRIVER", tmp_path / "version")
    FakeCuda(sm=87, driver=12060, runtime=12090).install(monkeypatch)
    gpu = find_gpu()
    assert (gpu.name, gpu.sm, gpu.driver, gpu.cuda) == ("Fake", 87, None, "12.6")
    (tmp_path / "version").write_text("540.4.0\n")
    assert find_gpu().driver == "540.4.0"
    FakeCuda(sm=120).install(monkeypatch)
    assert find_gpu().sm == 120


def test_shares_of_phases_inside_phases():
    shares = Shares()
    shares.start("all", None, 2)
    shares.start("first", "all", 4)
    assert shares.step("first", 0) == 1 / 8
    assert shares.step("first", 3) == 1 / 2
    shares.finish("first")
    assert shares.step("all", 0) == 1 / 2
    shares.start("second", "all", 1)
    assert shares.step("second", 0) == 1


def test_a_lost_cache_is_not_an_error(tmp_path):
    path = tmp_path / "below" / "kept"
    assert read_cache(path) == b""
    write_cache(path, b"kernels")
    assert read_cache(path) == b"kernels"
    assert [file.name for file in path.parent.iterdir()] == ["kept"]
    write_cache(Path("/proc/nowhere/kept"), b"kernels")  # not writable, which is not an error
