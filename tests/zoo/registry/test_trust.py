"""Tampered content is refused with its reason, and never becomes visible."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from pipeline.progress import Silent
from tests.conftest import Workshop
from tests.zoo.registry.samples import files_of, measured, put_release, sha, tree
from zoo.errors import RegistryError
from zoo.home import Home
from zoo.registry.cache import Cache
from zoo.registry.choice import chooser
from zoo.registry.index import INDEX, Blob, Index, parse_index
from zoo.registry.places.by_url import open_place
from zoo.registry.publish import collect_garbage, publish, read_index
from zoo.registry.pull import pull
from zoo.registry.reader import Registry
from zoo.registry.signing import key_id
from zoo.registry.verify import damage, signed_by
from zoo.release.measurements import Pending

EVERYTHING = chooser(None)
pytest.importorskip("model_signing")


def make_key(folder, name):
    private, public = folder / f"{name}.key", folder / f"{name}.pub"
    subprocess.run(["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", private], check=True)
    command = ["openssl", "ec", "-in", private, "-pubout", "-out", public]
    subprocess.run(command, check=True, capture_output=True)
    return private, public


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    """Key pairs of the publisher and of another person."""
    if not shutil.which("openssl"):
        pytest.skip("needs openssl to make keys, as the documentation does")
    folder = tmp_path_factory.mktemp("keys")
    return make_key(folder, "ours"), make_key(folder, "theirs")


@pytest.fixture
def another(tmp_path):
    return Home(tmp_path / "another")


def pulled(home, place, keys=(), required=False):
    registry = Registry([open_place(place.url)], Cache(home.cache), keys, required)
    return pull(registry, home, "tiny", EVERYTHING, Silent())


def refused(home, place, told, keys=(), required=False):
    with pytest.raises(RegistryError, match=told) as caught:
        pulled(home, place, keys, required)
    assert str(caught.value).count("\n") < 2
    assert not home.pulled.exists()


def edit_index(place, change):
    """Edit the index like an attacker with write access."""
    path = place.root / INDEX
    values = json.loads(path.read_bytes())
    change(values)
    path.write_text(json.dumps(values))


def put_blob(place, content):
    blob = Blob(sha256=sha(content), size_bytes=len(content))
    (place.root / blob.path).parent.mkdir(parents=True, exist_ok=True)
    (place.root / blob.path).write_bytes(content)
    return blob.model_dump()


def test_a_signature_by_a_trusted_key_is_valid(home, folder, another, keys):
    (private, public), (_, theirs) = keys
    assert publish(put_release(home), folder, private, Silent()).signed
    release = pulled(another, folder, (theirs, public), required=True)
    registry = Registry([folder], Cache(another.cache), (public,), True)
    assert signed_by(registry, release) == ["ours.pub"]
    assert read_index(folder).find("tiny", "1.0.0").signatures[0].key == key_id(public)


def test_signatures_are_added_to_what_is_published(home, folder, another, keys):
    (private, public), (their_private, theirs) = keys
    publish(put_release(home), folder, None, Silent())
    refused(another, folder, "tiny@1.0.0 is not signed .*Refused", (public,), True)
    assert publish(put_release(home), folder, private, Silent()).signed
    assert publish(put_release(home), folder, their_private, Silent()).signed
    assert not publish(put_release(home), folder, private, Silent()).signed
    pulled(another, folder, (public, theirs), True)


def test_a_release_that_is_built_again_is_signed_as_it_was_published(home, folder, another, keys, tmp_path):
    """Its manifest has other dates; the signature has to be over the published one."""
    (private, public), _ = keys
    publish(put_release(home), folder, None, Silent())
    again = put_release(Home(tmp_path / "again"), created_at="2026-02-02T00:00:00+00:00")
    assert publish(again, folder, private, Silent()).signed
    pulled(another, folder, (public,), required=True)


def test_a_signature_over_what_another_publisher_replaced_is_not_added(home, folder, keys, tmp_path, monkeypatch):
    (private, _), _ = keys
    faster = put_release(Home(tmp_path / "faster"), created_at="2026-02-02T00:00:00+00:00")
    original = type(folder).publish

    def second(self, *given):
        monkeypatch.undo()
        publish(faster, folder, None, Silent())
        original(self, *given)

    monkeypatch.setattr(type(folder), "publish", second)
    assert not publish(put_release(home), folder, private, Silent()).signed
    assert read_index(folder).find("tiny", "1.0.0").signatures == []


def test_a_key_with_a_password_signs(home, folder, another, keys, tmp_path, monkeypatch):
    (private, public), _ = keys
    locked = tmp_path / "locked.key"
    command = ["openssl", "ec", "-in", private, "-aes256", "-passout", "pass:secret", "-out", locked]
    subprocess.run(command, check=True, capture_output=True)
    release = put_release(home)
    with pytest.raises(RegistryError, match=r"locked.key is not a readable private key .* in ZOO_KEY_PASSWORD"):
        publish(release, folder, locked, Silent())
    monkeypatch.setenv("ZOO_KEY_PASSWORD", "secret")
    assert publish(release, folder, locked, Silent()).signed
    pulled(another, folder, (public,), required=True)


def test_signatures_are_not_garbage(home, folder, another, keys):
    (private, public), _ = keys
    publish(put_release(home), folder, private, Silent())
    for path in tree(folder.root):
        os.utime(folder.root / path, (1, 1))
    assert collect_garbage(folder, dry=False) == (0, 0)
    pulled(another, folder, (public,), required=True)


@pytest.fixture
def shop(tmp_path):
    """The command line, in a separate folder."""
    (tmp_path / "shop").mkdir()
    return Workshop(tmp_path / "shop")


def test_zoo_yaml_or_the_command_requires_signatures(home, folder, shop, keys):
    (private, public), _ = keys
    shutil.copyfile(public, shop.root / "ours.pub")
    trusting = f"registry: {{url: '{folder.url}', keys: [ours.pub]"  # beside the catalogue
    publish(put_release(home), folder, None, Silent())
    shop.catalogue.write_text(f"{trusting}, require_signature: true}}\n")
    assert "is not signed (trusted: ours.pub)" in shop.refused("pull", "tiny", "--all")
    shop.catalogue.write_text(f"{trusting}}}\n")
    assert "is not signed (trusted: ours.pub)" in shop.refused("pull", "tiny", "--all", "--require-signature")
    assert not (shop.home / "pulled").exists()
    assert shop.zoo("pull", "tiny", "--all").exit_code == 0
    assert "is not signed (trusted: ours.pub)" in shop.refused("verify", "tiny", "--require-signature")
    publish(put_release(home), folder, private, Silent())
    verified = shop.zoo("verify", "tiny")
    assert (verified.exit_code, "; signed by ours.pub\n" in verified.stdout) == (0, True)


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


def test_a_signature_by_an_untrusted_key_is_not_enough(home, folder, another, keys):
    (_, public), (their_private, _) = keys
    publish(put_release(home), folder, their_private, Silent())
    refused(another, folder, r"not signed by a trusted key \(trusted: ours.pub\)", (public,), True)
    pulled(another, folder, (public,))  # if none is required, an untrusted one does no harm


def test_signatures_cannot_be_required_without_keys(home, folder, another):
    publish(put_release(home), folder, None, Silent())
    refused(another, folder, "no key is trusted. Set registry", (), True)


def test_a_forged_signature_is_refused(home, folder, another, keys):
    """Somebody else's signature under the name of a trusted key."""
    (private, public), (their_private, _) = keys
    publish(put_release(home), folder, private, Silent())
    publish(put_release(home), folder, their_private, Silent())

    def swap(values):
        ours, theirs = values["releases"]["tiny"]["1.0.0"]["signatures"]
        ours["blob"] = theirs["blob"]

    edit_index(folder, swap)
    refused(another, folder, "the signature of tiny@1.0.0 is invalid for ours.pub", (public,))


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff\xfe", b"[" * 100_000, b'{"dsseEnvelope": {"signatures": []}}'])
def test_an_invalid_signature_is_refused(home, folder, another, keys, content):
    (private, public), _ = keys
    publish(put_release(home), folder, private, Silent())
    blob = put_blob(folder, content)
    edit_index(folder, lambda values: values["releases"]["tiny"]["1.0.0"]["signatures"][0].update(blob=blob))
    refused(another, folder, "is invalid for ours.pub", (public,))


def test_the_signature_of_another_release_is_refused(home, folder, another, keys):
    (private, public), _ = keys
    publish(put_release(home, "other", files=files_of(b"other")), folder, private, Silent())
    publish(put_release(home), folder, None, Silent())

    def move(values):
        releases = values["releases"]
        releases["tiny"]["1.0.0"]["signatures"] = releases["other"]["1.0.0"]["signatures"]

    edit_index(folder, move)
    refused(another, folder, "is invalid for ours.pub", (public,))


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
