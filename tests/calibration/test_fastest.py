"""The search for layers that are faster in float: never slower than before, within the gate, within the limit."""

from itertools import pairwise
from typing import Any, cast

import pytest

from calibration.fastest import ALONE, AS_IT_WAS, Fastest
from targets.measuring.ratio import Ratio

COST = {"wide": 8.0, "narrow": 1.0, "middle": 2.0, "thin": 1.0}  # ms in int8
FLOAT = {"wide": 20.0, "narrow": 0.5, "middle": 2.1, "thin": 0.6}
RANKED = ("thin", "narrow", "middle", "wide")


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
        self.surprise, self.width, self.runs, self.brief = surprise, width, [], []

    def __call__(self, graphs, brief):
        read = {name: tuple(path.read_text().split()) for name, path in graphs.items()}
        self.runs.append([*read.values()])
        self.brief.append(brief)
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
    found = search(tmp_path, Clock()).find((), most=4, ranked=RANKED)
    assert found is not None
    assert {*found.excluded} == {"narrow", "thin"}
    assert found.ratio.ratio == pytest.approx(duration(()) / duration(("narrow", "thin")))


def test_layers_that_are_float_for_accuracy_stay_so(tmp_path):
    found = search(tmp_path, Clock()).find(("wide",), most=4, ranked=RANKED)
    assert found is not None
    assert {*found.excluded} == {"wide", "narrow", "thin"}


def test_gains_of_single_layers_are_not_added_up(tmp_path):
    """Two layers in float together are slower here than each alone."""
    found = search(tmp_path, Clock(surprise=0.6)).find((), most=4, ranked=RANKED)
    assert found is not None
    assert found.excluded == ("narrow",)


def test_nothing_changes_unless_a_graph_is_faster_with_confidence(tmp_path):
    assert search(tmp_path, Clock(width=0.2)).find((), most=4, ranked=RANKED) is None


def test_the_winner_is_timed_again_and_loses_if_the_first_time_was_luck(tmp_path):
    clock = Clock()

    def lucky_once(graphs, brief):
        clock.surprise = 20.0 if len(clock.runs) >= 2 else 0.0
        return clock(graphs, brief)

    found = search(tmp_path, lucky_once).find((), most=4, ranked=RANKED)
    assert found is not None
    assert found.excluded == ("narrow",)
    assert len(clock.runs) == 4  # alone, together, two confirmations
    assert clock.brief == [True, False, False, False]


def test_both_long_runs_need_confidence(tmp_path):
    for unsure in (1, 2):  # the run of all candidates, or that of the winner
        clock = Clock()

        def timed(graphs, brief, clock=clock, unsure=unsure):
            clock.width = 0.2 if len(clock.runs) == unsure else 0.001
            return clock(graphs, brief)

        found = search(tmp_path, timed).find((), most=4, ranked=RANKED)
        assert found is None or (unsure == 2 and found.excluded == ("narrow",))  # the second best, which was sure twice


def test_a_faster_graph_that_loses_accuracy_is_not_taken(tmp_path):
    found = search(tmp_path, Clock(), spoils={"thin"}).find((), most=4, ranked=RANKED)
    assert found is not None
    assert found.excluded == ("narrow",)
    assert search(tmp_path, Clock(), spoils={"thin", "narrow"}).find((), most=4, ranked=RANKED) is None


def test_the_limit_on_float_layers_holds(tmp_path):
    found = search(tmp_path, Clock()).find((), most=1, ranked=RANKED)
    assert found is not None
    assert found.excluded == ("narrow",)
    assert search(tmp_path, Clock()).find(("thin",), most=1, ranked=RANKED) is None


def many(tmp_path, clock, layers):
    graphs = Graphs()
    graphs.layers = layers
    return Fastest(cast("Any", graphs), clock, judge=lambda _: True, holds=lambda verdict: verdict, scratch=tmp_path)


class Network:
    """Times a network of many layers: each int8 layer takes 1 ms, a float one 2, or `float_ms`, and each border between
    the two kinds takes some.
    """

    def __init__(self, layers, float_ms, border=0.0):
        self.layers, self.float_ms, self.border, self.graphs = layers, float_ms, border, 0

    def duration(self, excluded):
        kinds = [layer in excluded for layer in self.layers]
        own = sum(self.float_ms.get(layer, 2.0) if layer in excluded else 1.0 for layer in self.layers)
        return own + self.border * sum(one != other for one, other in pairwise(kinds))

    def __call__(self, graphs, brief):
        del brief
        self.graphs += len(graphs)
        times = {name: self.duration(path.read_text().split()) for name, path in graphs.items()}
        ratios = {name: times[AS_IT_WAS] / time for name, time in times.items() if name != AS_IT_WAS}
        return {name: Ratio(AS_IT_WAS, 1, one, one - 1e-4, one + 1e-4, 8) for name, one in ratios.items()}


FIFTY = [f"layer{number}" for number in range(50)]


def test_a_large_network_needs_few_graphs(tmp_path):
    clock = Network(FIFTY, {"layer3": 0.5, "layer7": 0.2, "layer12": 0.6})
    found = many(tmp_path, clock, FIFTY).find((), 25, FIFTY)
    assert found is not None
    assert {"layer3", "layer7"} <= {*found.excluded} <= {"layer3", "layer7", "layer12"}
    assert clock.graphs <= 32  # each layer alone would take 51, and as many seconds of compiling


def test_layers_that_gain_only_with_their_neighbours_are_found(tmp_path):
    """Alone in float each pays for two conversions."""
    float_ms = {f"layer{number}": 0.6 for number in range(8)}
    found = many(tmp_path, Network(FIFTY, float_ms, border=0.5), FIFTY).find((), 25, FIFTY)
    assert found is not None
    assert {*found.excluded} == {*float_ms}


def test_a_network_without_such_layers_costs_one_short_run(tmp_path):
    clock = Network(FIFTY, {})
    assert many(tmp_path, clock, FIFTY).find((), 25, FIFTY) is None
    assert clock.graphs == 1 + ALONE + len([2, 4, 8, 16, 25])
