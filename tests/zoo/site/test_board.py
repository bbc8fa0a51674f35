"""The board in a real browser: choice, filter, plot, comparison, URL, files."""

import csv
import io
import json
import re
import shlex

import pytest
from PIL import Image

from pipeline.progress import Silent
from tests.zoo.records import measurement, release
from tests.zoo.site.example import MODELS
from tests.zoo.site.sources import RECIPE, source
from zoo.site.build import build


def models(page):
    return page.locator("#table tbody tr:not(.sub) td.model a").all_inner_texts()


def column(page, heading):
    headings = [text.rstrip(" ↑↓") for text in page.locator("#table thead th").all_inner_texts()]
    at = headings.index(heading)
    return page.locator(f"#table tbody tr:not(.sub) td:nth-child({at + 1})").all_inner_texts()


def choose(page, device):
    page.select_option(
        "#device", label=next(text for text in page.locator("#device option").all_inner_texts() if device in text)
    )


def numbers(texts):
    return [float(text.split("\n")[0].split(" ")[0].replace("–", "nan")) for text in texts]


def test_the_most_used_device_comes_first_and_boards_are_never_mixed(board):
    devices = board.locator("#device option").all_inner_texts()
    assert devices[0].startswith("AMD EPYC (x86_64, 2 cores) · 13 models")
    assert [text.split(" ")[0] for text in devices[1:]] == ["NVIDIA", "Raspberry"]
    assert len(models(board)) == len(MODELS)
    board.select_option("#board", label="boats · 1 model (100 queries, 500 images)")
    assert models(board) == ["resnet18-boats@1.0.0"]
    choose(board, "Jetson")
    assert "jetson-orin-nano" in board.locator("#table tbody").inner_text()
    assert "mJ/image" in board.locator("#table thead").inner_text()
    assert board.locator("#board option").count() == 1


def test_columns_sort_by_number_best_first_and_then_the_other_way(board):
    p50 = numbers(column(board, "p50 ms"))
    assert p50 == sorted(p50)
    board.get_by_role("button", name="mAP %", exact=True).click()
    found = numbers(column(board, "mAP %"))
    assert found == sorted(found, reverse=True)
    assert board.locator("th[aria-sort=descending]").inner_text() == "mAP % ↓"
    board.get_by_role("button", name="mAP %", exact=True).click()
    assert numbers(column(board, "mAP %")) == sorted(found)
    board.get_by_role("button", name="images/s").click()
    assert (fast := numbers([text.replace(" ", "") for text in column(board, "images/s")])) == sorted(
        fast, reverse=True
    )


def test_a_model_opens_to_its_precisions_and_its_dense_network(board):
    opener = board.locator(".opener").first
    assert opener.get_attribute("aria-expanded") == "false"
    opener.click()
    assert board.locator(".opener").first.get_attribute("aria-expanded") == "true"
    assert board.locator("tr.sub").count() == 7
    assert "dense network" in board.locator("tr.sub").all_inner_texts()[-1]
    board.get_by_role("button", name="Show all precisions").click()
    assert board.locator("tr.sub").count() == 7 * len(MODELS)


def test_interval_n_gate_unsteady_and_pending_are_in_the_row(board):
    board.get_by_role("button", name="Show all precisions").click()
    text = board.locator("#table").inner_text()
    assert re.search(r"0\.26 0\.14…0\.40", text)
    assert "500" in column(board, "n")
    assert board.locator(".tag", has_text="unsteady").count() == 4
    assert board.locator(".tag", has_text="1 pending").count() == 4
    assert board.locator("td.within").count() > 10
    choose(board, "Raspberry")
    assert board.locator("td.void").first.inner_text() == "void"
    assert board.locator(".tag", has_text="void").count() == 4
    assert board.locator(".tag", has_text="withdrawn").count() == 0
    choose(board, "Jetson")
    over = board.locator("td.over")
    assert over.count() > 0
    assert board.locator(".tag", has_text="over the gate").count() == over.count()


def test_what_is_estimated_is_in_no_table_of_measurements(board):
    choose(board, "Jetson")
    assert "estimated" not in board.locator("#table").inner_text()
    listed = board.locator("#beside tbody tr", has_text="efficientnet-lite0-cars@1.0.0")
    assert [row.split("\t")[1:4] for row in listed.all_inner_texts()] == [
        ["jetson-orin-nano", "student int8", "estimated"],
        ["jetson-orin-nano", "–", "pending"],
    ]


def test_the_fastest_model_above_an_accuracy_takes_one_entry(board):
    """On the preselected device: an entry in one field, and a line above the plot is the answer."""
    board.get_by_label("mAP ≥, %, as a number").fill("66")
    answer = board.locator("#answer")
    told = "Fastest: convnext-atto-cars@1.0.0 in int8 on openvino-cpu, 1."
    assert answer.inner_text().startswith(told)
    assert models(board)[0] == "convnext-atto-cars@1.0.0"
    assert all(value >= 66 for value in numbers(column(board, "mAP %")))
    board.locator("#cost label", has_text="MB").click()
    assert answer.inner_text().startswith("Smallest: convnext-atto-cars@1.0.0")
    board.get_by_label("mAP ≥, %, as a number").fill("60")
    assert "withdrawn" in board.locator("#table tbody tr", has_text="repvgg-a0-cars").inner_text()
    assert not answer.inner_text().startswith("Smallest: repvgg-a0-cars")
    board.locator("#cost label", has_text="ms").click()
    assert answer.inner_text().startswith("Fastest: mobilenetv3-cars@1.0.0"), "the faster repvgg-a0-cars is withdrawn"
    board.get_by_label("mAP ≥, %, as a number").fill("99")
    assert answer.inner_text() == "Nothing that ships is within this budget."
    assert "No row is within the budget" in board.locator("#table").inner_text()


def test_what_somebody_else_reported_is_shown_and_never_the_answer(tmp_path, watch):
    sent = {"by": "Ada", "received_at": "2026-11-02T00:00:00+00:00", "file_sha256": "f" * 64}
    fast = release("fast", records=[measurement(1, 90, reported=sent)], recipe=RECIPE)
    sure = release("sure", records=[measurement(5, 80)], recipe=RECIPE)
    build(source(fast, sure), tmp_path / "site", False, Silent())
    page = watch(f"{(tmp_path / 'site').as_uri()}/index.html").page
    assert page.locator("#answer").inner_text().startswith("Fastest: sure@1.0.0")
    assert page.locator("tr .tag", has_text="reported").get_attribute("title") == "reported by Ada"
    assert "1 point on the front" in page.locator("#plot-note").inner_text()


def test_few_models_show_all_their_rows_at_once(board):
    board.select_option("#board", label="boats · 1 model (100 queries, 500 images)")
    assert board.locator("tr.sub").count() == 3
    board.get_by_role("button", name="One row per model").click()
    assert board.locator("tr.sub").count() == 0
    board.locator(".opener").click()
    assert board.locator("tr.sub").count() == 3


def test_the_figures_of_a_row_are_in_view_until_escape(board):
    board.locator(".figures").first.click()
    panel = board.locator("#selected")
    box = panel.bounding_box()
    assert box["y"] >= 0
    assert box["y"] + min(box["height"], 300) <= board.viewport_size["height"]
    assert board.locator("tr[aria-current]").count() == 1
    board.keyboard.press("Escape")
    assert not panel.is_visible()
    assert board.evaluate("document.activeElement.className") == "figures"


def test_columns_say_what_they_mean(board):
    board.get_by_text("What the columns mean").click()
    told = board.locator("#meaning-list").inner_text()
    for heading in board.locator("thead button").all():
        assert heading.inner_text().rstrip(" ↑↓") in told
        assert heading.get_attribute("title") in told


def test_intervals_lie_in_the_plot(board):
    ends = [
        float(text)
        for text in re.findall(r"M[\d.]+,([\d.]+)L", board.locator("#plot .interval").first.get_attribute("d"))
    ]
    bottom = float(re.search(r"0,([\d.]+)", board.locator("#plot .axis").first.get_attribute("transform"))[1])
    assert len(ends) > 20
    assert all(28 < end < bottom for end in ends)


def test_sliders_filter_table_and_plot_and_tell_the_equal_query(board):
    board.locator("#map-range").evaluate("one => { one.value = 100; one.dispatchEvent(new Event('input')); }")
    limit = float(board.locator("#map").input_value())
    assert all(value >= limit - 0.005 for value in numbers(column(board, "mAP %")))
    board.get_by_label("ms ≤, ms, as a number").fill("2")
    assert all(value <= 2 for value in numbers(column(board, "p50 ms")))
    assert board.locator("#plot .limit").count() == 2
    words = shlex.split(board.locator("#query").inner_text())
    assert words[:2] == ["zoo", "search"]
    assert words[2] == f'map >= {limit:g} and p50_ms <= 2 and device == "AMD EPYC"'
    assert words[3:] == ["--all-precisions", "--sort", "p50_ms"]
    board.locator("#precisions label", has_text="int8").click()
    board.get_by_label("only artifacts that ship").check()
    words = shlex.split(board.locator("#query").inner_text())
    assert 'precision == "int8"' in words[2]
    assert "--all-precisions" not in words
    board.get_by_role("button", name="Reset").click()
    assert len(models(board)) == len(MODELS)


def test_the_front_is_that_of_the_filtered_rows(board):
    before = board.locator("#plot .front").get_attribute("d").count("M")
    assert f"{before} points on the front" in board.locator("#plot-note").inner_text()
    board.locator("#precisions label", has_text="fp32").click()
    after = board.locator("#plot .front").get_attribute("d").count("M")
    assert after != before
    assert f"{after} points on the front" in board.locator("#plot-note").inner_text()


FIRST = """() => {
  const box = document.querySelector("#plot svg").getBoundingClientRect();
  const found = document.querySelector("#plot .front").getAttribute("d").match(/M([\\d.]+),([\\d.]+)/);
  return [box.x + Number(found[1]), box.y + Number(found[2]) + 4];
}"""


def test_hover_names_a_point_and_a_click_selects_its_row(board):
    x, y = board.evaluate(FIRST)
    board.mouse.move(x, y)
    tip = board.locator(".tip")
    assert tip.is_visible()
    assert "resnet10t-cars@1.0.0" in tip.inner_text()
    assert "ms" in tip.inner_text()
    board.mouse.click(x, y)
    chosen = board.locator("tr.chosen")
    assert "resnet10t-cars" in chosen.inner_text()
    assert "resnet10t-cars@1.0.0 int8 on openvino-cpu" in board.locator("#selected").inner_text()
    assert "whole call" in board.locator("#details").inner_text()
    board.wait_for_url(re.compile("row=resnet10t-cars"))


def test_the_axis_can_be_megabytes_and_energy(board):
    board.locator("#cost label", has_text="MB").click()
    assert "size on disk, MB" in board.locator("#plot svg").inner_html()
    board.wait_for_url(re.compile("cost=size_bytes"))
    choose(board, "Jetson")
    board.locator("#cost label", has_text="mJ").click()
    assert "energy, mJ per image" in board.locator("#plot svg").inner_html()


def test_the_url_holds_the_view(board, watch):
    choose(board, "Raspberry")
    board.get_by_label("mAP ≥, %, as a number").fill("60")
    board.get_by_role("button", name="MB", exact=True).click()
    board.get_by_label("Compare resnet50-cars@1.1.0").check()
    board.locator("#name").fill("resnet")
    board.locator("#columns summary").click()
    board.get_by_label("R1 %", exact=True).check()
    board.get_by_label("mAP float %").uncheck()
    board.wait_for_url(lambda url: "columns=" in url and "map_float" not in url)
    again = watch(board.url).page
    for element in ("#table", "#where", "#query", "#count", "#differences"):
        assert again.locator(element).inner_text() == board.locator(element).inner_text()
    assert "R1 %" in again.locator("#table thead").inner_text()
    assert "float" not in again.locator("#table thead").inner_text()
    assert again.locator("#map").input_value() == "60"
    again.evaluate("() => { location.hash = ''; }")
    again.wait_for_function("() => document.querySelector('#count').textContent.startsWith('12 models')")


@pytest.mark.parametrize(
    "hash_",
    [
        "device=no&board=%3Cb%3E&map=NaN&ms=x&sort=__proto__&columns=constructor,map&compare=a,b&cost=toString&row=%00",
        "%%%",
        "map=1e400&precision=,,",
    ],
)
def test_a_url_that_is_not_ours_gives_the_usual_view(hash_, shop, watch):
    page = watch(f"{shop.as_uri()}/index.html#{hash_}").page
    assert page.locator("#table tbody tr").count() == len(MODELS)


def test_embedded_there_is_no_page_around(shop, served, watch):
    page = watch(f"{served(shop)}/index.html?embed#map=60").page
    assert not page.locator("header.top").is_visible()
    assert not page.locator("footer").is_visible()
    assert page.locator("#table tbody tr").count() == 11
    whole = page.get_by_role("link", name="Open the whole page")
    assert whole.get_attribute("href") == "index.html#map=60"


def test_two_to_four_models_are_compared(board):
    for name in ("resnet18-cars", "regnety-004-cars", "mobilenetv3-cars", "resnet34-cars"):
        board.get_by_label(f"Compare {name}@1.0.0").check()
    assert board.get_by_label("Compare resnet10t-cars@1.0.0").is_disabled()
    text = board.locator("#compare").inner_text()
    assert "Each against resnet18-cars@1.0.0" in text
    for word in ("regression", "improvement", "unsure", "unchanged", "unsteady, after: other processes"):
        assert word in text
    board.get_by_role("button", name="Clear").click()
    assert not board.locator("#compare").is_visible()


def saved(page, name):
    with page.expect_download() as download:
        page.get_by_role("button", name=name, exact=True).click()
    return download.value.path().read_bytes()


def test_csv_and_json_hold_the_view(board):
    board.get_by_label("mAP ≥, %, as a number").fill("66")
    rows = list(csv.DictReader(io.StringIO(saved(board, "CSV").decode())))
    assert f"{len(rows)} of 96 rows" in board.locator("#count").inner_text()
    assert {row["device"] for row in rows} == {"AMD EPYC"}
    assert all(float(row["map"]) >= 66 for row in rows)
    told = json.loads(saved(board, "JSON"))
    assert [row["model"] for row in told["tables"][0]["rows"]] == [row["model"] for row in rows]
    assert set(told) == {"tables", "apart", "emulated", "estimated", "pending", "broken"}


def test_pictures_of_the_plot_stand_alone(board):
    svg = saved(board, "SVG").decode()
    assert 'xmlns="http://www.w3.org/2000/svg"' in svg
    assert "class=" not in svg
    assert re.search(r'fill="rgb\(11, 107, 117\)"', svg)
    assert "AMD EPYC (x86_64, 2 cores), CPU, 2 threads; cars · 12 models" in svg
    assert ">dense<" in svg
    picture = Image.open(io.BytesIO(saved(board, "PNG")))
    assert picture.width > 1000
    assert len(picture.convert("RGB").getcolors(1 << 20)) > 20


def test_copy_says_so(board):
    board.context.grant_permissions(["clipboard-read", "clipboard-write"])
    board.locator("#copy-query").click()
    board.wait_for_function("() => document.querySelector('#copy-query').textContent === 'Copied'")
    assert board.evaluate("navigator.clipboard.readText()") == board.locator("#query").inner_text()
