"""Measurement of a release where it is used."""

import json
import re
import shutil
from dataclasses import replace

import numpy as np
import pytest

from pipeline.progress import Silent
from targets.errors import Unusable
from targets.machine.device import this_device
from targets.settings import TargetSettings
from zoo.errors import CatalogueError, NothingRuns, ZooError
from zoo.home import Home
from zoo.measure.measurable import measurable
from zoo.measure.measuring import find_data
from zoo.release.local import find_release
from zoo.release.measurements import from_bytes, to_bytes
from zoo.use.golden import read_golden


def test_artifact_and_graph_are_measured_as_in_the_build(tiny, again):
    found = again(tiny, ["openvino-cpu"])
    assert [(one.network, one.precision, one.ships) for one in found] == [
        ("student", "fp32", False), ("student", "int8", True),
    ]  # fmt: skip
    built = {one.precision: one for one in tiny.on("openvino-cpu") if one.network == "student"}
    for one in found:
        before = built[one.precision]
        assert one.accuracy.map == pytest.approx(before.accuracy.map, abs=0.01)  # the same artifact, the same images
        assert (one.accuracy.protocol, one.data) == (before.accuracy.protocol, before.data)
        assert (one.device, one.threads, one.runtime) == (before.device, before.threads, before.runtime)
        assert [latency.batch for latency in one.latency] == [1, 2]
        assert one.size_bytes == pytest.approx(before.size_bytes, rel=1e-3)  # OpenVINO writes node numbers
        assert one.release == "tiny@1.0.0"
        assert one.ratios == []
        assert one.golden_cosine >= read_golden(tiny.path.parent).min_cosine[one.precision]
        assert from_bytes(to_bytes(one), "here") == one
    assert len({one.run for one in found}) == 1


def test_without_the_data_set_there_are_only_times(tiny, again, tmp_path):
    found = again(tiny, ["onnxruntime-cpu"], tmp_path)
    assert found
    for one in found:
        assert (one.accuracy, one.agreement, one.data) == (None, None, None)
        assert one.latency[0].p50_ms > 0
        assert one.golden_cosine > 0.9


def test_a_data_set_with_other_content_is_not_used(tiny, catalogue, finished, tmp_path):
    copy = shutil.copytree(finished.root / "data", tmp_path / "data")
    asked = (tiny.manifest, catalogue, Home(tmp_path), copy, Silent())
    assert find_data(*asked).fingerprint == tiny.manifest.data.fingerprint
    first, second, *_ = sorted((copy / "squares/image_train").iterdir())
    shutil.copyfile(first, second)
    said = []
    progress = Silent()
    progress.say = said.append
    assert find_data(*asked[:-1], progress) is None
    assert said[-1].startswith("accuracy is not measured: squares here has other content")


def test_a_target_that_was_never_built_uses_the_graph(tiny, catalogue, again):
    catalogue.targets["single"] = TargetSettings("onnxruntime", threads=1, options={})
    (found,) = again(tiny, ["single"])
    assert (found.target, found.precision, found.ships, found.threads) == ("single", "fp32", False, 1)


def test_all_artifacts_that_run_here_are_measurable(tiny, catalogue):
    assert list(measurable(tiny, (), catalogue)) == ["onnxruntime-cpu", "openvino-cpu"]
    plan = measurable(tiny, ["openvino-cpu"], catalogue, threads=1)
    assert {one.settings.threads for one in plan["openvino-cpu"]} == {1}


def test_a_target_that_can_not_be_measured_here_is_refused(tiny, catalogue):
    with pytest.raises(CatalogueError, match="no target 'openvino-gp'"):
        measurable(tiny, ["openvino-gp"], catalogue)
    with pytest.raises(Unusable, match=re.escape(f"but this machine is another one ({this_device().name})")):
        measurable(tiny, ["raspberrypi5"], catalogue)
    bare = replace(tiny, manifest=tiny.manifest.model_copy(update={"artifacts": []}))
    with pytest.raises(NothingRuns, match="it has none"):
        measurable(bare, (), catalogue)


def test_artifacts_that_were_not_pulled_are_named(tiny, catalogue, tmp_path):
    (tmp_path / "graph").mkdir()
    (tmp_path / "graph/model.onnx").write_bytes((tiny.path.parent / "graph/model.onnx").read_bytes())
    with pytest.raises(Unusable, match="is not here. Get it: zoo pull tiny@1.0.0 --target openvino-cpu"):
        measurable(replace(tiny, path=tmp_path / "manifest.json"), ["openvino-cpu"], catalogue)
    with pytest.raises(NothingRuns, match=r"model.onnx is not here.* Get it: zoo pull tiny@1.0.0 --target onnxruntime"):
        measurable(replace(tiny, path=tmp_path / "manifest.json"), (), catalogue)
    (tmp_path / "graph/model.onnx").unlink()
    catalogue.targets["single"] = TargetSettings("onnxruntime", threads=1, options={})
    with pytest.raises(Unusable, match=r"^graph/model.onnx is not here. Get it: zoo pull tiny@1.0.0$"):
        measurable(replace(tiny, path=tmp_path / "manifest.json"), ["single"], catalogue)


def test_a_lost_file_is_fixed_by_the_printed_commands(built):
    folder = (built.home / "releases/tiny/1.0.0").resolve()
    for name in ("onnxruntime-cpu/model.onnx", "openvino-cpu/model.xml"):
        (folder / name).unlink()
    command = find_release(Home(built.home), "tiny").manifest.provenance.command
    told = f"Remove {folder}, and build it again: {command}"
    assert built.refused("bench", "tiny").endswith(f"model.xml is not here. {told}")
    assert built.refused("bench", "tiny", "-t", "onnxruntime-cpu") == f"onnxruntime-cpu/model.onnx is not here. {told}"
    shutil.rmtree(folder)
    built.build("tiny")
    assert (built.home / "releases/tiny/1.0.0/openvino-cpu/model.xml").is_file()


def test_without_a_suitable_runtime_another_target_is_suggested(tiny, catalogue, monkeypatch):
    def check(_):
        raise Unusable("it is not installed", "pip install it")

    monkeypatch.setattr("targets.onnxruntime.OnnxRuntime.check", check)
    monkeypatch.setattr("targets.openvino.OpenVino.check", check)
    with pytest.raises(
        NothingRuns, match=r"it is not installed.*use a target of zoo doctor: --target onnxruntime-cpu$"
    ):
        measurable(tiny, (), catalogue)


def test_too_many_threads_are_refused(tiny, catalogue):
    cores = this_device().cores
    assert list(measurable(tiny, (), catalogue, 4 * cores))
    with pytest.raises(ZooError, match=f"^{4 * cores + 1} threads are too many for the {cores} cores of this machine"):
        measurable(tiny, (), catalogue, 4 * cores + 1)


def test_the_golden_input_tells_a_wrong_session_from_a_right_one(tiny):
    golden = read_golden(tiny.path.parent)
    row = golden.embedding.astype(np.float32)

    class Session:
        def __init__(self, gives):
            self.gives = gives

        def embed(self, images):
            return np.stack([self.gives] * len(images))

    assert golden.cosine(Session(row)) == pytest.approx(1)  # type: ignore[arg-type]
    assert golden.cosine(Session(-row)) == pytest.approx(-1)  # type: ignore[arg-type]
    for wrong in (row * np.nan, row * 0, row[:3]):
        assert golden.cosine(Session(wrong)) == 0  # type: ignore[arg-type]
    written = json.loads((tiny.path.parent / "golden/embedding.json").read_text())
    assert golden.min_cosine == written["min_cosine"]
