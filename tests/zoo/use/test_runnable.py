"""The choice of the best artifact for this machine."""

from dataclasses import replace

import pytest

from targets.contract import Job
from tests.zoo.records import a_calibration
from zoo.errors import NothingRuns
from zoo.home import Home
from zoo.release.local import find_release
from zoo.release.manifest import Calibration
from zoo.use.runnable import runnables
from zoo.use.sessions import start_best


@pytest.fixture
def release(shop):
    return find_release(Home.find(), "tiny")


def with_times(release, here=None, elsewhere=None, throttled=()):
    """The release with other p50 of the shipped artifacts, by target; targets that are not named have none."""
    records = []
    for one in release.measured:
        if not one.ships:
            continue
        for times, device in ((here, one.device), (elsewhere, replace(one.device, name="another machine"))):
            if times and one.target in times:
                latency = [replace(one.latency[0], p50_ms=times[one.target])]
                condition = replace(one.conditions, throttled="heat" if one.target in throttled else None)
                update = {"latency": latency, "device": device, "conditions": condition}
                records.append(one.model_copy(update=update))
    return replace(release, measurements=records)


def best(release):
    return [one.target for one in runnables(release)]


def test_the_fastest_on_this_device_is_first(release):
    assert best(with_times(release, {"openvino-cpu": 1.0, "onnxruntime-cpu": 2.0}))[:2] == [
        "openvino-cpu",
        "onnxruntime-cpu",
    ]
    assert best(with_times(release, {"openvino-cpu": 3.0, "onnxruntime-cpu": 2.0}))[:2] == [
        "onnxruntime-cpu",
        "openvino-cpu",
    ]


def test_artifacts_measured_here_precede_those_faster_elsewhere(release):
    known = with_times(release, {"openvino-cpu": 9.0}, {"onnxruntime-cpu": 1.0, "openvino-cpu": 2.0})
    assert best(known)[:2] == ["openvino-cpu", "onnxruntime-cpu"]
    assert best(with_times(release, None, {"openvino-cpu": 9.0, "onnxruntime-cpu": 1.0}))[0] == "onnxruntime-cpu"


def test_times_of_a_throttled_run_do_not_count(release):
    known = with_times(release, {"openvino-cpu": 1.0, "onnxruntime-cpu": 2.0}, throttled=("openvino-cpu",))
    assert best(known)[0] == "onnxruntime-cpu"


def test_the_graph_precedes_artifacts_that_were_never_measured(release):
    found = runnables(with_times(release, {"openvino-cpu": 1.0}))
    assert found[0].target == "openvino-cpu"
    assert found[1].is_graph
    assert found[1].precision == "fp32"
    assert found[-1].target == "onnxruntime-cpu"
    assert found[-1].settings.device == "CPU"  # as in the catalogue


def test_an_artifact_runs_with_the_device_and_options_of_its_measurement(release):
    """Though the catalogue says otherwise; and the digest of several files is not that of one of them."""
    records = [
        one.model_copy(update={"runtime": replace(one.runtime, device="GPU", options={"hint": "x"})})
        for one in release.measured
    ]
    found = {one.target: one for one in runnables(replace(release, measurements=records))}
    for target in ("openvino-cpu", "onnxruntime-cpu"):
        assert (found[target].settings.device, found[target].settings.options) == ("GPU", {"hint": "x"})
    files = found["openvino-cpu"].files
    assert len(files) > 1
    assert found["openvino-cpu"].sha256 not in [file.sha256 for file in files]
    changed = replace(found["openvino-cpu"], files=(*files[:-1], files[-1].model_copy(update={"sha256": "0" * 64})))
    assert changed.sha256 != found["openvino-cpu"].sha256


def test_threads_reach_every_candidate(release):
    assert {one.settings.threads for one in runnables(release, 3)} == {3}


def in_int8(release, target, bits):
    """The release with int8 of so many bits for one target, and of 7 for the other."""
    manifest = release.manifest
    artifacts = [
        one.model_copy(update={"precision": "int8"}) if one.target == target else one for one in manifest.artifacts
    ]
    calibrations = [
        Calibration.model_validate(a_calibration(target=name, weight_bits=bits if name == target else 7))
        for name in ("openvino-cpu", "onnxruntime-cpu")
    ]
    changed = manifest.model_copy(update={"artifacts": artifacts, "calibrations": calibrations})
    measured = [
        one.model_copy(update={"precision": "int8"}) if one.target == target else one for one in release.measured
    ]
    return replace(release, manifest=changed, measurements=measured)


@pytest.mark.parametrize("target", ["openvino-cpu", "onnxruntime-cpu"])
@pytest.mark.parametrize(
    ("overflows", "bits", "last"), [(True, None, True), (True, 8, True), (True, 7, False), (False, None, False)]
)
def test_int8_that_overflows_on_this_processor_is_last_and_does_not_run(
    release, target, overflows, bits, last, monkeypatch
):
    monkeypatch.setattr("zoo.use.runnable.int8_overflows", lambda: overflows)
    fast = with_times(release, {"openvino-cpu": 2.0, "onnxruntime-cpu": 2.0, target: 1.0})
    changed = in_int8(fast, target, bits)
    found = runnables(changed)
    assert (found[-1].target == target, found[0].target == target) == (last, not last)
    assert [one.target for one in found if one.overflows] == [target] * last
    if last:
        with pytest.raises(
            NothingRuns, match="overflow on this processor, which has no VNNI.*Use another target, or build"
        ):
            start_best(changed, Job(32, 32, (1,)), target)
        assert start_best(changed, Job(32, 32, (1,)))[0].target != target
