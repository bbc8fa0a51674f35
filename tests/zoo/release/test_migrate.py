"""Older releases are rewritten: nothing is lost or half done, and what is published stays as it is."""

import pytest

import zoo
from pipeline.progress import Silent
from tests.helpers import random_images
from tests.zoo.registry.samples import tree
from tests.zoo.release.older_releases import LAST, contents, home, key, mixed, put
from zoo.errors import OutputError, RegistryError
from zoo.home import Home
from zoo.layout import SCHEMA
from zoo.registry.cache import Cache
from zoo.registry.choice import chooser
from zoo.registry.places.by_url import open_place
from zoo.registry.publish import publish
from zoo.registry.pull import pull
from zoo.registry.reader import Registry
from zoo.registry.verify import damage
from zoo.release import rewrite as rewriting
from zoo.release.local import find_release, read_all
from zoo.release.rewrite import rewrite, rewrite_all

__all__ = ["home", "key", "mixed"]


def test_a_migrated_release_reads_as_it_did_before_and_keeps_the_older_manifest(home):
    before, was = find_release(home, "tiny"), contents(home.releases / "tiny")
    done = rewrite(before, dry=False)
    after = find_release(home, "tiny")
    assert (done.outcome, done.schema, done.measurements, done.kept) == ("migrated", 2, 4, "manifest.schema-2.json")
    assert (before.schema, after.schema) == (2, SCHEMA)
    assert after.manifest == before.manifest
    assert after.measurements == before.measurements
    now = contents(home.releases / "tiny")
    assert now.pop("1.0.0/manifest.schema-2.json") == was["1.0.0/manifest.json"]
    assert len([name for name in now.keys() - was.keys() if name.startswith("1.0.0/measurements/")]) == 4
    assert now["1.0.0/graph/model.onnx"] == was["1.0.0/graph/model.onnx"]
    assert [*damage(after)] == []


def test_migrating_again_changes_nothing(home):
    rewrite(find_release(home, "tiny"), dry=False)
    before = contents(home.root)
    assert rewrite(find_release(home, "tiny"), dry=False).outcome == "current"
    assert contents(home.root) == before


def test_a_dry_run_writes_nothing(home):
    before = contents(home.root)
    assert rewrite(find_release(home, "tiny"), dry=True).outcome == "migrated"
    assert contents(home.root) == before


@pytest.mark.parametrize("step", ["write_bytes kept", "write_measurements", "write_bytes manifest"])
def test_what_is_cut_at_any_step_reads_as_before_and_is_finished_the_next_time(home, monkeypatch, step):
    before = find_release(home, "tiny")
    name, _, at = step.partition(" ")
    really = getattr(rewriting, name)

    def fails(path, *arguments):
        if at in ("kept", "") or path.name == "manifest.json":
            raise OSError(28, "No space left on device", str(path))
        really(path, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(rewriting, name, fails)
        with pytest.raises(OutputError, match=r"can't migrate tiny@1\.0\.0: .*No space left.*It is unchanged"):
            rewrite(before, dry=False)
    cut = find_release(home, "tiny")
    assert (cut.schema, cut.manifest, cut.measurements) == (2, before.manifest, before.measurements)
    assert rewrite(cut, dry=False).outcome == "migrated"
    assert find_release(home, "tiny").measurements == before.measurements


def test_one_that_cannot_be_read_does_not_keep_the_others_from_it(home):
    put(home.releases / "bad/1.0.0", LAST | {"schema_version": 99})
    done, failed = rewrite_all(home, None, dry=False)
    assert {one.release: one.outcome for one in done} == {"tiny@1.0.0": "migrated", "new@1.0.0": "current"}
    assert [*failed] == ["bad@1.0.0"]


def test_an_older_release_embeds_before_and_after_it_is_migrated(home):
    before = zoo.load("tiny").embed(random_images(3))
    rewrite_all(home, ["tiny"], dry=False)
    assert (zoo.load("tiny").embed(random_images(3)) == before).all()


def test_a_release_of_an_older_schema_is_migrated_before_it_is_published(home, tmp_path):
    place = open_place(str(tmp_path / "registry"))
    with pytest.raises(RegistryError, match=r"Migrate it first: zoo migrate tiny@1\.0\.0"):
        publish(find_release(home, "tiny"), place, None, Silent())
    rewrite_all(home, ["tiny"], dry=False)
    assert publish(find_release(home, "tiny"), place, None, Silent()).measurements == 3


def test_an_older_release_of_a_registry_is_pulled_as_it_was_signed_and_stays_so(home, mixed, key, tmp_path):
    there = Home(tmp_path / "there")
    registry = Registry([mixed], Cache(there.cache), [key.with_suffix(".pub")], require_signature=True)
    pulled = pull(registry, there, "tiny", chooser(None), Silent())
    assert pulled.schema == 2
    assert pulled.path.read_bytes() == (home.releases / "tiny/1.0.0/manifest.json").read_bytes()
    assert len(pulled.measured) == 3
    before = tree(there.root)
    assert [one.outcome for one in rewrite_all(there, None, dry=False)[0]] == ["published"]
    assert tree(there.root) == before
    assert pull(registry, there, "new", chooser(None), Silent()).schema == SCHEMA
    assert read_all(there).damaged == {}
