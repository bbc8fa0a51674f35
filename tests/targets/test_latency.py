"""How time is measured."""

import numpy as np
import pytest

from targets import latency
from targets.latency import measure_latency, warm_up

IMAGES = np.zeros((4, 2, 2, 3), np.uint8)


class Clock:
    """Time that passes only where a test says so: real machines are too noisy for exact figures."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(latency, "perf_counter", clock)
    monkeypatch.setattr(latency, "sleep", clock.sleep)
    monkeypatch.setattr(Fake, "clock", clock)
    return clock


class Fake:
    """A session that takes a known time; the first calls take longer, less and less."""

    clock = Clock()

    def __init__(self, seconds, cold=0):
        self.seconds, self.cold, self.calls = seconds, cold, 0

    def embed(self, images):
        self.calls += 1
        self.clock.now += self.seconds * (1 + 9 * max(0, 1 - self.calls / (self.cold or 1)))
        return np.ones((len(images), 2), np.float32)


@pytest.mark.parametrize(("calls", "p90", "p99"), [(43, False, False), (44, True, False), (459, True, True)])
def test_only_percentiles_that_n_supports(calls, p90, p99):
    figures = measure_latency({"a": Fake(0.0001)}, IMAGES, calls, 20)["a"]
    assert figures.calls == calls
    assert (figures.p90_ms is not None, figures.p99_ms is not None) == (p90, p99)


def test_figures_are_those_of_the_session():
    found = measure_latency({"slow": Fake(0.004), "fast": Fake(0.001)}, IMAGES, 60, 20)
    assert found["slow"].p50_ms == pytest.approx(4)
    assert found["fast"].p50_ms == pytest.approx(1)
    assert found["slow"].images_per_second == pytest.approx(1000)
    assert found["slow"].batch == 4
    assert found["slow"].p90_ms >= found["slow"].p50_ms


def test_time_limits_calls():
    found = measure_latency({"a": Fake(0.01)}, IMAGES, 10_000, 0.5)["a"]
    assert 20 <= found.calls < 120


def test_warming_up_outlasts_the_cold_calls():
    session = Fake(0.001, cold=40)
    calls, steady = warm_up(session, IMAGES, 10)
    assert steady
    assert calls > 40


def test_what_never_settles_is_marked():
    class Rising(Fake):
        def embed(self, images):
            self.seconds *= 1.03
            return super().embed(images)

    assert warm_up(Rising(0.0002), IMAGES, 0.5)[1] is False
