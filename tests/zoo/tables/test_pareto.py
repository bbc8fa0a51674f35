"""The plot of mAP against latency."""

import importlib.util
import re

import pytest

from tests.zoo.records import ORIN, dense, measurement, release
from zoo.errors import CompareError, ZooError
from zoo.tables import compare
from zoo.tables.pareto import front
from zoo.tables.plot import check_plot, plot

RECORDS = [
    dense(100, map_=82),
    measurement(8, 80, precision="fp32", ships=False),
    measurement(9, 79, precision="fp16", ships=False),
    measurement(3, 78),
    measurement(2, 60, throttled="CPU too hot", target="onnxruntime-cpu"),
]


def groups():
    return compare([release(records=RECORDS), release("small", records=[measurement(1, 70, device=ORIN)])]).groups


def test_the_front_holds_pareto_optimal_students():
    assert [row["p50_ms"] for row in front(groups()[0].rows)] == [3, 8]


def test_equals_are_all_on_the_front_or_none_of_them():
    rows = compare([release(records=[measurement(5, 80), measurement(5, 80), measurement(5, 79)])]).rows
    assert [row["map"] for row in front(rows)] == [80, 80]
    faster = compare([release(records=[measurement(5, 80), measurement(5, 80), measurement(4, 80)])]).rows
    assert [row["p50_ms"] for row in front(faster)] == [4]


def test_a_front_of_sizes_has_rows_whose_times_are_void_or_in_doubt():
    records = [
        measurement(5, 80, size_bytes=9, steady=False), measurement(4, 70, size_bytes=8, throttled="hot"),
        measurement(3, 60, size_bytes=8),
    ]  # fmt: skip
    rows = compare([release(records=records)]).rows
    assert [(row["size_bytes"], row["map"]) for row in front(rows, "size_bytes")] == [(8, 70), (9, 80)]
    assert [row["p50_ms"] for row in front(rows)] == [3]


def test_svg_is_equal_for_equal_figures_and_has_no_date(tmp_path):
    texts = []
    for name in ("a.svg", "b.SVG"):
        plot(groups(), tmp_path / name)
        texts.append((tmp_path / name).read_text())
    assert texts[0] == texts[1]
    assert "<dc:date>" not in texts[0]


def test_png_has_a_panel_for_each_table(tmp_path):
    plot(groups(), tmp_path / "two.png")
    plot(groups()[:1], tmp_path / "one.png")
    heights = []
    for name in ("one", "two"):
        content = (tmp_path / f"{name}.png").read_bytes()
        assert content.startswith(b"\x89PNG")
        heights.append(int.from_bytes(content[20:24]))
    assert heights[1] == 2 * heights[0]


def test_labels_void_and_a_wide_axis_are_drawn(tmp_path, monkeypatch):
    monkeypatch.setattr("zoo.tables.panels.STYLE", {"svg.fonttype": "none", "svg.hashsalt": "zoo"})
    plot(groups(), tmp_path / "a.svg")
    texts = re.findall(r"<text[^>]*>([^<]*)</text>", (tmp_path / "a.svg").read_text())
    for label in ("big dense fp32", "big fp32", "big fp16", "big int8", "small int8", "10", "50"):
        assert label in texts
    assert "left out as void, throttled by CPU too hot: 1" in texts


@pytest.mark.parametrize(
    ("name", "told"), [("a.gif", "ends in .png or .svg"), ("a", "ends in .png or .svg"), ("no/a.png", "does not exist")]
)
def test_a_plot_that_can_not_be_written_is_refused_first(name, told, tmp_path):
    with pytest.raises(ZooError, match=told):
        check_plot(tmp_path / name)


def test_without_matplotlib_the_command_that_installs_it_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(
        "zoo.tables.plot.find_spec", lambda name: None if name == "matplotlib" else importlib.util.find_spec(name)
    )
    with pytest.raises(CompareError, match=r"matplotlib.*pip install .*\[plot\]"):
        check_plot(tmp_path / "a.png")


def test_void_figures_alone_can_not_be_drawn(tmp_path):
    with pytest.raises(CompareError, match="nothing to draw"):
        plot(compare([release(records=RECORDS[-1:])]).groups, tmp_path / "a.png")
    assert not (tmp_path / "a.png").exists()
