"""The choice of the best artifact for this machine."""

from dataclasses import replace

import pytest

from zoo.home import Home
from zoo.release.local import find_release
from zoo.use.runnable import runnables


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
