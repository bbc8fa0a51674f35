"""The search for layers that are faster in float: never slower than before, within the gate, within the limit."""

from typing import Any, cast

import pytest

from calibration.fastest import AS_IT_WAS, Fastest
from targets.measuring.ratio import Ratio

COST = {"wide": 8.0, "narrow": 1.0, "middle": 2.0, "thin": 1.0}  # ms in int8
FLOAT = {"wide": 20.0, "narrow": 0.5, "middle": 2.1, "thin": 0.6}


class Graphs:
    """A quantiser whose graphs are lists of float layers."""

    layers = tuple(COST)

    def write(self, path, excluded):
        path.write_text(" ".join(excluded))


def duration(excluded):
    return sum(FLOAT[layer] if layer in excluded else COST[layer] for layer in COST)


class Clock:
    """Times graphs without noise; `surprise` makes sets of two and more layers slower, as conversions can."""

    def __init__(self, surprise=0.0, width=0.001):
        self.surprise, self.width, self.runs = surprise, width, []

    def __call__(self, graphs):
        read = {name: tuple(path.read_text().split()) for name, path in graphs.items()}
        self.runs.append([*read.values()])
        times = {name: duration(some) + self.surprise * (len(some) > 1) for name, some in read.items()}
        found = {}
        for name in read:
            if name != AS_IT_WAS:
                ratio = times[AS_IT_WAS] / times[name]
                found[name] = Ratio(AS_IT_WAS, 1, ratio, ratio - self.width, ratio + self.width, 8)
        return found


def search(tmp_path, clock, spoils=()):
    """The search; the gate refuses graphs with one of `spoils` in float."""
    return Fastest(
        cast("Any", Graphs()),
        clock,
        judge=lambda path: {*path.read_text().split()}.isdisjoint(spoils),
        holds=lambda verdict: verdict,
        scratch=tmp_path,
    )


def test_layers_that_are_slower_in_int8_return_to_float(tmp_path):
    found = search(tmp_path, Clock()).find((), most=4)
    assert found is not None
    assert {*found.excluded} == {"narrow", "thin"}
    assert found.ratio.ratio == pytest.approx(duration(()) / duration(("narrow", "thin")))


def test_layers_that_are_float_for_accuracy_stay_so(tmp_path):
    found = search(tmp_path, Clock()).find(("wide",), most=4)
    assert found is not None
    assert {*found.excluded} == {"wide", "narrow", "thin"}


def test_gains_of_single_layers_are_not_added_up(tmp_path):
    """Two layers in float together are slower here than each alone."""
    found = search(tmp_path, Clock(surprise=0.6)).find((), most=4)
    assert found is not None
    assert found.excluded == ("narrow",)


def test_nothing_changes_unless_a_graph_is_faster_with_confidence(tmp_path):
    assert search(tmp_path, Clock(width=0.2)).find((), most=4) is None


def test_the_winner_is_timed_again_and_loses_if_the_first_time_was_luck(tmp_path):
    clock = Clock()

    def lucky_once(graphs):
        clock.surprise = 20.0 if len(clock.runs) >= 2 else 0.0
        return clock(graphs)

    found = search(tmp_path, lucky_once).find((), most=4)
    assert found is not None
    assert found.excluded == ("narrow",)
    assert len(clock.runs) == 4  # alone, together, two confirmations


def test_a_faster_graph_that_loses_accuracy_is_not_taken(tmp_path):
    found = search(tmp_path, Clock(), spoils={"thin"}).find((), most=4)
    assert found is not None
    assert found.excluded == ("narrow",)
    assert search(tmp_path, Clock(), spoils={"thin", "narrow"}).find((), most=4) is None


def test_the_limit_on_float_layers_holds(tmp_path):
    found = search(tmp_path, Clock()).find((), most=1)
    assert found is not None
    assert found.excluded == ("narrow",)
    assert search(tmp_path, Clock()).find(("thin",), most=1) is None
