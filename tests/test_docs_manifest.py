"""docs/manifest.md is complete: every field with its reason, and examples that match today's builds."""

import json
import re
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
from pydantic import ValidationError

from pipeline.recipe import Recipe
from tests.examples import DOCS, LONGEST, examples
from zoo.cli.reference.fields import in_words, parts
from zoo.cli.reference.pages import with_fields
from zoo.release.manifest import Manifest, manifest_schema
from zoo.release.measurements import Measured, from_bytes, measurement_schema
from zoo.release.record import File

PAGE = (DOCS / "manifest.md").read_text()
EXAMPLES = {name: (DOCS / name).read_text() for name in ("manifest.example.json", "measurement.example.json")}
MANIFEST, MEASUREMENT = map(json.loads, EXAMPLES.values())
PARTS = {**parts(manifest_schema()), **parts(measurement_schema())}
# Objects whose keys are names of this build or this machine, not fields.
NAMED = ("files", "inputs", "libraries", "power_w", "sensitivities", "temperatures_c", "throttle_counts")
RENEW = "run: python -m tests.examples, then make docs"


def section(heading):
    return re.search(rf"^#+ {heading}\n(.*?)(?=^#|\Z)", PAGE, re.MULTILINE | re.DOTALL)[1]


def test_the_page_is_up_to_date():
    assert with_fields(PAGE, *EXAMPLES.values()) == PAGE, "run: make docs"


@pytest.mark.parametrize("name", PARTS)
def test_every_field_is_described_in_the_schema_and_on_the_page(name):
    rows = dict(re.findall(r"^\| `(\w+)` \| .+? \| (.*) \|$", section(name), re.MULTILINE))
    told = {field: schema.get("description", "") for field, schema in PARTS[name]["properties"].items()}
    assert rows == {field: " ".join(said.split()) for field, said in told.items()}
    for field, said in rows.items():
        assert len(said) > 10, f"{name}.{field} has no description: say what it is, its unit, and why it is there"


def test_links_lead_somewhere():
    headings = [
        re.sub(r"[^\w -]", "", line).strip().casefold().replace(" ", "-")
        for line in re.findall(r"^#+ (.*)$", PAGE, re.MULTILINE)
    ]
    assert len({*headings}) == len(headings)
    for link in re.findall(r"\]\(([^)]+)\)", PAGE):
        assert link.removeprefix("#") in headings if link.startswith("#") else (DOCS / link).exists(), link


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"$ref": "#/$defs/File"}, "[File](#file)"),
        ({"type": "integer", "minimum": 0}, "integer, at least 0"),
        ({"anyOf": [{"type": "number"}, {"type": "null"}]}, "number or null"),
        ({"anyOf": [{"type": "array", "items": {"type": "string"}}, {"type": "null"}]}, "list of text, or null"),
        ({"enum": ["a", "b", "c"]}, '`"a"`, `"b"` or `"c"`'),
        ({"type": "string", "pattern": "^[0-9a-f]{64}$"}, "64 hexadecimal digits"),
    ],
)
def test_types_are_in_words(schema, words):
    assert in_words(schema) == words


def fields_of(names):
    """Fields at the end of a path through the parts; None if there is no such path."""
    reached = [part for part in PARTS.values() if names[0] in part["properties"]]
    for name in names[1:]:
        linked = [re.findall(r"\[(\w+)\]", in_words(part["properties"][names[0]])) for part in reached]
        reached = [PARTS[one] for links in linked for one in links if name in PARTS[one]["properties"]]
        names = [name]
    return reached


def test_questions_are_answered_by_fields_that_exist():
    answers = re.findall(r"^\| .*\? \| (.*) \|$", section("Which field answers what"), re.MULTILINE)
    named = {field for answer in answers for field in re.findall(r"`([\w.]+)`", answer)}
    assert len(named) > 20
    for field in named - {"content_sha256", "pending", "estimated", "emulated", "broken"}:
        assert fields_of(field.split(".")), field
    assert not fields_of(["artifacts", "nothing"])


def test_the_examples_are_complete_and_valid():
    jsonschema.validate(MANIFEST, json.loads((DOCS / "manifest.schema.json").read_text()))
    jsonschema.validate(MEASUREMENT, json.loads((DOCS / "measurement.schema.json").read_text()))
    assert Manifest.model_validate(MANIFEST).model_dump(mode="json") == MANIFEST, RENEW
    assert Recipe.model_validate(MANIFEST["recipe"]).model_dump(mode="json") == MANIFEST["recipe"], RENEW
    record = from_bytes(EXAMPLES["measurement.example.json"].encode(), "example")
    assert isinstance(record, Measured)
    assert record.model_dump(mode="json") == MEASUREMENT, RENEW


def shape(value, at=""):
    """Where in a JSON document objects are, and which keys they have."""
    found, inner = {}, {}
    if isinstance(value, dict) and at.rpartition(".")[2] not in NAMED:
        found, inner = {at: {tuple(sorted(value))}}, {f"{at}.{key}": [one] for key, one in value.items()}
    if isinstance(value, list):
        inner = {f"{at}[]": value}
    for place, values in inner.items():
        for one in values:
            for deeper, keys in shape(one, place).items():
                found.setdefault(deeper, set()).update(keys)
    return found


def test_the_examples_have_the_shape_of_what_a_build_writes(finished):
    for name, written in examples(finished).items():
        ours, fresh = shape(json.loads(EXAMPLES[name])), shape(written)
        assert ours.keys() ^ fresh.keys() <= {".latency[].energy"}, RENEW  # some machines have a meter
        for place in ours.keys() & fresh.keys():
            assert ours[place] == fresh[place], f"{place}: {RENEW}"
        assert len(ours) > 5


def test_schema_versions_are_those_in_use():
    told = re.search(r"`schema_version` is (\d+) in a manifest, (\d+) in a measurement", PAGE)
    assert told.groups() == (str(MANIFEST["schema_version"]), str(MEASUREMENT["schema_version"]))


def test_paths_are_refused_as_the_page_says():
    page = section("Names and digests")
    refused = [f"a{letter}b" for letter in re.search(r"no `(\\ .*?)`", page)[1].split()]
    assert len(refused) == 8
    refused += re.findall(r"`([\w.]+)`", re.search(r"not (`.*?);", page, re.DOTALL)[1])
    for path in [*refused, "../a", "/a", "a\0b", "a" * 201, "/".join(["a" * 100] * 3)]:
        with pytest.raises(ValidationError):
            File(path=path, size_bytes=0, sha256="0" * 64)
    assert File(path="a" * 200, size_bytes=0, sha256="0" * 64)


def texts(value):
    if isinstance(value, dict | list):
        inner = value.values() if isinstance(value, dict) else value
        return [text for one in inner for text in texts(one)]
    return [value] if isinstance(value, str) else []


def test_no_folder_of_a_machine_is_in_an_example():
    for text in texts([MANIFEST, MEASUREMENT]):
        assert not re.search(r"(^|[\s=])(/|~|[A-Za-z]:\\)", text), text
        assert Path.home().name not in text.split("/")


def test_lists_are_as_short_as_the_page_says():
    assert f"Of lists with more than {['no', 'one', 'two', 'three'][LONGEST]} items" in " ".join(PAGE.split())
    assert max(map(len, [MANIFEST["stages"], MANIFEST["artifacts"], MANIFEST["calibrations"][0]["images"]])) <= LONGEST


def test_the_snippet_computes_the_content_digest(finished):
    (snippet,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    folder = finished.home / "releases" / "tiny" / "1.0.0"
    told = subprocess.run([sys.executable, "-c", snippet], cwd=folder, capture_output=True, text=True, check=True)
    manifest = Manifest.model_validate_json((folder / "manifest.json").read_bytes())
    assert told.stdout.strip() == manifest.content_sha256
