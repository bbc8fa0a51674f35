"""Tables as wide as a terminal: nothing is lost, and untrusted text stays on its line."""

import io

import pytest
from click.testing import CliRunner
from rich.cells import cell_len
from rich.console import Console

from tests.zoo.records import DEVICE, a_manifest, broken, dense, keep, measurement, release
from zoo.cli import main
from zoo.release.local import Release
from zoo.tables import compare, gains, table
from zoo.tables.columns import MEASURED
from zoo.tables.formats import BEST, markdown, terminal  # type: ignore[attr-defined]

BOTH = [dense(), measurement(), measurement(6, target="onnxruntime-cpu")]
HEADINGS = [MEASURED[key].heading for key in MEASURED if key != "mj_per_image"]


def printed(renderable, width=80, **options):
    console = Console(width=width, file=io.StringIO(), **{"force_terminal": True, "color_system": None} | options)
    console.print(renderable)
    return console.file.getvalue().splitlines()  # type: ignore[attr-defined]


def parts(lines):
    """Of each part of a table: words of its heading, and its rows."""
    rules = [i for i, line in enumerate(lines) if "──" in line]
    for rule in rules:
        first = next(i for i in range(rule - 1, -2, -1) if i < 0 or not lines[i].strip())
        last = next(i for i in range(rule, len(lines) + 1) if i == len(lines) or not lines[i].strip())
        yield " ".join(lines[first + 1 : rule]).split(), lines[rule + 1 : last]


@pytest.mark.parametrize("width", [60, 80, 100, 130])
def test_a_table_that_is_too_wide_is_in_parts_that_name_their_rows(width):
    lines = printed(terminal(compare([release(records=BOTH)]), 1), width)
    found = list(parts(lines))
    assert len(found) > 1
    for heading, rows in found:
        assert {"target", "network", "precision", "✓"} <= {*heading}
        assert sum("teacher   fp32" in row for row in rows) == 1
    assert {word for heading in HEADINGS for word in heading.split()} == {word for head, _ in found for word in head}
    for figure in ("85.00", "4.000", "40.0", "15.00", "18.00", "22.50", "67"):
        assert any(figure in row.split() for _, rows in found for row in rows if "teacher" in row), figure
    assert max(map(cell_len, lines)) <= width


def test_columns_keep_their_order_and_appear_once():
    heads = [head for head, _ in parts(printed(terminal(compare([release(records=BOTH)]), 1)))]
    units = [word for head in heads for word in head if word in ("R1", "MB", "p50", "p90", "p99", "images/s", "dense")]
    assert units == ["R1", "MB", "p50", "p90", "p99", "images/s", "dense"]


def test_a_table_that_fits_has_one_part():
    assert len(list(parts(printed(terminal(compare([release(records=BOTH)]), 1), 170)))) == 1


@pytest.mark.parametrize("width", [20, 40, 80])
def test_a_long_name_is_folded_and_leaves_room_for_figures(width):
    long = release("a-model-" + "x" * 60, records=BOTH)
    lines = printed(terminal(compare([long, release()])), width)
    assert max(map(cell_len, lines)) <= width
    assert any("22.50" in line.split() for line in lines)
    assert sum(line.count("x") for _, rows in parts(lines) for line in rows) >= 60


def test_a_text_that_is_wider_than_the_terminal_wraps_at_blanks():
    why = "because " * 30 + "of it"
    lines = printed(table([{"target": "board", "change": "1", "why": why}], ("target", "change", "why")))
    (_, rows) = list(parts(lines))[-1]
    assert " ".join(rows).split().count("because") == 30
    assert max(map(cell_len, lines)) <= 80


@pytest.mark.parametrize("width", [30, 80])
def test_a_caption_wraps_at_blanks_once_after_the_last_part(width):
    lines = [line.rstrip() for line in printed(terminal(compare([release(records=BOTH)])), width)]
    last = max(i for i, line in enumerate(lines) if "──" in line)
    caption = " ".join(compare([release(records=BOTH)]).groups[0].how.split())
    assert caption in " ".join(lines[last:])
    assert " ".join(lines).count("AMD EPYC") == 1


def test_a_caption_in_a_pipe_is_one_line_without_trailing_blanks():
    both = compare([release(records=BOTH)])
    assert both.groups[0].how in printed(terminal(both), 10_000, force_terminal=False)


def test_bold_is_explained_only_where_it_is_seen():
    both = compare([release(records=BOTH)])
    assert BEST in "".join(printed(terminal(both), color_system="standard"))
    assert BEST in "".join(printed(terminal(both), color_system="standard", no_color=True))
    assert BEST not in "".join(printed(terminal(both), 300, force_terminal=False))
    assert BEST in markdown(both)
    alone = compare([release()])
    assert BEST not in "".join(printed(terminal(alone), color_system="standard")) + markdown(alone)


def test_untrusted_text_stays_on_its_line_without_control_characters():
    bad = "a\nb\x1b[2Jc"
    strange = measurement(device=DEVICE | {"name": bad}).model_copy(update={"target": "t\r\x1b[1mu"})
    both = compare([release(records=[strange, broken(reason=bad)])])
    for text in ("\n".join(printed(terminal(both), 300)), markdown(both)):
        assert "\x1b" not in text
        assert "a b?[2Jc (x86_64, 2 cores), CPU" in text
        assert "broken: a b?[2Jc" in text
        assert "t ?[1mu" in text


def test_items_of_a_list_are_on_separate_lines():
    lines = printed(table([{"model": "big", "targets": ["one\ntwo", "three"]}], ("model", "targets")))
    ((_, rows),) = parts(lines)
    assert [row.split() for row in rows] == [["big", "one", "two"], ["three"]]


def test_gains_are_listed_once_per_target_by_the_latest_run_with_a_ratio():
    later = {"measured_at": "2026-11-02T00:00:00+00:00", "run": "two"}
    timed = measurement(accuracy=None, agreement=None, data=None, ratios=[], **later)
    (_, told) = gains(release(records=[measurement(map_=79), timed]))
    assert told.startswith("openvino-cpu ships int8: mAP 79.00, 3.00×")
    (_, told) = gains(release(records=[measurement(map_=79), measurement(map_=78, **later)]))
    assert "mAP 78.00" in told
    (_, told) = gains(release(records=[timed]))
    assert told == "openvino-cpu ships int8: mAP –"


def test_a_gain_of_a_run_that_never_became_steady_says_so():
    (_, told) = gains(release(records=[measurement(steady=False)]))
    assert told.endswith("mAP 80.00; unsteady (never became steady): on an idle machine, zoo bench big@1.0.0")


def test_show_omits_unknown_values(tmp_path):
    manifest = a_manifest(description="one\ntwo\x1b[2J :car:")
    bare = manifest.model_copy(update={"compression": manifest.compression.model_copy(update={"sites": []})})
    keep(tmp_path, Release(tmp_path, bare, [measurement()]))
    result = CliRunner().invoke(main, ["show", "big"], env={"ZOO_HOME": str(tmp_path)}, catch_exceptions=False)
    assert result.exit_code == 0
    assert "git None" not in result.stdout
    assert "zoo build big; seed 0\n" in result.stdout
    assert "big@1.0.0: one two?[2J :car:\n" in result.stdout
    assert "\x1b" not in result.stdout
