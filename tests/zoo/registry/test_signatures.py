"""Signatures of releases: who signed, which keys are trusted, and what happens without."""

import os
import shutil
import subprocess

import pytest

from pipeline.progress import Silent
from tests.zoo.registry.pulling import another
from tests.zoo.registry.readers import edit_index, keys, pulled, put_blob, refused, shop
from tests.zoo.registry.samples import files_of, put_release, tree
from zoo.errors import RegistryError
from zoo.home import Home
from zoo.registry.cache import Cache
from zoo.registry.publish import collect_garbage, publish, read_index
from zoo.registry.reader import Registry
from zoo.registry.signing import key_id
from zoo.registry.verify import signed_by

__all__ = ["another", "keys", "shop"]


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
