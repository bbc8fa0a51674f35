"""Shared parts of TensorRT and TensorRT-RTX: fit of an engine, identity of a GPU, progress, caches."""

import dataclasses
import json
from pathlib import Path

import pytest

from targets.errors import ForeignEngine
from targets.nvidia.builder import Shares
from targets.nvidia.cache import read_cache, write_cache
from targets.nvidia.cuda import find_gpu
from targets.nvidia.dla import DlaUse
from targets.nvidia.engine import EngineRecord, Place, check_fit, check_wanted, read_engine, write_engine
from tests.targets.fake_cuda import FakeCuda
from tests.targets.refusal import refusal

NANO = "NVIDIA Jetson Orin Nano Developer Kit"
BUILT = Place("tensorrt", "10.3.0", "Orin", 87, "540.4.0", "12.6", NANO, "36.4.3")
RECORD = EngineRecord(BUILT, (87,), (), (1, 1, 8), 9, "0" * 64)


def test_an_engine_of_this_gpu_and_release_fits():
    check_fit(RECORD, BUILT)
    check_fit(
        RECORD, dataclasses.replace(BUILT, version="10.3.0.26", gpu="Orin (nvgpu)", driver="540.5.0", cuda="12.8")
    )
    check_fit(dataclasses.replace(RECORD, capabilities=(80, 87)), BUILT)
    check_fit(RECORD, dataclasses.replace(BUILT, board=f"{NANO} Super", l4t="36.4.4"))
    check_fit(RECORD, dataclasses.replace(BUILT, board=None))  # an engine from before boards were recorded


@pytest.mark.parametrize(
    ("here", "why"),
    [
        ({"version": "10.7.0"}, "built by tensorrt 10.3.0, but this is tensorrt 10.7.0"),
        ({"version": "10.3.1"}, "built by tensorrt 10.3.0, but this is tensorrt 10.3.1"),
        ({"runtime": "tensorrt_rtx"}, "built by tensorrt 10.3.0, but this is tensorrt_rtx 10.3.0"),
        ({"sm": 86, "gpu": "RTX 3090"}, "is for SM 87 (built on Orin), but this GPU is RTX 3090 with SM 86"),
        (
            {"board": "NVIDIA Jetson AGX Orin Developer Kit"},
            "was built on another board (NVIDIA Jetson Orin Nano Developer Kit) than this one (NVIDIA Jetson AGX",
        ),
    ],
)
def test_a_foreign_engine_is_refused_with_the_remedy(here, why):
    message = refusal(check_fit, RECORD, dataclasses.replace(BUILT, **here), of=ForeignEngine)
    assert why in message
    assert message.endswith("\nCompile it here: python3 BUNDLE (or zoo compile BUNDLE)")


@pytest.mark.parametrize(
    ("versions", "board", "dla", "why"),
    [
        (
            ">=10.16,<10.17", "Jetson Orin Nano", False,
            "was built by tensorrt 10.3.0, but this target takes >=10.16,<10.17 (JetPack 7.2): an engine runs only",
        ),
        (">=10.16,<10.17", None, False, "but this target takes >=10.16,<10.17: an engine runs only with"),
        ("<10.3", "Acme X1", False, "but this target takes <10.3: an engine runs only with"),
        (">=10.3,<10.4", None, True, "was built for the GPU, but this target computes on a DLA."),
    ],
)  # fmt: skip
def test_an_engine_that_its_target_does_not_take_is_refused(versions, board, dla, why):
    message = refusal(check_wanted, RECORD, versions, board, dla, of=ForeignEngine)
    assert why in message
    assert message.endswith("\nCompile it here: python3 BUNDLE (or zoo compile BUNDLE)")


def test_an_engine_in_its_targets_range_is_taken():
    check_wanted(RECORD, ">=10.3,<10.4", "Jetson Orin Nano", False)
    check_wanted(RECORD, "", None, False)
    on_dla = dataclasses.replace(RECORD, dla=DlaUse(0, 3, 5))
    check_wanted(on_dla, "", None, True)
    assert "built for a DLA, but this target computes on the GPU" in refusal(
        check_wanted, on_dla, "", None, False, of=ForeignEngine
    )


def test_two_boards_that_the_table_lacks_are_told_apart_by_their_names():
    """As carrier boards of other makers have."""
    built = dataclasses.replace(BUILT, board="Acme X1")
    record = dataclasses.replace(RECORD, built=built)
    check_fit(record, built)
    message = refusal(check_fit, record, dataclasses.replace(BUILT, board="Acme X2"), of=ForeignEngine)
    assert "was built on another board (Acme X1) than this one (Acme X2)" in message


def test_a_side_file_that_is_no_text_or_no_file_is_an_error_in_a_line(tmp_path):
    write_engine(tmp_path, b"plan", BUILT, (87,), (), (1, 1, 8))
    (tmp_path / "engine.json").write_bytes(b"\xff\xfe")
    assert "engine.json is damaged" in refusal(read_engine, tmp_path)
    (tmp_path / "engine.json").unlink()
    (tmp_path / "engine.json").mkdir()
    assert "engine.json: Is a directory" in refusal(read_engine, tmp_path)


@pytest.mark.parametrize("dla", [None, DlaUse(1, 60, 70)])
def test_a_side_file_is_read_as_it_was_written(dla, tmp_path):
    write_engine(tmp_path, b"plan", BUILT, (87,), ("STRONGLY_TYPED",), (1, 1, 8), dla)
    record, plan = read_engine(tmp_path)
    assert (record.built, record.dla, record.batches, plan) == (BUILT, dla, (1, 1, 8), b"plan")
    assert ("dla" in json.loads((tmp_path / "engine.json").read_text())) == (dla is not None)


def test_a_side_file_without_what_only_a_jetson_has(tmp_path):
    """As those are that were written before boards and DLAs were recorded."""
    built = dataclasses.replace(BUILT, board=None, l4t=None)
    write_engine(tmp_path, b"plan", built, (87,), (), (1, 1, 8))
    content = json.loads((tmp_path / "engine.json").read_text())
    assert not {"dla"} & content.keys() | {"board", "l4t"} & content["built"].keys()
    assert read_engine(tmp_path)[0].built == built


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
