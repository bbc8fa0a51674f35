"""Texts of error messages."""

import pytest
import yaml

from targets.errors import as_written


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"macs": 0.15}, "{macs: 0.15}"),
        ({"target": "openvino-cpu", "on": True, 7: [None]}, '{target: openvino-cpu, "on": true, 7: [null]}'),
        (["a", (1, 2.5), []], "[a, [1, 2.5], []]"),
        ("timm/resnet18.a1_in1k", "timm/resnet18.a1_in1k"),
        ("AMD EPYC 7R13 (2 cores)", "AMD EPYC 7R13 (2 cores)"),
        ("1.0.0", '"1.0.0"'),
        ("null", '"null"'),
        ("1.0", '"1.0"'),
        ("0x1F", '"0x1F"'),
        ("0b101", '"0b101"'),
        (1e-05, "1.0e-05"),
        (2.5e-07, "2.5e-07"),
        (float("-inf"), "-.inf"),
        ("2026-11-27", '"2026-11-27"'),
        ("12:30", '"12:30"'),
        ("", '""'),
        ("a: b", '"a: b"'),
        ("a, b", '"a, b"'),
        ("- a", '"- a"'),
        ("Zoë's", '"Zoë\'s"'),
        ("Zoë", "Zoë"),
    ],
)
def test_a_value_is_shown_as_a_catalogue_has_it(value, text):
    assert as_written(value) == text
    assert as_written({"params": None, "macs": value}) == f"{{macs: {text}}}"
    back = yaml.safe_load(as_written(value))
    assert back == (["a", [1, 2.5], []] if isinstance(value, list) else value)
