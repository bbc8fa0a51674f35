"""Releases of earlier commits (`older/`): their manifests and measurements, a home and a registry that hold one."""

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from pipeline.data.images import Input
from pipeline.progress import Silent
from targets.files import sha256
from tests.zoo.registry.samples import put_release
from tests.zoo.shelf import write_graph
from zoo.cli import main
from zoo.home import Home
from zoo.registry.places.by_url import open_place
from zoo.registry.publish import publish
from zoo.release.local import find_release

OLDER = {path.stem: json.loads(path.read_text()) for path in sorted((Path(__file__).parent / "older").glob("*.json"))}
SECOND = {name: kept["manifest"] for name, kept in OLDER.items() if kept["manifest"]["schema_version"] == 2}
LAST = SECOND["schema-2-at-3ca8a33"]  # of which one target waits for its device


def put(folder: Path, manifest: object) -> Path:
    """A manifest where a release has it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=2))
    return folder


def with_graph(folder: Path, old: dict) -> dict:
    """A manifest whose only artifact is a graph that runs; it is written, too."""
    path = write_graph(folder / "graph/model.onnx", size=Input(height=32, width=32), dimension=16)
    artifact = next(one for one in old["artifacts"] if one["target"] is None)
    facts = {"path": "graph/model.onnx", "size_bytes": path.stat().st_size, "sha256": sha256(path)}
    return old | {"artifacts": [artifact | facts]}


@pytest.fixture
def home(tmp_path, monkeypatch):
    """tiny@1.0.0 of schema 2, and new@1.0.0, both built here."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ZOO_HOME", str(tmp_path / "home"))
    found = Home(tmp_path / "home")
    put(found.releases / "tiny/1.0.0", with_graph(found.releases / "tiny/1.0.0", LAST))
    put_release(found, "new")
    return found


def run(*arguments, code=0):
    result = CliRunner().invoke(main, arguments, catch_exceptions=False)
    assert result.exit_code == code, result.output
    return result


def contents(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.fixture
def mixed(home, tmp_path, key):
    """A registry with a signed release of schema 2, as if it was published when that was the present one."""
    place = open_place(str(tmp_path / "registry"))
    away = Home(tmp_path / "away")
    shutil.copytree(home.releases / "tiny", away.pulled / "tiny")
    publish(find_release(away, "tiny"), place, key, Silent())
    publish(find_release(home, "new"), place, key, Silent())
    return place


@pytest.fixture
def key(tmp_path):
    """A private key; its public half is beside it."""
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

    pytest.importorskip("model_signing")
    private = ec.generate_private_key(ec.SECP256R1())
    path = tmp_path / "team.key"
    path.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    path.with_suffix(".pub").write_bytes(public)
    return path
