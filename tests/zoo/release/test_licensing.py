"""Which releases fit the licenses that a user accepts, and how the others are refused."""

import pytest

from pipeline.progress import Silent
from tests.conftest import Workshop
from tests.zoo.records import a_manifest, foreign_values, keep, release
from tests.zoo.registry.samples import put_release
from zoo.errors import LicenseError
from zoo.home import Home
from zoo.registry.places.by_url import open_place
from zoo.registry.publish import publish
from zoo.release.licensing import accepted, unstated_line

FREE = "CC0-1.0"


def objection(asked, weights="Apache-2.0", data=FREE):
    return accepted([asked]).objection(weights, data)


@pytest.mark.parametrize(
    ("weights", "asked"),
    [
        ("Apache-2.0", "apache-2.0"),
        ("apache-2.0", "mit, Apache-2.0"),
        ("MIT OR GPL-3.0-only", "mit"),
        ("MIT AND CC-BY-4.0", "mit,cc-by-4.0"),
        ("MIT AND (GPL-3.0-only OR Apache-2.0)", "mit,apache-2.0"),
        ("GPL-2.0-or-later", "gpl-2.0-only"),
        ("GPL-2.0-only WITH Classpath-exception-2.0", "gpl-2.0-only"),
    ],
)
def test_weights_fit_if_accepted_licenses_satisfy_their_expression(weights, asked):
    assert objection(asked, weights) is None


@pytest.mark.parametrize(
    ("weights", "why"),
    [
        ("GPL-3.0-only", "its weights are under GPL-3.0-only"),
        ("Apache-2.0 AND CC-BY-NC-4.0", "its weights are under Apache-2.0 AND CC-BY-NC-4.0"),
        ("GPL-2.0-only WITH Classpath-exception-2.0", "its weights are under GPL-2.0-only WITH Classpath"),
        ("not stated", "the license of its weights is not stated"),
        (" ", "the license of its weights is not stated"),
        ("research only", "its weights are under 'research only', which is no SPDX expression"),
        ("LicenseRef-mine", "its weights are under 'LicenseRef-mine', which is no SPDX expression"),
        ("Apache-2.0 for\nfriends", "which is no SPDX expression"),
    ],
)
def test_other_weights_are_refused_with_the_reason(weights, why):
    assert why in objection("apache-2.0", weights)
    assert "\n" not in objection("apache-2.0", weights)


@pytest.mark.parametrize("data", ["CC0-1.0", "MIT", "CC-BY-4.0", "ODbL-1.0", "CC-BY-NC-4.0 OR MIT"])
def test_data_may_have_any_license_that_allows_every_purpose(data):
    assert objection("apache-2.0", data=data) is None


@pytest.mark.parametrize(
    ("data", "why"),
    [
        ("CC-BY-NC-4.0", "its training images are under CC-BY-NC-4.0, which restricts use"),
        ("CC-BY-ND-4.0 AND MIT", "which restricts use"),
        ("non-commercial research only, by agreement", "which is no SPDX expression"),
        ("not stated", "the license of its training images is not stated"),
    ],
)
def test_data_that_restrict_use_are_refused_unless_their_license_is_accepted(data, why):
    assert why in objection("apache-2.0", data=data)
    assert objection("apache-2.0,cc-by-nc-4.0", data="CC-BY-NC-4.0") is None


@pytest.mark.parametrize("word", ["apache", "MIT OR GPL-3.0-only", "", "not stated", "Classpath-exception-2.0"])
def test_what_is_no_license_of_the_list_is_refused(word):
    with pytest.raises(LicenseError, match=r"is no license of SPDX's list\..* Write identifiers with commas"):
        accepted([f"mit,{word}"])


def test_a_misspelt_license_is_corrected():
    with pytest.raises(LicenseError, match="Did you mean 'apache-2.0'"):
        accepted(["apache-2"])


LICENSES = {"code": "Apache-2.0", "weights": "not stated", "data": "research only"}


@pytest.fixture
def shop(tmp_path):
    """Two releases are here and in a registry: `free`, and `bound`, whose licenses fit nothing."""
    shop = Workshop(tmp_path / "shop")
    shop.root.mkdir()
    shop.catalogue.write_text(f"registry: {{url: '{tmp_path / 'registry'}'}}\n")
    there = Home(tmp_path / "there")
    free = put_release(there, "free", files={"graph/model.onnx": b"free"})
    bound = put_release(there, "bound", files={"graph/model.onnx": b"bound"}, licenses=LICENSES)
    for one in (free, bound):
        publish(one, open_place(str(tmp_path / "registry")), None, Silent())
    return shop


def test_a_release_that_does_not_fit_is_not_pulled(shop):
    said = shop.refused("pull", "bound", "--license", "apache-2.0")
    assert said.startswith(
        "bound@1.0.0 does not fit --license Apache-2.0: the license of its weights is not stated, and"
    )
    assert "'research only', which is no SPDX expression" in said
    assert "leave the option out" in said
    assert not (shop.home / "pulled" / "bound").exists()
    assert shop.zoo("pull", "free", "--license", "apache-2.0").exit_code == 0
    assert shop.zoo("pull", "bound").exit_code == 0


def test_a_release_that_was_pulled_before_is_refused_as_well(shop):
    assert shop.zoo("pull", "bound").exit_code == 0
    assert "does not fit" in shop.refused("pull", "bound", "--license", "mit")


def test_compare_refuses_and_search_and_list_leave_out(shop):
    bound = release("bound", licenses=LICENSES)
    keep(shop.home, release("free"), bound)
    assert "bound@1.0.0 does not fit" in shop.refused("compare", "free", "bound", "--license", "apache-2.0")
    assert shop.zoo("compare", "free", "--license", "apache-2.0").exit_code == 0
    for command in (("search", "map > 1", "--format", "csv"), ("list",)):
        done = shop.zoo(*command, "--license", "apache-2.0")
        assert "free@1.0.0" in done.stdout
        assert "bound@1.0.0" not in done.stdout
        assert "left out: bound@1.0.0: the license of its weights is not stated" in done.stderr
    assert "left out: resnet50-veri: " in done.stderr  # of the catalogue


def test_search_knows_licenses_by_their_text(shop):
    keep(shop.home, release("free"), release("bound", licenses=LICENSES))
    done = shop.zoo("search", "license == 'Apache-2.0' and data_license == 'CC0-1.0'", "--format", "csv")
    assert "free@1.0.0" in done.stdout
    assert "bound@1.0.0" not in done.stdout


def test_licenses_of_releases_that_training_started_from_count_too():
    licenses = {"code": "Apache-2.0", "weights": "GPL-3.0-only", "data": FREE}
    ancestor = {
        "name": "first", "version": "1.0.0", "manifest_sha256": "e" * 64, "licenses": licenses, "data": "cars",
        "data_fingerprint": "f" * 64,
    }  # fmt: skip
    manifest = release(licenses={**licenses, "weights": "MIT"}, ancestors=[ancestor]).manifest
    assert accepted(["mit,gpl-3.0-only"]).objection_to(manifest) is None
    assert accepted(["mit"]).objection_to(manifest).startswith("first@1.0.0, which its training started from: ")


@pytest.mark.parametrize(
    ("origin", "how"),
    [
        (
            {},
            "weights, data. Without one, it may not be used. State it in its next version: `license` of the model in "
            "zoo.yaml, or --set license=SPDX; `license` of the data set in zoo.yaml",
        ),
        (
            foreign_values(),
            "weights, data. Without one, it may not be used. State it in its next version: --license; --data-license",
        ),
    ],
)
def test_what_is_not_stated_is_told_with_the_setting_that_states_it(origin, how):
    licenses = {"code": "MIT", "weights": "", "data": "not stated"}
    assert unstated_line(a_manifest(licenses=licenses, **origin)) == f"license not stated: {how}"
    assert unstated_line(a_manifest(**origin)) == ""
