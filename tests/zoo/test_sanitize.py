"""Untrusted input is shown without side effects."""

import json

import pytest

from tests.zoo.records import ACCURACY, costs, manifest_values
from tests.zoo.registry.samples import files_of, measured, values_over
from zoo.errors import ManifestError
from zoo.release.manifest import parse_manifest
from zoo.release.measurements import from_bytes, to_bytes
from zoo.sanitize import one_line, parse_json, printable

REST = manifest_values()["compression"]
STEERING = "\x1b]0;mine\x07\x1b[2J\x9b2J\u202e"


def parsed(**changes):
    values = values_over(files_of()) | changes
    return parse_manifest(json.dumps(values).encode(), "of tiny", "Tell its keeper.")


def test_control_characters_do_not_reach_the_terminal():
    assert printable(f"a{STEERING}\nb") == "a?]0;mine??[2J?2J?\nb"
    assert one_line("a\n  b\tc ") == "a b c"
    assert parsed(description=f"cars{STEERING}").description.isprintable()
    with pytest.raises(ManifestError) as caught:
        parsed(**{f"extra{STEERING}": 1})
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"description": "x" * 20_000}, "a text has 20000 characters"),
        ({"recipe": {"seed": 10**400}}, "an integer has more than 53 bits"),
        ({"recipe": json.loads("[" * 100 + "]" * 100)}, "more than 32 levels of nesting"),
        ({"version": "01.0.0"}, "version: "),
        ({"version": "١.٠.٠"}, "version: "),
        ({"version": f"1.0.{'9' * 300}"}, "version: "),
        ({"name": "nul"}, "name: "),
        ({"accuracy": dict.fromkeys(("teacher", "dense_student", "student"), ACCURACY | {"map": "x"})}, "accuracy"),
        ({"compression": REST | {"before": costs(1000) | {"macs": 0}}}, "compression.before.macs"),
    ],
)  # fmt: skip
def test_implausible_values_are_refused_in_one_line(changes, told):
    with pytest.raises(ManifestError, match="of tiny is .*Tell its keeper") as caught:
        parsed(**changes)
    assert told in str(caught.value)


@pytest.mark.parametrize("pair", [("é.bin", "e\u0301.bin"), ("a.bin", "A.BIN")])
def test_names_that_are_equal_on_some_system_are_refused(pair):
    files = {f"x/{name}": b"1" for name in pair}
    with pytest.raises(ManifestError, match="a name occurs twice"):
        parse_manifest(json.dumps(values_over(files)).encode(), "of tiny", "")


def test_twenty_thousand_names_are_compared_and_read():
    files = {f"x/{number}": b"" for number in range(20_000)}
    assert len(parse_manifest(json.dumps(values_over(files)).encode(), "", "").artifacts) == 20_000


@pytest.mark.parametrize("changes", [{"batch": 0}, {"calls": 0}, {"p50_ms": 0.0}, {"images_per_second": -1.0}])
def test_invalid_times_are_refused(changes):
    values = json.loads(to_bytes(measured()))
    values["latency"][0] |= changes
    with pytest.raises(ManifestError, match="measurement here is not valid: .*ms are not valid"):
        from_bytes(json.dumps(values).encode(), "here")


@pytest.mark.parametrize("content", ["[" * 100_000, '{"a": ' * 5000, "nothing", '"\\ud800'])
def test_invalid_json_is_a_clear_error(content):
    with pytest.raises(ValueError, match="."):
        parse_json(content)
