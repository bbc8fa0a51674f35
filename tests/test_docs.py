"""Documentation: generated parts are up to date, and everything named exists."""

import re
from pathlib import Path

import tomllib
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from zoo.catalogue import load_catalogue
from zoo.cli.exit_codes import MEANINGS
from zoo.cli.reference.pages import schemas, with_reference, with_shapes

TOP = Path(__file__).parents[1]
README = (TOP / "README.md").read_text()
SCRIPTS = (TOP / "docs" / "scripts.md").read_text()


def test_the_command_line_reference_is_what_help_says():
    assert with_reference(README) == README, "run: make docs"


def test_output_for_scripts_is_documented():
    assert with_shapes(SCRIPTS) == SCRIPTS, "run: make docs"
    (line,) = re.findall(r"^Exit codes: (.*?)\n\n", README, re.MULTILINE | re.DOTALL)
    assert [int(code) for code in re.findall(r"\b(\d+) ", line)] == [*MEANINGS]


def test_the_published_schemas_are_those_in_use():
    for name, text in schemas().items():
        assert (TOP / "docs" / name).read_text() == text, "run: make docs"


def test_readme_starts_with_the_two_commands():
    assert re.findall(r"^make (\w+)", README, re.MULTILINE) == ["demo", "test"]
    assert README.index("make demo") < README.index("## ")
    assert (TOP / ".ci" / "run").read_text().splitlines()[-2:] == ["make test", "make demo"]


def test_the_recipe_in_readme_is_right(tmp_path, monkeypatch):
    (example,) = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)
    (tmp_path / "zoo.yaml").write_text(example)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ZOO_CATALOGUE", raising=False)
    assert load_catalogue().recipe("resnet50-depot").distill.epochs == 60


def test_every_recipe_that_readme_names_exists_and_the_other_way_round():
    rows = re.findall(r"^\| (`(?:resnet|study).*?) \|", README, re.MULTILINE)
    assert set(re.findall(r"`(.*?)`", " ".join(rows))) == set(load_catalogue().models)


def test_paths_in_readme_exist():
    for path in re.findall(r"\]\(((?!http)[^)]+)\)|`(bench/\S+?|targets/\S+?\.py)`", README):
        assert (TOP / "".join(path)).exists()


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
