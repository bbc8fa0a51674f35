"""Tampered content is refused with its reason, and never becomes visible."""

import json
import re
import shutil
from pathlib import Path

import pytest

from pipeline.progress import Silent
from tests.zoo.registry.pulling import another
from tests.zoo.registry.readers import edit_index, keys, pulled, put_blob, refused, shop
from tests.zoo.registry.samples import files_of, measured, put_release, sha, tree
from zoo.errors import RegistryError
from zoo.home import Home
from zoo.registry.cache import Cache
from zoo.registry.index import INDEX, Index, parse_index
from zoo.registry.places.by_url import open_place
from zoo.registry.publish import publish, read_index
from zoo.registry.reader import Registry
from zoo.registry.verify import damage, signed_by
from zoo.release.measurements import Pending

__all__ = ["another", "keys", "shop"]


def test_a_manifest_that_differs_from_the_published_one_is_reported(home, folder, another, shop, tmp_path):
    publish(put_release(home), folder, None, Silent())
    release = pulled(another, folder)
    other = open_place(str(tmp_path / "other"))
    publish(put_release(Home(tmp_path / "h"), files=files_of(b"other")), other, None, Silent())
    with pytest.raises(RegistryError, match="the manifest of tiny@1.0.0 differs from that in"):
        signed_by(Registry([other], Cache(tmp_path / "c")), release)
    empty = open_place(str(tmp_path / "empty"))
    publish(put_release(Home(tmp_path / "h"), "another"), empty, None, Silent())
    with pytest.raises(RegistryError, match="tiny@1.0.0 is not in .*, so it can't be compared"):
        signed_by(Registry([empty], Cache(tmp_path / "d")), release)


def test_a_release_under_another_name_is_refused(home, folder, another, keys):
    """Signed, but not the requested one: an older or another model of the same publisher."""
    (private, public), _ = keys
    publish(put_release(home, "other", files=files_of(b"other")), folder, private, Silent())
    publish(put_release(home), folder, private, Silent())
    edit_index(folder, lambda values: values["releases"].update(tiny=values["releases"]["other"]))
    refused(another, folder, "has other@1.0.0 with other content under tiny@1.0.0", (public,), True)


def test_a_swapped_blob_is_refused(home, folder, another):
    publish(put_release(home), folder, None, Silent())
    manifest = read_index(folder).find("tiny", "1.0.0").manifest
    content = (folder.root / manifest.path).read_bytes()
    (folder.root / manifest.path).write_bytes(content.replace(b"made by hand", b"made by Hand"))
    refused(another, folder, r"wrong content \(sha256\)")


def test_an_index_that_was_rolled_back_is_refused(home, folder, another):
    publish(put_release(home), folder, None, Silent())
    old = (folder.root / INDEX).read_bytes()
    publish(put_release(home, version="1.0.1", files=files_of(b"mended")), folder, None, Silent())
    assert pulled(another, folder).manifest.version == "1.0.1"
    (folder.root / INDEX).write_bytes(old)
    with pytest.raises(RegistryError, match="is at revision 1, but revision 2 was seen here before"):
        pulled(another, folder)


def test_an_index_that_changed_under_its_revision_is_refused(home, folder, another):
    publish(put_release(home), folder, None, Silent())
    pulled(another, folder)
    edit_index(folder, lambda values: values["releases"]["tiny"]["1.0.0"].update(measurements=[]))
    with pytest.raises(RegistryError, match="is at revision 1, but revision 1 was seen here before"):
        pulled(another, folder)


def test_content_that_differs_from_the_index_is_refused(home, folder, another):
    publish(put_release(home), folder, None, Silent())
    edit_index(folder, lambda values: values["releases"]["tiny"]["1.0.0"].update(content_sha256="0" * 64))
    refused(another, folder, "has tiny@1.0.0 with other content under tiny@1.0.0")


def test_a_release_that_changed_is_refused(home, folder, another, tmp_path):
    publish(put_release(home), folder, None, Silent())
    pulled(another, folder)
    other = open_place(str(tmp_path / "other"))
    publish(put_release(Home(tmp_path / "h"), files=files_of(b"evil")), other, None, Silent())
    evil = json.loads((other.root / INDEX).read_bytes())["releases"]["tiny"]["1.0.0"]  # type: ignore[attr-defined]
    edit_index(folder, lambda v: v.update(revision=9, releases={"tiny": {"1.0.0": evil}}))
    with pytest.raises(RegistryError, match="has another tiny@1.0.0 than the one seen here before"):
        pulled(another, folder)
    edit_index(folder, lambda v: v.update(revision=10, releases={}))
    with pytest.raises(RegistryError, match="lacks tiny@1.0.0, which was seen here before") as caught:
        pulled(another, folder)
    remembered = Path(re.search(r"remove (\S+\.json)", str(caught.value))[1])
    remembered.unlink()  # as the message says, for a registry that its owner set up anew
    edit_index(folder, lambda v: v.update(revision=1, releases={"tiny": {"1.0.0": evil}}))
    shutil.copytree(other.root / "blobs", folder.root / "blobs", dirs_exist_ok=True)  # type: ignore[attr-defined]
    assert pulled(another, folder).manifest.name == "tiny"


@pytest.mark.parametrize(
    "name",
    ["../evil", "/nowhere/evil", "a/../../evil", "..", "C:\\evil", "a\\b", "con\x00", "graph/./model", "MANIFEST.json",
     "x" * 300, "a//b", "", "a/", "\u202eevil"],
)  # fmt: skip
def test_names_that_lead_out_or_are_invalid_are_refused(home, folder, another, name):
    """Names become paths only after this check."""
    publish(put_release(home), folder, None, Silent())
    listed = read_index(folder).find("tiny", "1.0.0")
    manifest = json.loads((folder.root / listed.manifest.path).read_bytes())
    manifest["artifacts"][0]["path"] = name
    blob = put_blob(folder, json.dumps(manifest).encode())
    edit_index(folder, lambda values: values["releases"]["tiny"]["1.0.0"].update(manifest=blob))
    with pytest.raises(Exception, match=r"artifacts\.0\.path") as caught:
        pulled(another, folder)
    assert type(caught.value).__name__ == "ManifestError"
    assert not another.pulled.exists()
    assert not [path for path in tree(another.root.parent) if "evil" in path]


def test_names_that_differ_in_case_only_are_refused(home, folder, another):
    publish(put_release(home), folder, None, Silent())
    listed = read_index(folder).find("tiny", "1.0.0")
    manifest = json.loads((folder.root / listed.manifest.path).read_bytes())
    manifest["artifacts"][1]["path"] = "Graph/MODEL.onnx"
    blob = put_blob(folder, json.dumps(manifest).encode())
    edit_index(folder, lambda values: values["releases"]["tiny"]["1.0.0"].update(manifest=blob))
    with pytest.raises(Exception, match="a name occurs twice"):
        pulled(another, folder)


def forge(folder, change):
    """A changed manifest with a matching index."""
    listed = read_index(folder).find("tiny", "1.0.0")
    manifest = json.loads((folder.root / listed.manifest.path).read_bytes())
    change(manifest)
    blob = put_blob(folder, json.dumps(manifest).encode())
    content = {one["path"]: one["sha256"] for one in manifest["artifacts"]}
    digest = sha(json.dumps(content, sort_keys=True).encode())
    entry = {"manifest": blob, "content_sha256": digest}
    edit_index(folder, lambda values: values["releases"]["tiny"]["1.0.0"].update(entry))


def test_a_claim_of_ten_gigabytes_is_refused(home, folder, another):
    publish(put_release(home), folder, None, Silent())
    forge(folder, lambda manifest: manifest["artifacts"][0].update(size_bytes=10 * 10**9))
    refused(another, folder, "claims 10 GB, more than a release may have")


@pytest.mark.parametrize(("size", "told"), [(1, "wrong content"), (10**6, "ends too early")])
def test_a_file_that_is_shorter_or_longer_than_it_says_is_refused(home, folder, another, monkeypatch, size, told):
    monkeypatch.setattr("zoo.registry.places.patience.LONGEST_PAUSE", 0.001)
    publish(put_release(home), folder, None, Silent())
    forge(folder, lambda manifest: manifest["artifacts"][4].update(size_bytes=size))
    refused(another, folder, told)


@pytest.mark.parametrize("part", ["manifest", "measurements", "signatures"])
def test_small_files_that_claim_to_be_large_are_refused(home, folder, another, part):
    publish(put_release(home), folder, None, Silent())
    huge = {"sha256": "0" * 64, "size_bytes": 10**12}
    value = {"manifest": huge, "measurements": [huge], "signatures": [{"blob": huge, "key": "0" * 64}]}[part]
    edit_index(folder, lambda values: values["releases"]["tiny"]["1.0.0"].update({part: value}))
    refused(another, folder, "1,000,000 MB, ")


def test_a_measurement_of_another_release_is_refused(home, folder, another):
    publish(put_release(home), folder, None, Silent())
    blob = put_blob(folder, measured(release="other@1.0.0").model_dump_json().encode())
    edit_index(folder, lambda values: values["releases"]["tiny"]["1.0.0"].update(measurements=[blob]))
    refused(another, folder, "a measurement of tiny@1.0.0 in .* belongs to other@1.0.0")


def test_a_pending_record_is_not_a_measurement(home, folder, another):
    publish(put_release(home), folder, None, Silent())
    waits = Pending(release="tiny@1.0.0", target="board", bundle="tiny.zoo", bundle_sha256="0" * 64)
    blob = put_blob(folder, waits.model_dump_json().encode())
    edit_index(folder, lambda values: values["releases"]["tiny"]["1.0.0"].update(measurements=[blob]))
    refused(another, folder, "a measurement of tiny@1.0.0 in .* belongs to")


@pytest.mark.parametrize(
    ("content", "told"),
    [(b"", "is damaged"), (b"[]", "is damaged"), (b"{", "is damaged"), (b"[" * 200_000, "is damaged"),
     (b'{"schema_version": 2}', "has schema 2; this version reads 1"),
     (b'{"schema_version": 1, "releases": {"../x": {}}}', "is damaged"),
     (b'{"schema_version": 1, "releases": {"x": {"../1": {}}}}', "is damaged"),
     (b'{"schema_version": 1, "revision": -1}', "is damaged")],
)  # fmt: skip
def test_an_invalid_index_is_refused(folder, another, content, told):
    folder.root.mkdir()
    (folder.root / INDEX).write_bytes(content)
    refused(another, folder, told)


def test_an_index_means_the_same_once_it_is_read(home, folder):
    publish(put_release(home), folder, None, Silent())
    content = (folder.root / INDEX).read_bytes()
    assert parse_index(content, "x").to_bytes() == content
    assert parse_index(Index().to_bytes(), "x") == Index()


def test_verify_detects_every_changed_byte(home):
    release = put_release(home)
    assert list(damage(release)) == []
    folder = release.path.parent
    content = (folder / "openvino-cpu/model.bin").read_bytes()
    (folder / "openvino-cpu/model.bin").write_bytes(content[:-1] + b"?")
    (folder / "graph/model.onnx").write_bytes(b"short")
    (folder / "added.so").write_bytes(b"x")
    assert [re.sub(r"\d+", "N", line) for line in damage(release)] == [
        "graph/model.onnx: N bytes, not N",
        "openvino-cpu/model.bin: other content (shaN)",
        "added.so: not a file of this release",
    ]
