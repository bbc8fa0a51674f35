"""A budget in milliseconds: measured and refused before training, shown in a plan, recorded with the measurement."""

import json
import re
from dataclasses import replace

import pytest

from targets.machine.device import this_device
from tests.zoo.latency.conftest import HUGE, before_training, budget
from zoo.home import Home
from zoo.release.local import find_release
from zoo.tables import gains

ON = "onnxruntime-cpu"
STEPS = ("latency_table/onnxruntime-cpu", "latency_budget")


def figure(text, before):
    return float(re.search(rf"{before} ([\d.]+) ms", text)[1])


def plan(shop, *words):
    result = shop.zoo("build", "tiny", "--target", ON, "--plan", *words)
    assert result.exit_code == 0, result.output
    return result.output.splitlines()


@pytest.fixture
def asked(shop, dense_ms):
    """A reachable budget: half of the dense network's time."""
    return budget(p50_ms=round(figure(dense_ms["told"], "a call takes") / 2, 4), target=ON)


@pytest.mark.slow  # some tens of networks are exported and timed
def test_a_budget_without_effect_is_refused_before_training(tabled, dense_ms):
    told = dense_ms["told"]
    assert "distill.compress.p50_ms 10000 limits nothing: with all channels a call takes" in told
    assert len(told.splitlines()) == 1
    lines = plan(tabled, "--set", HUGE)
    assert [line.split()[0] for line in lines[:2]] == [*STEPS]
    assert "reused" in lines[0]  # the table was worth measuring


@pytest.mark.slow  # some tens of networks are exported and timed
def test_an_unreachable_budget_is_refused_with_the_reachable_one(shop):
    told = shop.refused("build", "tiny", "--target", ON, "--set", budget(p50_ms=0.001, target=ON))
    assert "p50_ms 0.001 can't be met: with the fewest possible channels, a call takes" in told
    assert 0.001 < figure(told, "a call takes") < 100


@pytest.mark.slow  # some tens of networks are exported and timed
def test_the_plan_shows_the_prediction_once_widths_are_measured(shop, asked):
    lines = plan(shop, "--set", asked)
    assert lines[-1].startswith("budget: p50_ms ")
    assert lines[-1].endswith("a plan shows the prediction afterwards")
    _, build = before_training(shop, [asked])
    *_, told, widths = plan(shop, "--set", asked)
    assert re.match(r"budget: p50_ms [\d.]+ on onnxruntime-cpu in fp32; predicted: dense [\d.]+, at least", told)
    assert "near the budget" in told
    shares = [tuple(map(int, pair)) for pair in re.findall(r"layer\d\.0\.conv1 (\d+)/(\d+)", widths)]
    assert len(shares) == 4
    assert all(0 < kept <= full for kept, full in shares)
    assert any(kept < full for kept, full in shares)
    assert not any(planned.hit for planned in build.plan if planned.step.stage == "distill")
    found = json.loads(shop.zoo("build", "tiny", "--target", ON, "--plan", "--json", "--set", asked).stdout)["budget"]
    assert (found["what"], found["target"], found["precision"]) == ("p50_ms", ON, "fp32")
    assert found["predicted"]["reachable"] < found["asked"] < found["predicted"]["dense"]
    pairs = [(kept, found["predicted"]["full"][name]) for name, kept in found["predicted"]["widths"].items()]
    assert {*shares} <= {*pairs}


@pytest.mark.slow  # some tens of networks are exported and timed
def test_the_record_has_predicted_and_measured_figures(shop, asked):
    shop.build("tiny", "--target", ON, "--set", asked)
    release = find_release(Home(shop.home), "tiny@1.0.0")
    record = release.manifest.budget
    (row,) = [one for one in release.on(ON) if (one.network, one.precision) == ("student", "fp32")]
    assert record.measured == row.latency[0].p50_ms
    assert record.predicted <= record.asked < record.dense
    assert record.reachable < record.asked
    assert (record.target, record.precision, record.batch) == (ON, "fp32", 1)
    assert any(line.startswith(f"budget {record.asked:g} ms on {ON} in fp32: predicted") for line in gains(release))
    again = shop.build("tiny", "--target", ON, "--set", asked)
    assert "never built" not in again.stderr  # all results are reused


@pytest.mark.slow  # some tens of networks are exported and timed
def test_another_version_or_machine_is_measured_again_with_the_reason(shop, asked, monkeypatch):
    _, build = before_training(shop, [asked])
    build.memory.parent.mkdir(exist_ok=True)
    build.memory.write_text(json.dumps({str(planned.step.id): planned.ingredients for planned in build.plan}))
    lines = plan(shop, "--set", asked)
    assert all("reused" in line for line in lines[:2])
    versions = {"onnxruntime": "99.0"}
    from pipeline.engine import step

    real = step._version
    monkeypatch.setattr("pipeline.engine.step._version", lambda library: versions.get(library) or real(library))
    version, machine = "onnxruntime .* → 99.0", r"another machine \(.* → a toaster"
    assert re.search(f"runs: {version}", plan(shop, "--set", asked)[0])
    versions.clear()
    monkeypatch.setattr("pipeline.planning.latency.this_device", lambda: replace(this_device(), name="a toaster"))
    assert re.search(f"runs: {machine}", plan(shop, "--set", asked)[0])


def test_an_unknown_target_or_unsupported_precision_is_refused(workshop):
    told = workshop.refused("build", "tiny", "--set", budget(p50_ms=1, target="onnxruntime-gpu"))
    assert "distill.compress.target: no target 'onnxruntime-gpu'. Did you mean" in told
    told = workshop.refused("build", "tiny", "--set", budget(p50_ms=1, target="rtx", precision="int4"))
    assert "precision" in told


def test_energy_without_a_meter_is_refused_before_exporting(workshop, monkeypatch):
    monkeypatch.setattr("pipeline.planning.latency.find_meter", lambda _: None)
    told = workshop.refused("build", "tiny", "--target", ON, "--set", budget(mj_per_image=1, target="openvino-cpu"))
    assert "mj_per_image can't be counted on openvino-cpu: this machine has no meter" in told
    assert not (workshop.home / "store" / "teacher").exists()


def test_an_unusable_target_is_refused_before_exporting(workshop):
    told = workshop.refused("build", "tiny", "--target", ON, "--set", budget(p50_ms=1, target="openvino-npu"))
    assert "sees no device NPU here" in told
    assert not (workshop.home / "store" / "teacher").exists()
