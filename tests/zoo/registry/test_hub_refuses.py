"""A Hub that refuses: without permission, without a connection, or while it is busy."""

import pytest

from pipeline.progress import Silent
from tests.zoo.registry.hub_registry import (
    BIG,
    NAME,
    URL,
    asked,
    check,
    hub,
    imported_anew,
    old_garbage,
    place,
    pulled,
    server,
    shop,
)
from tests.zoo.registry.hub_server import READER, WRITER, Refused
from tests.zoo.registry.samples import files_of, put_release
from tests.zoo.registry.test_together import check_whole
from zoo.errors import RegistryError
from zoo.home import Home
from zoo.registry.places.by_url import open_place
from zoo.registry.places.patience import ATTEMPTS
from zoo.registry.publish import publish

__all__ = ["hub", "old_garbage", "place", "server", "shop"]


def test_a_private_repository_is_read_with_a_token_only(hub, home, place, tmp_path, monkeypatch):
    publish(put_release(home), place, None, Silent())
    hub.repositories[NAME].private = True
    monkeypatch.setenv("HF_TOKEN", READER)
    check(pulled(Home(tmp_path / "another")), files_of())
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(RegistryError, match="repository not found"):
        pulled(Home(tmp_path / "third"))


@pytest.mark.parametrize(
    ("token", "url", "told"),
    [
        (WRITER, "hf://datasets/team/nothing", "team/nothing (repository not found)"),
        (WRITER, f"{URL}@nothing", "(revision not found)"),
        (WRITER, "hf://nothing", "the registry hf://nothing can't be used"),
        (WRITER, "hf://", "can't be used"),
        (WRITER, "hf://buckets/team/nets", "Name a repository"),
        (None, URL, "Invalid username or password. Set HF_TOKEN, or run: hf auth login"),
        (READER, URL, "you must use a write token to upload to a repository. Set HF_TOKEN"),
        ("hf_wrong", URL, "Invalid credentials in Authorization header. Set HF_TOKEN"),
    ],
)
def test_missing_permission_is_reported_in_one_line(hub, shop, monkeypatch, token, url, told):
    put_release(Home(shop.home))
    monkeypatch.setenv("HF_TOKEN", token) if token else monkeypatch.delenv("HF_TOKEN")
    message = shop.refused("publish", "tiny", "--registry", url)
    assert told in message
    assert "\n" not in message
    assert len(hub.repositories[NAME].commits) == 2


@pytest.mark.parametrize("command", [("yank", "tiny@1.0.0", "--reason", "bad"), ("gc",)])
def test_reading_changes_nothing(hub, shop, old_garbage, monkeypatch, command):
    before = hub.repositories[NAME].newest
    monkeypatch.setenv("HF_TOKEN", READER)
    message = shop.refused(*command)
    assert "you must use a write token" in message
    assert "\n" not in message
    assert hub.repositories[NAME].newest is before


@pytest.mark.parametrize("command", [("publish", "tiny"), ("pull", "tiny"), ("gc",)], ids=lambda words: words[0])
def test_an_unreachable_hub_is_reported_in_one_line(shop, monkeypatch, command):
    put_release(Home(shop.home))
    with imported_anew("huggingface_hub"):
        monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
        message = shop.refused(*command)
    assert message.startswith(f"the registry {URL} can't be used: ")
    assert "\n" not in message


@pytest.mark.parametrize("trouble", [ConnectionAbortedError(), Refused(400, "")])
def test_publishing_succeeds_when_repeated_after_a_broken_connection(hub, home, place, trouble):
    def break_off():
        raise trouble

    release = put_release(home, files={"openvino-cpu/weights.bin": BIG})
    hub.before_commit.append(break_off)
    with pytest.raises(RegistryError, match=r"^the registry \S+ can't be used: .+ Check address") as caught:
        publish(release, place, None, Silent())
    assert "\n" not in str(caught.value)
    assert publish(release, place, None, Silent()).new
    assert len(asked(hub, "PUT", "/cdn/")) == 1
    check_whole(place)


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_hub_is_retried(hub, home, tmp_path, monkeypatch, status):
    monkeypatch.setattr("zoo.registry.places.patience.LONGEST_PAUSE", 0.001)
    release, place = put_release(home), open_place(URL)
    hub.busy = [status] * 2
    publish(release, place, None, Silent())
    assert not hub.busy
    hub.busy = [status] * 3
    check(pulled(Home(tmp_path / "away")), files_of())
    assert not hub.busy


def test_a_hub_that_stays_busy_is_reported(hub, home, tmp_path, monkeypatch):
    monkeypatch.setattr("zoo.registry.places.patience.LONGEST_PAUSE", 0.001)
    place = open_place(URL)
    hub.busy = [503] * 100
    with pytest.raises(RegistryError, match=r"can't be used: HTTP 503 .*come again"):
        publish(put_release(home), place, None, Silent())
    assert len(hub.busy) == 100 - ATTEMPTS
