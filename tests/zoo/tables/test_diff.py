"""`zoo diff`: regressions, and noise."""

import pytest

from tests.zoo.records import DEVICE, ORIN, dense, latency, measurement, pending, ratio, release
from zoo.errors import CompareError
from zoo.tables.diff import diff


def between(old, new, **changes):
    """The difference of two versions with one record each, or several."""
    lists = [one if isinstance(one, list) else [one] for one in (old, new)]
    return diff(release(records=lists[0]), release(version="1.1.0", records=lists[1], **changes), 0.5, 5.0)


def buckets(found):
    return {one.figure: one.bucket for one in found.changes}


def test_equal_releases_do_not_differ():
    assert set(buckets(between(measurement(), measurement())).values()) == {"unchanged"}


@pytest.mark.parametrize(
    ("map_", "bucket"), [(79.4, "regressions"), (79.5, "unchanged"), (80.5, "unchanged"), (80.6, "improvements")]
)
def test_map_counts_beyond_its_tolerance_in_points(map_, bucket):
    assert buckets(between(measurement(), measurement(map_=map_)))["map"] == bucket


@pytest.mark.parametrize(
    ("p50_ms", "interval", "bucket"),
    [
        (6.0, (2.3, 2.5), "regressions"),
        (5.2, (2.3, 2.5), "unchanged"),
        (4.0, (3.6, 3.8), "improvements"),
    ],
)
def test_times_count_beyond_their_tolerance_if_the_ratio_to_the_dense_network_moved_too(p50_ms, interval, bucket):
    found = buckets(between(measurement(), measurement(p50_ms, ratios=[ratio(*interval)])))
    assert found["p50_ms"] == found["images_per_second"] == bucket


@pytest.mark.parametrize("p50_ms", [6.0, 4.0])
@pytest.mark.parametrize("interval", [(2.9, 3.1), (2.5, 2.95), (3.05, 3.3)])
def test_a_time_that_moved_with_the_dense_network_is_unsure(p50_ms, interval):
    found = between(measurement(), measurement(p50_ms, ratios=[ratio(*interval)]))
    assert buckets(found)["p50_ms"] == "unsure"
    assert "ratio to the dense network 2.90 … 3.10× before" in found.of("unsure")[0].why


def test_the_ratio_counts_in_the_direction_of_the_time_only():
    assert buckets(between(measurement(), measurement(6, ratios=[ratio(3.5, 3.7)])))["p50_ms"] == "unsure"


def test_ratios_to_dense_networks_of_other_sizes_are_ignored():
    assert buckets(between(measurement(), measurement(6), parameters=(9_000_000, 1_000_000)))["p50_ms"] == "regressions"


def test_the_ratio_counts_at_the_batch_of_the_figure():
    def both(p50_ms, low, high, steady=True):
        timed = [latency(p50_ms=p50_ms), latency(8, 6 * p50_ms, steady=steady)]
        return measurement(latency=timed, ratios=[ratio(low, high), ratio(2.9, 3.1, batch=8)])

    found = buckets(between(both(5, 2.9, 3.1), both(6, 2.3, 2.5)))
    assert (found["p50_ms"], found["images_per_second"]) == ("regressions", "unsure")
    (change,) = between(both(5, 2.9, 3.1), both(6, 2.3, 2.5, steady=False)).of("unsure")
    assert (change.figure, change.why) == ("images_per_second", "never became steady: after")


def test_a_run_that_never_became_steady_is_unsure_beyond_tolerance_only():
    found = between(measurement(), measurement(6, steady=False, ratios=[ratio(2.3, 2.5)]))
    assert buckets(found)["p50_ms"] == "unsure"
    assert found.of("unsure")[0].why == "never became steady: after"
    assert buckets(between(measurement(steady=False), measurement()))["p50_ms"] == "unchanged"


def test_a_throttled_time_is_unsure_and_its_accuracy_counts():
    found = between(measurement(), measurement(9, map_=70, throttled="too hot"))
    assert buckets(found) == {"map": "regressions", "p50_ms": "unsure", "images_per_second": "unsure"}
    assert {one.after for one in found.of("unsure")} == {None}
    assert found.of("unsure")[0].why == "void, throttled by too hot"


def test_the_newest_time_that_is_not_void_counts():
    good = measurement(6, ratios=[ratio(2.3, 2.5)], measured_at="2026-11-02T00:00:00+00:00")
    hot = measurement(1, throttled="hot", measured_at="2026-11-03T00:00:00+00:00")
    old = measurement(1, measured_at="2026-11-01T00:00:00+00:00")
    (change,) = (one for one in between(measurement(), [hot, old, good]).changes if one.figure == "p50_ms")
    assert change.after == 6
    assert change.bucket == "regressions"


def test_the_newest_accuracy_counts_though_a_newer_record_has_none():
    timed = measurement(accuracy=None, agreement=None, data=None, measured_at="2026-11-02T00:00:00+00:00")
    assert buckets(between(measurement(), [measurement(map_=70), timed]))["map"] == "regressions"
    (change,) = (one for one in between(measurement(), timed).changes if one.figure == "map")
    assert (change.bucket, change.change) == ("unsure", None)
    assert change.why == "accuracy was not measured for both"


@pytest.mark.parametrize(
    ("changes", "figures"),
    [
        ({"data": "c" * 64}, {"map"}),
        ({"threads": 1}, {"p50_ms", "images_per_second"}),
        ({"power_mode": "15W"}, {"p50_ms", "images_per_second"}),
        ({"latency": [latency(), latency(batch=8)]}, {"images_per_second"}),
    ],
)
def test_different_protocols_are_unsure_and_the_difference_is_named(changes, figures):
    found = between(measurement(), measurement(**changes))
    assert {one.figure for one in found.of("unsure")} == figures
    assert all(one.why.startswith("different protocols: ") for one in found.of("unsure"))


def test_measurements_of_only_one_release_are_named():
    orin = measurement(device=ORIN, target="jetson-orin-nano")
    found = between([measurement(), measurement(precision="fp32")], [measurement(), orin, pending()])
    assert found.only_before == ["fp32 on openvino-cpu, AMD EPYC"]
    assert found.only_after == ["int8 on jetson-orin-nano, NVIDIA Jetson Orin Nano Developer Kit"]


def test_the_dense_network_is_not_compared():
    found = between([dense(), measurement()], [dense(99), measurement()])
    assert {one.precision for one in found.changes} == {"int8"}


GPU = {"name": "openvino", "version": "2026.1", "device": "GPU"}


@pytest.mark.parametrize(
    "new",
    [measurement(device=ORIN), measurement(device=DEVICE | {"cores": 8}), measurement(runtime=GPU), dense(), pending()],
)
def test_releases_without_common_measurements_are_an_error(new):
    with pytest.raises(CompareError, match="the two releases have no target, device and precision"):
        between(measurement(), new)


def test_a_release_is_not_compared_with_itself():
    with pytest.raises(CompareError, match="both names mean big@1.0.0"):
        diff(release(), release(), 0.5, 5.0)


def test_the_largest_change_is_first():
    new = [measurement(map_=79), measurement(map_=70, precision="fp16"), measurement(map_=75, precision="fp32")]
    old = [measurement(), measurement(precision="fp16"), measurement(precision="fp32")]
    assert [one.precision for one in between(old, new).of("regressions")] == ["fp16", "fp32", "int8"]
