"""Licenses: what is stated, and what is not."""

import pytest

from tests.zoo.records import a_manifest
from zoo.documents.licenses import licenses_text, spdx_ids


def sections(**licenses):
    text = licenses_text(a_manifest(licenses={"code": "MIT", "weights": "MIT", "data": "MIT"} | licenses))
    return {part.split("\n", 1)[0]: part for part in text.split("## ")[1:]}


def test_code_weights_and_data_have_a_section_each():
    found = sections(code="Apache-2.0", weights="CC-BY-4.0", data="CC0-1.0")
    assert list(found) == ["Code", "Weights", "Data"]
    assert "https://spdx.org/licenses/Apache-2.0.html" in found["Code"]
    assert "https://spdx.org/licenses/CC-BY-4.0.html" in found["Weights"]
    assert "https://spdx.org/licenses/CC0-1.0.html" in found["Data"]
    assert "Not stated" not in "".join(found.values())


@pytest.mark.parametrize("license", ["not stated", "", " "])
def test_what_is_not_stated_is_a_warning(license):
    found = sections(weights=license)
    assert "**Not stated.**" in found["Weights"]
    assert "**Not stated.**" not in found["Code"] + found["Data"]


def test_free_text_is_unchanged_and_without_a_link():
    found = sections(data="research only | by <request>")["Data"]
    assert r"research only \| by &lt;request>" in found
    assert "spdx.org" not in found


@pytest.mark.parametrize(
    ("license", "ids"),
    [
        ("mit", ["MIT"]),
        ("MIT OR (Apache-2.0 AND GPL-2.0-only)", ["MIT", "Apache-2.0", "GPL-2.0-only"]),
        ("GPL-2.0-or-later WITH Classpath-exception-2.0", ["GPL-2.0-or-later", "Classpath-exception-2.0"]),
        ("MIT for research only", []),
        ("GPL-2.0+ OR MIT", ["GPL-2.0+", "MIT"]),
        ("LicenseRef-mine", []),
    ],
)
def test_spdx_identifiers_are_found_in_expressions_and_not_in_words(license, ids):
    assert spdx_ids(license) == ids
