"""Mutated manifests, each with a matching index: none is accepted wrongly, none ends in a traceback."""

import copy
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.progress import Silent
from tests.zoo.registry.samples import files_of, put_release, sha, values_over
from zoo.errors import ZooError
from zoo.home import Home
from zoo.registry.cache import Cache
from zoo.registry.choice import chooser
from zoo.registry.index import Blob, Index, Listed
from zoo.registry.places.folder import Folder
from zoo.registry.publish import publish, read_index
from zoo.registry.pull import pull
from zoo.registry.reader import LARGEST, Registry

NASTY = st.sampled_from([
    None, True, -1, 0, 1e308, float("nan"), 2**63, 10**30, "", " ", "../../evil", "/nowhere/evil", "a/../b", "\x00",
    "\ud800",
    "graph/model.onnx", "GRAPH/MODEL.ONNX", "manifest.json", "x" * 5000, "0" * 64, "1.0.0", "^1", [], {}, [[[[]]]],
    {"path": "../x"}, "NUL", "C:\\x", "\u202e",
])  # fmt: skip


PATHS = st.sampled_from([
    "../evil", "../../evil", "/nowhere/evil", "a/../../evil", "a/./b", "..", "manifest.json", "graph/../manifest.json",
    "new/name.onnx", "GRAPH/MODEL.ONNX", "graph", "a\\b", "a\x00b", "", "x" * 300,
])  # fmt: skip


def places(value, at=()):
    """Keys of every part of a structure."""
    yield at
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in parts:
        yield from places(part, (*at, key))


BASE = values_over(files_of())
PLACES = [at for at in places(BASE) if at]


@st.composite
def mutants(draw):
    """The text of a manifest of which some parts were replaced, removed, doubled, or cut."""
    values = copy.deepcopy(BASE)
    for at in draw(st.lists(st.sampled_from(PLACES), min_size=1, max_size=3)):
        parent = values
        try:
            for key in at[:-1]:
                parent = parent[key]
            match draw(st.sampled_from(["replace", "remove", "double", "rename"])):
                case "replace":
                    parent[at[-1]] = draw(PATHS if at[-1] == "path" else NASTY)
                case "remove":
                    del parent[at[-1]]
                case "double" if isinstance(parent, list):
                    parent.append(copy.deepcopy(parent[at[-1]]))
                case _ if isinstance(parent, dict):
                    parent[str(draw(NASTY))] = parent.pop(at[-1])
        except (KeyError, IndexError, TypeError):
            continue  # an earlier mutation removed it
    text = json.dumps(values).encode()
    return text[: draw(st.integers(0, len(text)))] if draw(st.integers(0, 19)) == 0 else text


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    root = tmp_path_factory.mktemp("mutants")
    folder = Folder(root / "registry")
    publish(put_release(Home(root / "publisher")), folder, None, Silent())
    told = {"accepted": 0, "refused": 0}
    yield root, folder, read_index(folder).find("tiny", "1.0.0").measurements, told
    assert min(told.values()) > 10, told  # both happen, or the test would prove nothing


@settings(max_examples=250, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(text=mutants())
def test_no_mutant_is_accepted_wrongly(published, text):
    root, folder, measurements, told = published
    try:
        content = {one["path"]: one["sha256"] for one in json.loads(text)["artifacts"]}
        digest = sha(json.dumps(content, sort_keys=True).encode())
    except (ValueError, TypeError, KeyError):
        digest = "0" * 64
    blob = Blob(sha256=sha(text), size_bytes=len(text))
    (folder.root / blob.path).parent.mkdir(exist_ok=True)
    (folder.root / blob.path).write_bytes(text)
    listed = Listed(manifest=blob, content_sha256=digest, published_at="now", measurements=measurements)
    (folder.root / "index.json").write_bytes(Index(revision=1, releases={"tiny": {"1.0.0": listed}}).to_bytes())
    home = Home(root / sha(text)[:16])
    try:
        release = pull(Registry([folder], Cache(home.cache)), home, "tiny", chooser(None), Silent())
    except ZooError as error:
        message = str(error)
    else:
        message = ""
    told["refused" if message else "accepted"] += 1
    assert message.count("\n") < 2
    if message:
        assert not home.pulled.exists()
        return
    manifest, inside = release.manifest, release.path.parent.resolve()
    assert manifest.label == "tiny@1.0.0"
    assert sum(file.size_bytes for file in manifest.files) <= LARGEST
    for file in manifest.files:
        path = inside / file.path
        assert path.resolve().is_relative_to(inside)
        assert not path.is_symlink()
        assert sha(path.read_bytes()) == file.sha256
        assert path.stat().st_size == file.size_bytes
    assert not (root / "evil").exists()
