"""Documentation: generated parts are up to date, and everything named exists."""

import re
import shlex
from contextlib import suppress
from pathlib import Path

import click
import pytest
import tomllib
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import zoo
from zoo.catalogue import load_catalogue
from zoo.cli import main
from zoo.cli.exit_codes import MEANINGS
from zoo.cli.reference.pages import with_api, with_jetpacks, with_reference, with_settings, with_shapes, with_view

TOP = Path(__file__).parents[1]
DOCS = TOP / "docs"
README = (TOP / "README.md").read_text()
PAGES = [TOP / "README.md", *sorted(DOCS.rglob("*.md"))]
KILOBYTE = 1000


@pytest.mark.parametrize(
    ("name", "renew"),
    [
        ("api.md", with_api),
        ("command-line.md", with_reference),
        ("jetson.md", with_jetpacks),
        ("export.md", with_view),
        ("recipes.md", with_settings),
        ("scripts.md", with_shapes),
    ],
)
def test_generated_pages_are_up_to_date(name, renew):
    page = (DOCS / name).read_text()
    assert renew(page) == page, "run: make docs"


def test_the_api_page_has_all_that_import_zoo_offers():
    page = (DOCS / "api.md").read_text()
    assert re.findall(r"^## `zoo\.(\w+)`$", page, re.MULTILINE) == sorted(zoo.__all__)
    for name, found in vars(zoo.errors).items():
        if isinstance(found, type) and issubclass(found, Exception):
            assert f"| `{name}` | `{found.__base__.__name__}` |" in page


def test_the_exit_codes_are_those_in_use():
    page = (DOCS / "command-line.md").read_text()
    (line,) = re.findall(r"^Exit codes: (.*?)\n\n", page, re.MULTILINE | re.DOTALL)
    assert [int(code) for code in re.findall(r"\b(\d+)\s", line)] == [*MEANINGS]


def test_the_environment_variables_are_those_in_the_code():
    page = (DOCS / "environment.md").read_text()
    told = re.findall(r"^\| `(ZOO_\w+)` \|", page, re.MULTILINE)
    packages = ("zoo", "pipeline", "calibration", "targets")
    sources = [path.read_text() for top in packages for path in (TOP / top).rglob("*.py")]
    assert told == sorted({name for text in sources for name in re.findall(r"\bZOO_[A-Z_]+\b", text)})


def commands(page):
    """Command lines of zoo on a page, in blocks and in sentences; without what a reader fills in."""
    text = page.read_text()
    blocks = "".join(re.findall(r"```console\n(.*?)```", text, re.DOTALL)).splitlines()
    inline = re.findall(r"`(zoo [^`]+)`", " ".join(re.sub(r"```.*?```", "", text, flags=re.DOTALL).split()))
    lines = [*(line.removeprefix("$ ") for line in blocks), *inline]
    return [line for line in lines if re.match(r"zoo [a-z]", line) and "…" not in line]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(TOP).as_posix())
def test_every_command_has_options_that_exist(page):
    for line in commands(page):
        _, name, *words = shlex.split(line.split(" |")[0], comments=True)
        command = main.get_command(click.Context(main), name)
        assert command, line
        if isinstance(command, click.Group) and words and not words[0].startswith("-"):
            command = command.commands[words.pop(0)]
        with suppress(click.BadOptionUsage):  # a sentence about an option leaves out its value
            command.make_parser(click.Context(command)).parse_args(words)


def test_readme_starts_with_the_first_minute_and_has_the_two_commands():
    first, *_ = re.findall(r"```console\n(.*?)```", README, re.DOTALL)
    assert first.startswith("pip install -e '.[openvino]' ")
    assert f"edge_model_zoo-{zoo.__version__}-py3-none-any.whl" in README
    assert re.findall(r"^make (\w+)", README, re.MULTILINE) == ["demo", "test"]
    assert README.index("zoo pull") < README.index("make demo") < README.index("### ")
    assert (TOP / ".ci" / "run").read_text().splitlines()[-3:] == ["make test", "make demo", "make site"]


def test_readme_is_short_and_its_pictures_are_small():
    assert len(README.splitlines()) < 180
    pictures = [DOCS / "images" / name for name in re.findall(r"!\[.+?\]\(docs/images/(.+?)\)", README)]
    assert len(pictures) == 3
    for picture in (DOCS / "images").iterdir():
        assert picture.stat().st_size < 60 * KILOBYTE


@pytest.mark.parametrize("page", ["README.md", "docs/own-data.md", "docs/recipes.md", "docs/targets.md"])
def test_catalogues_on_pages_are_right(page, tmp_path, monkeypatch):
    own = "depot: {path: depot, pattern: '(?P<identity>a)(?P<camera>b)', train: {}, query: {}, gallery: {}}"
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ZOO_CATALOGUE", raising=False)
    examples = re.findall(r"```yaml\n(.*?)```", (TOP / page).read_text(), re.DOTALL)
    assert examples
    for example in examples:
        named = yaml.safe_load(example)
        if "datasets" not in named:
            example = f"datasets:\n  {own}\n{example}"
        (tmp_path / "zoo.yaml").write_text(example)
        catalogue = load_catalogue()
        assert not catalogue.faulty
        for name in {*named.get("models", ())} - {*catalogue.starting}:  # those need the release
            assert catalogue.recipe(name).distill.epochs == 60


def test_every_recipe_that_is_listed_exists_and_the_other_way_round():
    rows = re.findall(r"^\| (`(?:resnet|efficientnet|study).*?) \|", (DOCS / "recipes.md").read_text(), re.MULTILINE)
    assert set(re.findall(r"`(.*?)`", " ".join(rows))) == set(load_catalogue().models)


def test_every_target_that_is_listed_exists_and_the_other_way_round():
    page = (DOCS / "targets.md").read_text()
    page = page[: page.index("\n## ")]
    rows = re.findall(r"^\| (`[a-z0-9-]+`.*?) \|", page, re.MULTILINE)
    catalogue = load_catalogue()
    assert set(re.findall(r"`(.*?)`", " ".join(rows))) == {*catalogue.targets, *catalogue.aliases}


def test_the_changelog_and_the_citation_name_the_version():
    versions = re.findall(r"^## (.+)$", (TOP / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert versions[0] == "Unreleased"
    version, date = re.fullmatch(r"(\S+) \((\d{4}-\d\d-\d\d)\)", versions[1]).groups()
    citation = yaml.safe_load((TOP / "CITATION.cff").read_text())
    assert (version, date) == (citation["version"], str(citation["date-released"]))
    assert version == zoo.__version__.partition(".dev")[0]


def test_the_architecture_names_every_package_and_modules_that_exist():
    text = (TOP / "docs" / "architecture.md").read_text()
    named = set(re.findall(r"^\| `([a-z/_]+)` \|", text, re.MULTILINE))
    tops = ("zoo", "pipeline", "targets", "calibration")
    packages = {path.parent.relative_to(TOP).as_posix() for top in tops for path in (TOP / top).glob("*/__init__.py")}
    assert named == {*packages, "targets", "calibration"}
    for path in re.findall(r"`((?:zoo|pipeline|targets|tests)/[\w/]+\.py)`", text):
        assert (TOP / path).exists(), path
    for dotted in re.findall(r"`((?:zoo|pipeline|targets)(?:\.\w+){2,})`", text):  # a module, or something in one
        path = TOP / dotted.replace(".", "/")
        assert path.is_dir() or path.with_suffix(".py").exists() or path.parent.with_suffix(".py").exists(), dotted


def test_the_lock_is_within_the_bounds_of_the_project():
    project = tomllib.loads((TOP / "pyproject.toml").read_text())["project"]
    locked_extras = re.search(r"^LOCKED := (.*)$", (TOP / "Makefile").read_text(), re.MULTILINE)[1].split()
    wanted = [*project["dependencies"], *(r for e in locked_extras for r in project["optional-dependencies"][e])]
    locked = [Requirement(line) for line in (TOP / "requirements.lock").read_text().splitlines()]
    for requirement in map(Requirement, wanted):
        found = [row for row in locked if canonicalize_name(row.name) == canonicalize_name(requirement.name)]
        assert found, requirement
        for row in found:
            assert requirement.specifier.contains(str(row.specifier).removeprefix("==")), f"{row} against {requirement}"


def test_no_placeholder_is_left():
    assert "<!-- demo table -->" not in README
