"""Which figures of a release count as had again, and which can't be judged."""

from dataclasses import replace

import pytest

from tests.zoo.tables.rows import DEVICE, ORIN, measurement, release
from zoo.measure.repeat import published_for, repeated

RECIPE = {"calibrate": {"max_map_drop_points": 0.5}}


def verdicts(published, here, min_cosine=0.99):
    """By figure."""
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
    found = verdicts(measurement(), again(p50_ms))
    assert found["p50_ms"][0] == verdict
    assert found["p99_ms"][0] == "within"  # tails have more room


def test_a_time_of_another_machine_is_not_judged_and_accuracy_is():
    found = verdicts(measurement(device=ORIN), again(5.0, map_=79.0, device=DEVICE))
    assert found["p50_ms"] == ("not judged", f"not one protocol: device: {ORIN['name']}, {DEVICE['name']}; "
                               "architecture: aarch64, x86_64; cores: 6, 2")  # fmt: skip
    assert found["map"][0] == "outside"


@pytest.mark.parametrize(
    ("published", "here", "why"),
    [
        ({}, {"steady": False}, "never became steady: here"),
        ({"steady": False}, {}, "never became steady: published"),
        ({"throttled": "heat"}, {}, "void, throttled by heat"),
        ({}, {"threads": 1}, "not one protocol: threads: 2, 1"),
    ],
)
def test_a_time_that_says_nothing_is_not_judged(published, here, why):
    assert verdicts(measurement(**published), again(9.0, **here))["p50_ms"] == ("not judged", why)


def test_accuracy_without_the_data_set_is_not_judged():
    found = verdicts(measurement(), again(accuracy=None, agreement=None, data=None))
    assert found["map"] == found["cmc1"] == ("not judged", "the data set is not here")
    assert found["p50_ms"][0] == "within"


def test_an_artifact_that_computes_something_else_is_outside():
    assert verdicts(measurement(), again(), min_cosine=0.9999)["cosine"] == ("outside", "")


def test_a_record_of_this_device_goes_before_a_newer_one_of_another():
    here = measurement(4.0)
    elsewhere = measurement(6.0, device=ORIN, measured_at="2026-11-02T00:00:00+00:00")
    newer = measurement(5.0, measured_at="2026-11-03T00:00:00+00:00")
    one = release(records=[here, elsewhere])
    assert published_for(one, again()) == one.measured[0]
    one = release(records=[here, newer, elsewhere])
    assert published_for(one, again()) == one.measured[1]


def test_what_was_never_published_has_only_its_cosine():
    assert set(verdicts(measurement(precision="fp32"), again())) == {"cosine"}
