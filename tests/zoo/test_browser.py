"""A build for a browser, from the command to the figures, and what uses them."""

import json

import numpy as np
import pytest

import zoo
from tests.targets.browser.conftest import program_or_skip


@pytest.fixture
def browser():
    return program_or_skip()


def test_doctor_says_how_to_get_a_browser(workshop, monkeypatch, tmp_path):
    monkeypatch.setenv("ZOO_CHROMIUM", str(tmp_path / "none"))
    rows = {row["name"]: row for row in json.loads(workshop.zoo("doctor", "--json").stdout)}
    assert rows["browser-wasm"]["usable"] is False
    assert "which is not a program" in rows["browser-wasm"]["what"]
    assert "apt install chromium" in rows["browser-wasm"]["mend"]


@pytest.mark.slow
def test_a_build_for_a_browser_measures_map_and_p50_there_and_every_command_uses_them(built, browser):
    table = built.build("tiny", "--target", "browser-wasm").output
    assert "browser-wasm" in table
    folder = built.home / "releases/tiny/1.0.0"
    manifest = json.loads((folder / "manifest.json").read_text())
    (artifact,) = [one for one in manifest["artifacts"] if one["target"] == "browser-wasm"]
    assert (artifact["path"], artifact["runtime"]) == ("browser-wasm/model.onnx", "onnxruntime-web")
    records = [json.loads(path.read_text()) for path in folder.glob("measurements/browser-wasm-*.json")]
    assert {(one["network"], one["precision"]) for one in records} == {
        ("teacher", "fp32"), ("student", "fp32"), ("student", "int8"),
    }  # fmt: skip
    for one in records:
        assert one["accuracy"]["map"] > 0
        assert one["agreement"]["min_cosine"] > 0.9
        assert one["latency"][0]["p50_ms"] > one["latency"][0]["compute_p50_ms"] > 0
        assert one["runtime"]["environment"].startswith("Chrom")
        assert bool(one["ratios"]) == ((one["network"], one["precision"]) != ("teacher", "fp32"))
    shipped = next(one for one in records if one["ships"])
    assert shipped["precision"] == "int8"
    shown = built.zoo("compare", "tiny").output
    assert "browser-wasm" in shown
    assert "browser-wasm" in built.zoo("bench", "tiny", "--target", "browser-wasm").output
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ZOO_HOME", str(built.home))
        model = zoo.load("tiny", target="browser-wasm")
        pictures = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), np.uint8)
        found, other = model.embed(pictures), zoo.load("tiny", target="onnxruntime-cpu").embed(pictures)
    assert (found * other).sum(1).min() > 0.98  # int8 kernels round differently
