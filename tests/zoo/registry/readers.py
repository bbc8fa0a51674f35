"""Readers of a registry that may be tampered with: what they pull or refuse, the keys they trust, and how to tamper."""

import json
import shutil
import subprocess

import pytest

from tests.conftest import Workshop
from tests.zoo.registry import pulling
from tests.zoo.registry.samples import sha
from zoo.errors import RegistryError
from zoo.registry.index import INDEX, Blob

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


def pulled(home, place, keys=(), required=False):
    return pulling.pulled(home, place.url, keys=keys, require_signature=required)


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


@pytest.fixture
def shop(tmp_path):
    """The command line, in a separate folder."""
    (tmp_path / "shop").mkdir()
    return Workshop(tmp_path / "shop")
