"""The page's scripts against `zoo.tables`: the same texts, fronts, differences, queries and files."""

import csv
import io
import itertools
import random
import shlex

import pytest

from pipeline.progress import Silent
from tests.zoo.records import CONDITIONS, dense, latency, measurement, ratio, release
from tests.zoo.site.conftest import watching
from tests.zoo.site.sources import source
from zoo.cli.compare import LATENCY_PERCENT, MAP_POINTS
from zoo.site.build import build
from zoo.tables import compare
from zoo.tables.columns import COLUMNS, Number, shown
from zoo.tables.comparison import KEYS
from zoo.tables.diff import BUCKETS, diff
from zoo.tables.formats import comma_separated
from zoo.tables.pareto import drawable, front
from zoo.tables.search import found, read_question

ROWS = "const rows = Zoo.rows(zooData.tables[0]);"
FRONT = f"""([places, cost]) => {{
  {ROWS}
  return Zoo.front(places.map((at) => rows[at]), cost).map((row) => row.place);
}}"""
DRAWABLE = f"([places, cost]) => {{ {ROWS} return places.map((at) => Zoo.drawable(rows[at], cost)); }}"
DIFFERENCES = f"""(names) => {{
  {ROWS}
  return Zoo.differences(...names.map((name) => rows.filter((row) => row.model === name)));
}}"""
COSTS = ("p50_ms", "size_bytes", "mj_per_image")


def some_releases(seed: int = 4, count: int = 12) -> list:
    """Releases with all that tells rows apart: ties, void, disturbed and unsteady runs, no accuracy, several runs."""
    noise, made = random.Random(seed), []
    for number in range(count):
        records = [dense(latency=[latency(1, 15), latency(8, 90)])]
        for target, precision, run in itertools.product(
            ("openvino-cpu", "onnxruntime-cpu"), ("fp32", "fp16", "int8"), range(2)
        ):
            if noise.random() < 0.2:
                continue
            p50, low = noise.choice((2.0, 2.125, 2.1, 4.0, 5.05)), noise.uniform(2, 4)
            state = {
                "throttled": noise.choice((None, None, None, "CPU too hot")),
                "other_work_cores": noise.choice((None, None, 1.5)),
            }
            timed = [latency(1, p50, steady=noise.random() > 0.2), latency(8, 3 * p50, steady=noise.random() > 0.2)]
            one = measurement(
                1, noise.choice((78.0, 78.0, 79.125, 80.0)), target=target, precision=precision,
                ships=precision == "int8", latency=timed, conditions=CONDITIONS | state, run=f"{target}-{run}",
                measured_at=f"2026-11-0{1 + run}T00:00:00+00:00",
                ratios=[ratio(low, low + 0.5), ratio(low, low + 0.4, 8)] if noise.random() > 0.3 else [],
                size_bytes=noise.choice((10**6, 2 * 10**6, 12_345_678)),
            )  # fmt: skip
            records.append(
                one.model_copy(update={"accuracy": None, "agreement": None, "data": None})
                if noise.random() < 0.1
                else one
            )
        parameters = (4_000_000, noise.choice((1_000_000, 1_500_000)))
        made.append(release(f"m{number}", records=records, parameters=parameters))
    return made


@pytest.fixture(scope="module")
def releases():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("targets.measuring.conditions.BUSY_CORES", 0.1)
        yield some_releases()


@pytest.fixture(scope="module")
def site(releases, tmp_path_factory):
    out = tmp_path_factory.mktemp("agreement") / "site"
    build(source(*releases), out, False, Silent())
    return out


@pytest.fixture(scope="module")
def page(site, chromium):
    with watching(chromium, f"{site.as_uri()}/index.html") as watched:
        yield watched.page


def test_cells_have_the_texts_of_the_terminal(releases, page):
    (group,) = compare(releases).groups
    for key in (key for key in KEYS if isinstance(COLUMNS[key].show, Number)):
        told = page.evaluate("(key) => Zoo.rows(zooData.tables[0]).map((row) => Zoo.shown(row, key))", key)
        assert told == [shown(row, key) for row in group.rows], key


def test_numbers_are_rounded_as_in_python(page):
    noise = random.Random(5)
    values = (
        [noise.choice((1, -1)) * noise.lognormvariate(1, 4) for _ in range(500)]
        + [n / 8 for n in range(-40, 200)]
        + [0.0, 1234567.5, 8.345, 1.005, 2.675]
    )
    for digits in range(4):
        told = page.evaluate("([values, digits]) => values.map((one) => Zoo.number(one, digits))", [values, digits])
        assert told == [Number(digits, 1.0)(value) for value in values]


@pytest.mark.parametrize("cost", COSTS)
def test_the_front_is_that_of_python_under_any_filter(cost, releases, page):
    (group,) = compare(releases).groups
    noise = random.Random(6)
    for _ in range(10):
        places = sorted(noise.sample(range(len(group.rows)), len(group.rows) * 2 // 3))
        told = page.evaluate(
            FRONT,
            [places, cost],
        )
        expected = front([group.rows[at] for at in places], cost)
        assert [group.rows[at] for at in told] == expected
        drawn = page.evaluate(
            DRAWABLE,
            [places, cost],
        )
        assert drawn == [drawable(group.rows[at], cost) for at in places]


CHEAPEST = f"([places, cost]) => {{ {ROWS} return Zoo.cheapest(places.map((at) => rows[at]), cost)?.place ?? null; }}"


@pytest.mark.parametrize("cost", COSTS)
def test_the_cheapest_row_ships_and_counts(cost, releases, page):
    (group,) = compare(releases).groups
    noise, found = random.Random(7), 0
    for _ in range(10):
        places = noise.sample(range(len(group.rows)), len(group.rows) // 4)
        rows = [group.rows[at] for at in places]
        rivals = [row for row in rows if row["ships"] and row[cost] is not None]
        rivals = [row for row in rivals if row["doubt"] is None or not COLUMNS[cost].timed]
        told = page.evaluate(CHEAPEST, [places, cost])
        best = min(rivals, key=lambda row: (row[cost], -(row["map"] or 0)), default=None)
        keys = (cost, "map")
        assert [told is not None and group.rows[told][key] for key in keys] == [
            best is not None and best[key] for key in keys
        ]
        found += told is not None
    assert found == (0 if cost == "mj_per_image" else 10)


def test_differences_have_the_buckets_of_zoo_diff(releases, page):
    assert page.evaluate("[Zoo.TOLERANCE.points, Zoo.TOLERANCE.percent, ...Zoo.BUCKETS]") == [
        MAP_POINTS,
        LATENCY_PERCENT,
        *BUCKETS,
    ]
    seen = set()
    for before, after in itertools.permutations(releases[:7], 2):
        names = [before.manifest.label, after.manifest.label]
        told = page.evaluate(
            DIFFERENCES,
            names,
        )
        expected = diff(before, after, MAP_POINTS, LATENCY_PERCENT).changes
        keys = ("target", "precision", "figure", "before", "after", "change", "bucket", "why")
        assert [tuple(one[key] for key in keys) for one in told] == [
            tuple(getattr(one, key) for key in keys) for one in expected
        ]
        seen |= {(one.bucket, bool(one.why), one.figure) for one in expected}
    assert len(seen) > 8


@pytest.mark.parametrize(
    "view",
    [
        "map=78.5&ms=4.5", "mb=1.5", "map=78.5&precision=fp16,int8&ships=1", "target=openvino-cpu&ms=2.1&sort=map",
        "precision=fp32&sort=-size_bytes", "",
    ],
)  # fmt: skip
def test_the_command_finds_what_the_page_shows(view, releases, page):
    page.goto(page.url.split("#")[0] + "#" + view)
    page.reload()
    words = shlex.split(page.locator("#query").inner_text())
    assert words[:2] == ["zoo", "search"]
    sort = words[words.index("--sort") + 1] if "--sort" in words else None
    matches = found(compare(releases), read_question(words[2]), sort, "--all-precisions" in words)
    told = page.evaluate(
        "() => Zoo.csv(zooData.tables[0], Zoo.matching(Zoo.rows(zooData.tables[0]), READ))".replace("READ", STATE)
    )
    rows = list(csv.DictReader(io.StringIO(told)))
    expected = list(csv.DictReader(io.StringIO(comma_separated(matches.comparison))))
    assert f"{len(expected)} of" in page.locator("#count").inner_text() or len(expected) == len(compare(releases).rows)
    assert sorted(map(_line, rows)) == sorted(map(_line, expected))


# the filter of a view, as the page reads it from the URL
STATE = """(() => {
  const told = new URLSearchParams(location.hash.slice(1));
  const number = (key) => (told.has(key) ? Number(told.get(key)) : null);
  const list = (key) => (told.get(key) ?? "").split(",").filter(Boolean);
  return { map: number("map"), ms: number("ms"), mb: number("mb"), precision: list("precision"), target: list("target"),
    ships: told.get("ships") === "1", name: "" };
})()"""


def _line(row):
    def plain(value):
        try:
            return str(float(value))
        except ValueError:
            return value

    return tuple(plain(row[key]) for key in KEYS)
