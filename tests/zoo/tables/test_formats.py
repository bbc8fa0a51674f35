"""How tables are printed: in a terminal, in Markdown, CSV and JSON."""

import csv
import io
import json
import re

from rich.console import Console

from tests.zoo.records import (
    ORIN,
    energy,
    latency,
    measurement,
    pending,
    release,
)
from tests.zoo.tables.printed import ONNX, shown
from zoo.tables import compare, measurement_table
from zoo.tables.columns import number
from zoo.tables.comparison import KEYS
from zoo.tables.formats import as_json, comma_separated, markdown


def cells(text, row, heading):
    """A cell of the first table in Markdown."""
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]
    return lines[2 + row][lines[0].index(heading)]


def test_thousands_are_separated():
    assert number(1)(1234567.89) == "1 234 567.9"


def test_a_throttled_time_is_void_with_its_reason_and_in_no_format_a_number():
    hot = measurement(1.2345, throttled="CPU too hot (+3)", energy=energy("RAPL", 7.654))
    both = compare([release(records=[hot, measurement(**ONNX)])])
    text = markdown(both)
    for heading in ("p50 ms", "p90 ms", "p99 ms", "images/s", "mJ/image", "× dense"):
        assert cells(text, 0, heading) == "void"
    assert cells(text, 0, "mAP %") == "**80.00**"
    assert "void, throttled by CPU too hot (+3): student int8 on openvino-cpu" in shown(both)
    first = next(csv.DictReader(io.StringIO(comma_separated(both))))
    assert (first["p50_ms"], first["mj_per_image"], first["void"]) == ("", "", "CPU too hot (+3)")
    for printed in (text, shown(both), comma_separated(both), json.dumps(as_json(both))):
        assert "1.23" not in printed
        assert "7.65" not in printed
    assert "p50_ms" not in both.groups[0].best


def test_a_number_that_rounds_to_zero_has_no_sign():
    assert [number(2)(value) for value in (-0.004, -0.0, -0.006, 1234.5)] == ["0.00", "0.00", "-0.01", "1 234.50"]


def test_the_best_is_bold():
    both = compare([release(records=[measurement(4), measurement(5, **ONNX)])])
    assert "**4.00**" in markdown(both)
    assert "**5.00**" not in markdown(both)
    bold = re.findall(r"\x1b\[1;32m *([\d.]+)", shown(both, force_terminal=True, color_system="standard"))
    assert "4.00" in bold
    assert "5.00" not in bold


def test_csv_has_one_header_and_full_precision():
    both = compare([release(), release("small", records=[measurement(1 / 3, threads=1)])])
    rows = list(csv.DictReader(io.StringIO(comma_separated(both))))
    assert [row["table"] for row in rows] == ["1", "2"]
    assert float(rows[1]["p50_ms"]) == 1 / 3
    assert list(rows[0]) == ["table", *KEYS]
    assert comma_separated(both).count("p50_ms") == 2  # with compute_p50_ms


def test_json_has_the_shape_that_is_documented():
    content = json.loads(json.dumps(as_json(compare([release(records=[measurement(), pending()])]))))
    assert list(content) == ["tables", "apart", "estimated", "emulated", "pending", "broken"]
    (one,) = content["tables"]
    assert list(one) == ["protocol", "rows", "best"]
    assert list(one["rows"][0]) == list(KEYS)
    assert set(content["pending"][0]) == {"model", "target", "kind", "bundle", "bundle_sha256", "command"}


def test_markup_and_pipes_in_a_name_stay_text():
    strange = measurement(device={**ORIN, "name": "[bold]A|B[/]"})
    both = compare([release(records=[strange])])
    assert "[bold]A|B[/]" in shown(both)
    assert "[bold]A\\|B[/]" in markdown(both)


def test_columns_without_figures_are_left_out_and_named():
    few = measurement(latency=[latency(p99_ms=None)])
    text = shown(compare([release(records=[few])]))
    assert "no figures: p99 ms, mJ/image" in text
    assert "p99 ms" not in text.splitlines()[1]


def test_one_model_needs_no_column():
    def text(releases):
        console = Console(width=300, file=io.StringIO())
        console.print(measurement_table(releases))
        return console.file.getvalue()  # type: ignore[attr-defined]

    assert "big@1.0.0" not in text([release(records=[measurement(), pending()])])  # nor for pending targets
    assert "big@1.0.0" in text([release(), release("small")])
