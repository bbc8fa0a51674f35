"""Measurement of latency."""

from itertools import islice, pairwise

import numpy as np
import pytest

from targets.measuring import latency, turns
from targets.measuring.latency import Timing, measure_latency
from targets.measuring.turns import orders, warm_up

IMAGES = np.zeros((4, 2, 2, 3), np.uint8)


class Clock:
    """A clock that advances only when a test says so: real machines are too noisy for exact figures."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(turns, "perf_counter", clock)
    monkeypatch.setattr(latency, "sleep", clock.sleep)
    monkeypatch.setattr(turns, "STEADY", 0.05)
    monkeypatch.setattr(Fake, "clock", clock)
    return clock


class Fake:
    """A session of known time; the first calls take longer, decreasingly."""

    clock = Clock()
    compute_ms: float | None = None

    def __init__(self, seconds, cold=0):
        self.seconds, self.cold, self.calls = seconds, cold, 0

    def embed(self, images):
        self.calls += 1
        self.clock.now += self.seconds * (1 + 9 * max(0, 1 - self.calls / (self.cold or 1)))
        return np.ones((len(images), 2), np.float32)


@pytest.mark.parametrize(("calls", "p90", "p99"), [(43, False, False), (44, True, False), (459, True, True)])
def test_only_percentiles_that_n_supports(calls, p90, p99):
    figures = measure_latency({"a": Fake(0.0001)}, IMAGES, calls, 20).latency("a")
    assert figures.calls == calls
    assert (figures.p90_ms is not None, figures.p99_ms is not None) == (p90, p99)


def test_what_kind_of_session_it_is_takes_none_of_its_time(monkeypatch, clock):
    class Slow(type):
        def __instancecheck__(cls, session):
            clock.sleep(1)
            return isinstance(session, Elsewhere)

    class Elsewhere(Fake):
        call_ms, process = 2.5, 1

    monkeypatch.setattr(turns, "ProcessSession", Slow("Kind", (), {}))
    assert turns._call(Fake(0.001), IMAGES) == pytest.approx(1)
    assert turns._call(Elsewhere(0.001), IMAGES) == 2.5, "it times its calls itself"


def test_figures_are_those_of_the_session():
    timing = measure_latency({"slow": Fake(0.004), "fast": Fake(0.001)}, IMAGES, 60, 20)
    slow, fast = timing.latency("slow"), timing.latency("fast")
    assert slow.p50_ms == pytest.approx(4)
    assert fast.p50_ms == pytest.approx(1)
    assert slow.images_per_second == pytest.approx(1000)
    assert slow.batch == 4
    assert slow.p90_ms >= slow.p50_ms
    assert slow.steady


def test_the_runtimes_own_time_is_reported_besides_the_whole_call():
    class Telling(Fake):
        def embed(self, images):
            self.compute_ms = 1000 * self.seconds - 1
            return super().embed(images)

    timing = measure_latency({"tells": Telling(0.004), "silent": Fake(0.004)}, IMAGES, 20, 20)
    assert timing.latency("tells").compute_p50_ms == pytest.approx(3)
    assert timing.latency("silent").compute_p50_ms is None


def test_time_limits_calls():
    found = measure_latency({"a": Fake(0.01)}, IMAGES, 10_000, 0.5).latency("a")
    assert 20 <= found.calls < 120


def test_a_slow_session_has_enough_turns_for_an_interval_and_leaves_the_fast_one_its_calls():
    timing = measure_latency({"slow": Fake(0.3), "fast": Fake(0.003)}, IMAGES, 459, 30)
    assert timing.latency("fast").calls == 459
    found = timing.ratio("fast", "slow")
    assert found.turns >= 6
    assert found.low == found.ratio == found.high == pytest.approx(100)


def test_sessions_follow_each_other_equally_often():
    for count in (2, 4, 6):
        rounds = list(islice(orders("abcdef"[:count]), count))
        pairs = [pair for order in rounds for pair in pairwise(order)]
        assert all(sorted(order) == sorted(rounds[0]) for order in rounds)
        assert len(set(pairs)) == len(pairs) == count * (count - 1)
    pairs = [pair for order in islice(orders("abc"), 6) for pair in pairwise(order)]
    assert {pairs.count(pair) for pair in pairs} == {2}


def test_the_first_call_of_a_turn_is_not_counted():
    """Caches hold data of the previous session, so this call takes longer."""

    class Evicted(Fake):
        last = None

        def embed(self, images):
            self.clock.now += 0.05 if Evicted.last is not self else 0
            Evicted.last = self
            return super().embed(images)

    timing = measure_latency({"a": Evicted(0.001), "b": Evicted(0.001)}, IMAGES, 459, 30)
    assert timing.latency("a").p99_ms == pytest.approx(1)


def test_drift_of_the_machine_does_not_bias_the_ratio(clock):
    """A machine that slows down by half over the run: each session looks slower, the ratio is unchanged."""

    class Drifting(Fake):
        def embed(self, images):
            self.clock.now += self.seconds * (1 + clock.now / 4)
            return np.ones((len(images), 2), np.float32)

    timing = measure_latency({"dense": Drifting(0.004), "pruned": Drifting(0.002)}, IMAGES, 459, 60)
    found = timing.ratio("pruned", "dense")
    assert timing.latency("dense").p50_ms > 4.4
    assert found.ratio == pytest.approx(2, rel=0.01)
    assert found.low <= 2 <= found.high
    assert (found.baseline, found.batch) == ("dense", 4)


def test_a_run_whose_end_differs_from_its_beginning_is_not_steady(clock):
    class Throttled(Fake):
        def embed(self, images):
            self.clock.now += self.seconds * (1.2 if clock.now > 1.2 else 1)
            return np.ones((len(images), 2), np.float32)

    timing = measure_latency({"a": Throttled(0.002)}, IMAGES, 459, 30)
    assert timing.times["a"].warmup.steady
    assert not timing.latency("a").steady


def test_a_run_that_began_before_the_session_was_warm_is_not_steady(clock):
    class Late(Fake):
        def embed(self, images):
            self.clock.now += self.seconds * (1 + 99 * max(0, 1 - clock.now))
            return np.ones((len(images), 2), np.float32)

    timing = measure_latency({"a": Late(0.001)}, IMAGES, 459, 2)
    assert timing.times["a"].warmup.calls > 3
    assert not timing.latency("a").steady


def test_few_calls_still_make_turns_enough_for_an_interval():
    assert measure_latency({"a": Fake(0.001), "b": Fake(0.001)}, IMAGES, 50, 20).ratio("a", "b").turns == 8


def test_a_callback_runs_between_rounds():
    looks = []
    timing = measure_latency({"a": Fake(0.001), "b": Fake(0.001)}, IMAGES, 459, 30, lambda: looks.append(1))
    assert len(looks) == len(timing.times["a"].turns) == 17


def test_warming_up_outlasts_the_cold_calls():
    session = Fake(0.01, cold=40)
    warm = warm_up(session, IMAGES, 10)
    assert warm.steady
    assert warm.calls > 40
    assert warm.p50_ms == pytest.approx(10)


def test_warming_up_outlasts_a_governor_even_if_calls_are_short(clock):
    """A clock that rises for a tenth of a second: thousands of calls of a microsecond, all equally long."""

    class Rising(Fake):
        def embed(self, images):
            self.clock.now += 1e-4 * (1 if clock.now > 0.1 else 3)
            return np.ones((len(images), 2), np.float32)

    assert warm_up(Rising(0), IMAGES, 10).p50_ms == pytest.approx(0.1)


def test_slow_sessions_get_warm_in_few_calls():
    warm = warm_up(Fake(1.0), IMAGES, 10)
    assert warm.steady
    assert warm.calls == 9


def test_a_session_that_never_settles_is_not_steady():
    class Rising(Fake):
        def embed(self, images):
            self.seconds *= 1.03
            return super().embed(images)

    assert not warm_up(Rising(0.002), IMAGES, 0.5).steady


def test_percentiles_are_point_estimates_as_likely_too_low_as_too_high():
    """They are not bounds: over many runs of 459 calls, half of the estimates are below the true percentile."""
    random = np.random.default_rng(0)
    warm = turns.WarmUp(1, steady=True, p50_ms=1.0)
    found = [
        Timing(1, {"a": turns.Times(warm, [(1000 * random.random(459)).tolist()])}).latency("a") for _ in range(2000)
    ]
    for figure, true in (("p50_ms", 500), ("p90_ms", 900), ("p99_ms", 990)):
        below = np.mean([getattr(one, figure) < true for one in found])
        assert 0.45 < below < 0.55, figure
    slowest = random.random((2000, 459)).max(1)
    assert np.mean(slowest > 0.99) > 0.985, "the tail was seen in as many runs as the rule on n says"
