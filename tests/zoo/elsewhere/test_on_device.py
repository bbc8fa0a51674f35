"""A bundle on a device."""

import io
import os
from pathlib import Path

import numpy as np
import pytest

from pipeline.data.samples import Samples
from pipeline.retrieval.accuracy import retrieval_accuracy
from targets.bundles.archive import read_archive, read_list
from targets.bundles.bundle import BUNDLE_LIST, RESULT_LIST
from targets.machine.device import this_device
from tests.zoo.elsewhere.boards import (
    NAME,
    altered,
    contents,
    printed_figures,
)


def test_a_device_needs_neither_torch_nor_zoo(desk, bundle):
    """On the device, forbidden modules can't be imported, and `targets` only from the bundle."""
    names = ("torch", "pydantic", "click", "PIL", "rich", "yaml", "zoo", "pipeline", "calibration", "targets")
    code = f"from importlib.util import find_spec as f; print([n for n in {names} if f(n)], bool(f('onnxruntime')))"
    assert desk.run("-c", code) == (0, "[] True\n", "")
    code = f"import sys; sys.path[:0] = [{str(bundle)!r}]; import targets.bundles.program as p; print(p.__file__)"
    assert desk.run("-c", code) == (0, f"{bundle}/targets/bundles/program.py\n", "")


def test_a_runtime_does_not_report_to_its_maker(desk, bundle):
    """ONNX Runtime stores a device id and reports to Microsoft when imported, unless that is disabled before."""
    code = (
        f"import sys; sys.path[:0] = [{str(bundle)!r}]\n"
        "from targets.onnxruntime import OnnxRuntime\n"
        "from targets.settings import TargetSettings\n"
        "print(OnnxRuntime(TargetSettings('onnxruntime')).check())"
    )
    assert desk.run("-c", code)[::2] == (0, "")
    assert not desk.left()
    assert os.environ["ORT_DISABLE_TELEMETRY"] == "1"  # also in a build, which has imported `targets` here


def test_it_reports_each_step_and_the_next_command(ran):
    output, _ = ran
    lines = output.splitlines()
    assert lines[0].startswith("tiny@1.0.0 for board: ONNX Runtime")
    assert lines[1:4] == ["compiling teacher fp32", "compiling student fp32", "compiling student int8"]
    assert lines[-2:] == [
        f"result: {NAME}.result",
        f"Copy it to the build machine and run: zoo receive {NAME}.result",
    ]
    assert len(printed_figures(output)) == 3


def test_nothing_is_left_behind_but_the_result_and_the_cache(ran):
    _, desk = ran
    assert desk.left() == [f"here/{NAME}.result"]
    assert {path.name for path in desk.root.iterdir()} == {"here", "home", "temporary", "cache"}
    assert not [*(desk.root / "cache").iterdir(), *(desk.root / "home").iterdir()]


def test_a_result_holds_all_embeddings_and_the_artifacts_that_may_ship(result, bundle):
    variants = ("teacher-fp32", "student-fp32", "student-int8")
    embeddings = {f"embeddings/{name}-{split}.npy" for name in variants for split in ("query", "gallery")}
    embeddings |= {f"embeddings/{name}-gate.npy" for name in variants if name.startswith("student-")}
    artifacts = {f"artifacts/{name}/model.onnx" for name in variants[1:]}
    assert set(contents(result)) == {RESULT_LIST, *embeddings, *artifacts}
    about = read_list(result, RESULT_LIST)
    assert about["bundle"] == read_list(bundle, BUNDLE_LIST)["key"]
    assert about["device"]["name"] == this_device().name


def test_device_and_host_compute_the_same_accuracy(desk, quick, tmp_path):
    """With random labels, most of which are wrong."""
    random = np.random.default_rng(3)
    labels, files = {}, {}
    for split in ("query", "gallery"):
        there = np.load(io.BytesIO(contents(quick)[f"test/{split}-labels.npy"]))
        labels[split] = np.stack([random.integers(0, most, there.shape[1]) for most in (3, 2, 20)])
        np.save(tmp_path / "labels.npy", labels[split])
        files[f"test/{split}-labels.npy"] = (tmp_path / "labels.npy").read_bytes()
    code, output, errors = desk.run(str(altered(quick, tmp_path / "random.zoo", BUNDLE_LIST, files)), "out")
    assert (code, errors) == (0, "")
    read_archive(desk.root / "here" / "out", RESULT_LIST, tmp_path / "out")
    found = []
    for name in ("student-fp32", "student-int8"):
        rows = [np.load(tmp_path / "out" / "embeddings" / f"{name}-{split}.npy") for split in labels]
        samples = [Samples(Path(), ("x",) * part.shape[1], *part) for part in labels.values()]
        accuracy = retrieval_accuracy(*rows, *samples)
        found.append(pytest.approx((accuracy.map, accuracy.cmc1), abs=0.01))
        assert 10 < accuracy.map < 90
    assert printed_figures(output) == found


def test_zoo_compile_does_the_same(spare, quick, tmp_path, monkeypatch):
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    done = spare.zoo("compile", str(quick))
    assert done.exit_code == 0, done.output
    assert done.output.splitlines()[-1].endswith("zoo receive quick.result")
    rows = read_list(tmp_path / "quick.result", RESULT_LIST)["rows"]
    assert [(row["network"], row["precision"]) for row in rows] == [("student", "fp32"), ("student", "int8")]
    assert not [*(tmp_path / "cache").iterdir()]
