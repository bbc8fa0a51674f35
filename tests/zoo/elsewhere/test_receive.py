"""Files that are not results of this build are not received."""

import shutil

import pytest

from targets.bundles.bundle import RESULT_LIST
from tests.zoo.elsewhere.boards import NAME, altered, build, release_of


@pytest.mark.parametrize("damage", ["flipped", "cut", "bundle", "none", "text"])
def test_an_incomplete_result_is_not_received(spare, result, bundle, damage, tmp_path):
    path = tmp_path / "some.result"
    content = result.read_bytes()
    match damage:
        case "flipped":
            path.write_bytes(content[:90_000] + bytes([content[90_000] ^ 1]) + content[90_001:])
        case "cut":
            path.write_bytes(content[:-1000])
        case "bundle":
            shutil.copyfile(bundle, path)
        case "text":
            path.write_text("no result")
    message = spare.refused("receive", str(path))
    assert len(message.splitlines()) <= 2
    assert "some.result" in message
    assert not list(spare.home.glob("received/*"))


def test_a_full_disk_while_receiving_is_reported(spare, result, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("zoo.building.received.read_archive", full)
    message = spare.refused("receive", str(result))
    assert "no space left" in message.lower()
    assert message.count("\n") < 2


@pytest.mark.parametrize(
    "about", [{"release": "../../x"}, {"target": "a/b"}, {"release": 7}, {"release": None}, {"target": "x\0y"}]
)
def test_a_result_of_an_unknown_release_is_not_received(spare, light, about, tmp_path):
    path = altered(light, tmp_path / "some.result", RESULT_LIST, **about)
    before = sorted(spare.root.rglob("*"))
    spare.refused("receive", str(path))
    assert sorted(spare.root.rglob("*")) in (before, sorted([*before, spare.home / "received"]))


STRANGE = ["t\x1b]0;PWN\x07\x1b[2J[bold]x[]", {"a": 1}, ["x"], "x" * 300, "", "-x", "x y", "x\n", "\ud800", "x\0"]


@pytest.mark.parametrize("name", STRANGE)
def test_an_invalid_name_is_neither_printed_nor_used_for_a_file(spare, light, name, tmp_path):
    """Of the target, with an existing release; of the release; and of its version."""
    versions = [f"tiny@{name}", "tiny@1.0", "tiny@1.0.0.0", "tiny@01.0.0", "tiny@1.0.0-a", "tiny"]
    for about in ({"target": name}, {"release": f"{name}@1.0.0"}, *({"release": version} for version in versions)):
        path = altered(light, tmp_path / "some.result", RESULT_LIST, **about)
        message = spare.refused("receive", str(path))
        assert "some.result" in message
        assert message.isprintable()
        assert len(message) < 400 + len(str(tmp_path))
        assert not list(spare.home.glob("received/*"))


def test_a_result_of_another_build_is_refused_with_the_remedy(shop, foreign):
    """Another build's result is there; the next bundle is at the printed path, and other targets are not affected."""
    shop.zoo("receive", str(foreign))
    printed = build(shop)
    assert "tiny-1.0.0-board.result belongs to another build of tiny@1.0.0" in printed.stderr
    assert printed.stdout.splitlines()[-1] == f"python3 {NAME}.zoo"
    assert [one.target for one in release_of(shop).pending] == ["board"]
