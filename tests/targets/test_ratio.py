"""The ratio of two sessions, and its interval."""

import numpy as np
import pytest

from targets.measuring.ratio import estimate, trimmed_averages


def test_the_interval_is_that_of_the_signed_rank_test():
    """Critical values of the two-sided test at 5 %, from tables (Hollander & Wolfe, table A.4)."""
    assert {pairs: trimmed_averages(pairs) for pairs in (6, 8, 10, 17, 25)} == {6: 0, 8: 3, 10: 8, 17: 34, 25: 89}


def test_fewer_than_six_pairs_give_no_interval():
    assert estimate([2.0] * 5, [1.0] * 5) == (pytest.approx(2), None, None)
    assert estimate([2.0] * 6, [1.0] * 6) == pytest.approx((2, 2, 2))


@pytest.mark.parametrize("pairs", [8, 17])
@pytest.mark.parametrize("noise", ["even", "spikes"])
def test_the_interval_covers_the_true_value_in_95_of_100_runs(pairs, noise):
    """Medians of turns on a machine that drifts: with even noise, and with a tenth of the turns disturbed by 30 %."""
    random = np.random.default_rng(7)
    covered, runs = 0, 1000
    for _ in range(runs):
        drift = np.cumsum(random.normal(0, 0.03, pairs))
        logs = drift + random.normal(0, 0.02, (2, pairs))
        if noise == "spikes":
            logs += 0.3 * (random.random((2, pairs)) < 0.1)
        low, high = estimate(1.7 * np.exp(logs[0]), np.exp(logs[1]))[1:]
        covered += low <= 1.7 <= high
    assert 0.93 <= covered / runs <= 0.98


def test_one_disturbed_turn_hardly_moves_the_ratio():
    times = [1.0, 1.01, 0.99, 1.0, 1.02, 1.0, 0.98, 1.0]
    calm = estimate([2 * time for time in times], times)
    disturbed = estimate([2 * time for time in times], [*times[:-1], 5.0])
    assert disturbed[0] == pytest.approx(calm[0], rel=0.01)


def test_turns_without_a_partner_are_left_out():
    assert estimate([2.0] * 8, [1.0] * 8 + [9.0] * 9) == pytest.approx((2, 2, 2))
