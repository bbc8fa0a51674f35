"""Which figures of a release count as reproduced, and which can't be judged."""

from dataclasses import replace

import pytest

from tests.zoo.records import ACCURACY, DEVICE, ORIN, energy, latency, measurement, release
from zoo.measure.repeat import published_for, repeated

RECIPE = {"calibrate": {"max_map_drop_points": 0.5}}


def verdicts(published, here, min_cosine=0.99):
    """Verdicts by figure."""
    one = release(records=[published])
    one = replace(one, manifest=one.manifest.model_copy(update={"recipe": RECIPE}))
    return {row.figure: (row.verdict, row.why) for row in repeated(one, here, min_cosine)}


def again(p50_ms=5.0, **changes):
    return measurement(p50_ms, golden_cosine=0.999, **{"release": "big@1.0.0"} | changes)


def test_equal_figures_are_within():
    found = verdicts(measurement(), again())
    assert found.pop("cosine") == ("within", "")
    assert set(found) == {"map", "cmc1", "p50_ms", "p90_ms", "p99_ms", "images_per_second"}
    assert {*found.values()} == {("within", "")}


@pytest.mark.parametrize(
    ("precision", "map_", "verdict"),
    [
        ("int8", 80.4, "within"), ("int8", 79.6, "within"), ("int8", 79.4, "outside"), ("int8", 80.6, "outside"),
        ("fp32", 80.05, "within"), ("fp32", 79.8, "outside"),
    ],
)  # fmt: skip
def test_accuracy_may_move_as_far_as_its_gate_allows(precision, map_, verdict):
    assert verdicts(measurement(precision=precision), again(map_=map_, precision=precision))["map"][0] == verdict


@pytest.mark.parametrize(("p50_ms", "verdict"), [(5.4, "within"), (4.6, "within"), (5.6, "outside"), (4.4, "outside")])
def test_a_median_may_move_by_a_tenth(p50_ms, verdict):
    assert verdicts(measurement(), again(p50_ms))["p50_ms"][0] == verdict


@pytest.mark.parametrize(
    ("figure", "share"), [("p50_ms", 0.1), ("p90_ms", 0.25), ("p99_ms", 0.5), ("images_per_second", 0.1)]
)
def test_each_time_has_its_documented_tolerance(figure, share):
    was = latency()[figure]
    for part, verdict in ((0.99, "within"), (1.01, "outside")):
        for sign in (1, -1):
            here = again(latency=[latency(**{figure: was * (1 + sign * share * part)})])
            assert verdicts(measurement(), here)[figure][0] == verdict


@pytest.mark.parametrize(
    ("cmc1", "verdict"), [(93.1, "within"), (96.9, "within"), (92.9, "outside"), (97.1, "outside")]
)
def test_two_queries_may_have_other_answers(cmc1, verdict):
    """Of a hundred, which is more than the gate's half point."""
    assert verdicts(measurement(), again(accuracy=ACCURACY | {"cmc1": cmc1}))["cmc1"][0] == verdict


def test_each_time_is_judged_at_its_own_batch():
    published = measurement(latency=[latency(), latency(8, 20.0)])
    found = verdicts(published, again(latency=[latency(), latency(8, 20.0, steady=False)]))
    assert found["p50_ms"] == ("within", "")
    assert found["images_per_second"] == ("not judged", "never became steady: here")
    found = verdicts(published, again())
    assert found["p50_ms"] == ("within", "")
    assert found["images_per_second"] == ("not judged", "different protocols: batch of images/s: 8, 1")


def test_energy_by_another_meter_is_not_judged():
    meters = [energy(source) for source in ("NVML", "RAPL")]
    found = verdicts(measurement(energy=meters[0]), again(energy=meters[1]))
    assert found["mj_per_image"] == ("not judged", "different protocols: meter: NVML, RAPL")
    assert verdicts(measurement(energy=meters[0]), again(energy=meters[0]))["mj_per_image"] == ("within", "")


def test_a_time_of_another_machine_is_not_judged_and_accuracy_is():
    found = verdicts(measurement(device=ORIN), again(5.0, map_=79.0, device=DEVICE))
    assert found["p50_ms"] == ("not judged", f"different protocols: device: {ORIN['name']}, {DEVICE['name']}; "
                               "architecture: aarch64, x86_64; cores: 6, 2")  # fmt: skip
    assert found["map"][0] == "outside"


@pytest.mark.parametrize(
    ("published", "here", "why"),
    [
        ({}, {"steady": False}, "never became steady: here"),
        ({"steady": False}, {}, "never became steady: published"),
        ({"throttled": "heat"}, {}, "void, throttled by heat"),
        ({}, {"throttled": "heat"}, "void, throttled by heat"),
        ({}, {"threads": 1}, "different protocols: threads: 2, 1"),
    ],
)
def test_an_unreliable_time_is_not_judged(published, here, why):
    assert verdicts(measurement(**published), again(9.0, **here))["p50_ms"] == ("not judged", why)


def test_accuracy_without_the_data_set_is_not_judged():
    found = verdicts(measurement(), again(accuracy=None, agreement=None, data=None))
    assert found["map"] == found["cmc1"] == ("not judged", "the data set is not here")
    assert found["p50_ms"][0] == "within"


def test_an_artifact_with_a_different_embedding_is_outside():
    assert verdicts(measurement(), again(), min_cosine=0.9999)["cosine"] == ("outside", "")


def test_a_record_of_this_device_takes_precedence_over_a_newer_one_of_another():
    here = measurement(4.0)
    elsewhere = measurement(6.0, device=ORIN, measured_at="2026-11-02T00:00:00+00:00")
    newer = measurement(5.0, measured_at="2026-11-03T00:00:00+00:00")
    one = release(records=[here, elsewhere])
    assert published_for(one, again()) == one.measured[0]
    one = release(records=[here, newer, elsewhere])
    assert published_for(one, again()) == one.measured[1]


def test_without_published_figures_only_the_cosine_is_checked():
    assert set(verdicts(measurement(precision="fp32"), again())) == {"cosine"}


@pytest.mark.parametrize("newer", [{"threads": 1}, {"throttled": "heat"}, {"steady": False}])
def test_a_newer_record_that_does_not_compare_is_not_preferred(newer):
    one = release(records=[measurement(), measurement(measured_at="2026-11-03T00:00:00+00:00", **newer)])
    assert published_for(one, again()) == one.measured[0]
