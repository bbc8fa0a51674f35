"""A registry in an OCI registry, against Docker's own server on loopback; other servers are named where they appear."""

import random
import time

import pytest

from pipeline.progress import Silent
from tests.zoo.registry.conftest import running_registry
from tests.zoo.registry.pulling import check, pulled
from tests.zoo.registry.samples import files_of, measured, put_release, sha
from tests.zoo.registry.test_together import check_whole
from zoo.errors import RegistryError
from zoo.home import Home
from zoo.registry.download import CHUNK
from zoo.registry.index import INDEX, LIMIT
from zoo.registry.places import oci_claims
from zoo.registry.places.by_url import open_place
from zoo.registry.publish import collect_garbage, publish, read_index, yank
from zoo.registry.verify import damage

pytest.importorskip("oras", reason="needs the extra oci")


BIG = random.Random(0).randbytes(2 * CHUNK + 1000)


@pytest.fixture
def place(oci_url):
    return open_place(oci_url)


@pytest.fixture
def another(tmp_path):
    return Home(tmp_path / "another")


def tags(place, kind=""):
    return [tag for tag in place._client.tags() if tag.startswith(kind)]


def test_a_repository_without_a_registry_is_reported(another, oci_url):
    with pytest.raises(RegistryError, match=r"oci://\S+ is not a registry: it has no index.json"):
        pulled(another, oci_url)


def test_a_release_is_an_artifact_that_oras_pulls(home, place, tmp_path, oci_url):
    """By its tag NAME-VERSION, with its files under their paths."""
    from oras.client import OrasClient

    files = {**files_of(), "golden/same.onnx": files_of()["graph/model.onnx"]}  # one blob under two paths
    release = put_release(home, files=files)
    publish(release, place, None, Silent())
    host, _, repository = oci_url.removeprefix("oci://").partition("/")
    client = OrasClient(hostname=host, insecure=True)
    client.pull(f"{host}/{repository}:tiny-1.0.0", outdir=str(tmp_path / "out"))
    found = {path.relative_to(tmp_path / "out").as_posix(): path.read_bytes()
             for path in (tmp_path / "out").rglob("*") if path.is_file()}  # fmt: skip
    assert {path: found[path] for path in files} == files
    assert found["manifest.json"] == release.path.read_bytes()
    about = client.get_manifest(f"{host}/{repository}:tiny-1.0.0")
    assert about["artifactType"] == "application/vnd.edge-model-zoo.release.v1+json"
    said = {key.rpartition(".")[2]: value for key, value in about["annotations"].items()}
    assert (said["title"], said["version"], said["licenses"]) == ("tiny", "1.0.0", "Apache-2.0")


def test_every_blob_of_the_index_is_referred_to_by_an_artifact(home, place):
    """Otherwise the registry's own garbage collection would remove it."""
    publish(put_release(home), place, None, Silent())
    publish(put_release(home, records=(measured(3.0),)), place, None, Silent())
    held = {path for path, _, _ in place.listing("blobs")}
    listed = read_index(place).find("tiny", "1.0.0")
    assert len(listed.measurements) == 2
    blobs = [listed.manifest, *listed.measurements]
    assert {one.path for one in blobs} <= held
    assert {f"blobs/{sha(content)[:2]}/{sha(content)}" for content in files_of().values()} <= held


def test_existing_blobs_are_not_uploaded_again(home, place, monkeypatch):
    publish(put_release(home), place, None, Silent())
    uploaded = []
    upload = place._client.upload
    monkeypatch.setattr(place._client, "upload", lambda *given: (uploaded.append(given), upload(*given)))
    publish(put_release(home, version="1.0.1"), place, None, Silent())
    # its manifest and its measurement, then the two files of the index
    assert len(uploaded) == 4


def test_a_large_file_is_uploaded_in_parts_and_its_pull_resumes(home, place, another, oci_url, monkeypatch):
    monkeypatch.setattr("zoo.registry.places.oci_client.WHOLE", CHUNK)
    monkeypatch.setattr("zoo.registry.places.oci_client.CHUNK", CHUNK)
    files = {"openvino-cpu/weights.bin": BIG}
    publish(put_release(home, files=files), place, None, Silent())

    monkeypatch.setattr("zoo.registry.places.patience.ATTEMPTS", 1)
    from zoo.registry.places.oci import Oci

    asked, fetch = [], Oci.fetch

    def cut(self, path, start, end):
        asked.append(start)
        if start and len(asked) == 2:
            raise OSError(None, "the connection was closed")
        return fetch(self, path, start, end)

    with monkeypatch.context() as patch:
        patch.setattr(Oci, "fetch", lambda self, path, *part: (
            cut(self, path, *part) if sha(BIG) in path else fetch(self, path, *part)))  # fmt: skip
        with pytest.raises(RegistryError, match="Run the command again to resume"):
            pulled(another, oci_url)
        assert not another.pulled.exists()
        check(pulled(another, oci_url), files)
    assert asked == [0, CHUNK, CHUNK, 2 * CHUNK]  # nothing twice but what was cut


def test_a_damaged_blob_is_not_pulled(oci_server, home, place, another, oci_url, tmp_path_factory):
    publish(put_release(home), place, None, Silent())
    digest = sha(files_of()["openvino-cpu/model.bin"])
    kept = {path.resolve() for path in tmp_path_factory.getbasetemp().glob(f"oci*/data/**/{digest}/data")}
    content = next(iter(kept)).read_bytes()
    for stored in kept:  # of every server that this process started
        stored.write_bytes(b"x" * len(content))
    try:
        with pytest.raises(RegistryError, match=r"can't get \w+… .*wrong content \(sha256\)"):
            pulled(another, oci_url)
        assert not another.pulled.exists()
    finally:
        for stored in kept:
            stored.write_bytes(content)
    assert list(damage(pulled(another, oci_url))) == []


def test_a_state_that_was_exchanged_is_refused(home, place, oci_url):
    """The name of a state is the digest of its content."""
    publish(put_release(home), place, None, Silent())
    (tag,) = tags(place, "index-")
    publish(put_release(home, "other"), place, None, Silent())
    (newer,) = {*tags(place, "index-")} - {tag}
    manifest, _ = place._client.manifest(tag, LIMIT)
    place._client.tag(manifest, newer)
    with pytest.raises(RegistryError, match=r"its index index-2-\w+ is damaged \(.*other content than its name says\)"):
        open_place(oci_url).read(INDEX, LIMIT)


def test_changes_of_two_writers_at_the_same_moment_are_both_kept(home, place, oci_url):
    """Each writes on the state that it read; none has the other's change in it."""
    for name in ("one", "two"):
        publish(put_release(home, name, files=files_of(name.encode())), place, None, Silent())
    late, before = open_place(oci_url), place._state()
    late._state = lambda: before  # type: ignore[attr-defined]
    yank(place, "one", "1.0.0", "bad crops")
    publish(put_release(home, "one", files=files_of(b"one"), records=(measured(2.0, release="one@1.0.0"),)), late, None,
            Silent())  # fmt: skip
    yank(late, "two", "1.0.0", "too small")
    index = check_whole(open_place(oci_url))
    assert index.find("one", "1.0.0").yanked == "bad crops"
    assert index.find("two", "1.0.0").yanked == "too small"
    assert len(index.find("one", "1.0.0").measurements) == 2
    assert index.revision == 5


def claim_of(label, nonce):
    return f"claim-{sha(label.encode())[:16]}-{nonce}"


@pytest.mark.parametrize("nonce", ["0" * 16, "f" * 16], ids=["smaller", "larger"])
def test_a_claim_of_a_publisher_that_died_is_given_up(home, place, monkeypatch, nonce):
    """Whether it was before or after ours; a claim for another release is not waited for."""
    monkeypatch.setattr(oci_claims, "ABANDONED", 0.5)
    place._mark(claim_of("tiny@1.0.0", nonce))
    place._mark(claim_of("other@1.0.0", nonce))
    begun = time.monotonic()
    publish(put_release(home), place, None, Silent())
    assert time.monotonic() - begun > 0.5
    assert claim_of("tiny@1.0.0", nonce).replace("claim", "done") in tags(place)
    begun = time.monotonic()
    publish(put_release(home, version="1.0.1"), place, None, Silent())
    assert time.monotonic() - begun < 5


def test_whoever_sees_a_smaller_claim_withdraws_and_whoever_sees_a_larger_one_waits(monkeypatch):
    written: list[str] = []
    claims = oci_claims.Claims("tiny@1.0.0", lambda: written, written.append)
    monkeypatch.setattr("zoo.registry.places.oci_claims.secrets.token_hex", lambda _: "5" * 16)
    other = claim_of("tiny@1.0.0", "3" * 16)
    written.append(other)
    assert not claims.acquire()
    assert written[-1] == claim_of("tiny@1.0.0", "5" * 16).replace("claim", "done")

    written[:] = [claim_of("tiny@1.0.0", "7" * 16)]
    monkeypatch.setattr("zoo.registry.places.oci_claims.time.sleep", lambda _: written.append("done-" + written[0][6:]))
    assert claims.acquire()
    assert len([tag for tag in written if tag.startswith("done-")]) == 1  # the other's; ours is open


def test_a_publisher_that_was_held_up_writes_nothing_and_begins_again(home, place, monkeypatch):
    """Others may have given its claim up."""
    asked = []

    def fresh(self):
        asked.append(self)
        return len(asked) > 1

    monkeypatch.setattr(oci_claims.Claims, "is_fresh", property(fresh))
    publish(put_release(home), place, None, Silent())
    assert len(tags(place, "claim-")) == 2
    assert len(tags(place, "index-")) == 1
    check_whole(place)


def test_garbage_is_deleted_with_its_artifacts_and_the_rest_stays(home, place, oci_url, monkeypatch, another):
    """A publisher that was killed before it wrote the index left an artifact."""
    publish(put_release(home), place, None, Silent())
    publish(put_release(home, records=(measured(3.0),)), place, None, Silent())
    with monkeypatch.context() as patch:
        patch.setattr(type(place), "_commit", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            publish(put_release(home, "killed", files={"graph/x.onnx": b"left over"}), place, None, Silent())
    assert collect_garbage(place, dry=True) == (0, 0)  # all of it is young
    later = time.time() + 2 * 86400
    for module in ("zoo.registry.publish", "zoo.registry.places.oci"):
        monkeypatch.setattr(f"{module}.time.time", lambda: later)
    count, _ = collect_garbage(place, dry=True)
    assert count == 3  # its file, its manifest, its measurement
    assert collect_garbage(place, dry=False)[0] == count
    assert collect_garbage(open_place(oci_url), dry=True) == (0, 0)
    assert tags(place, "killed-") == []
    assert tags(place, "claim-") == tags(place, "done-") == []
    assert len(tags(place, "index-")) == 1  # the last one has the others in it
    assert check_whole(open_place(oci_url)).revision == 2
    check(pulled(another, oci_url))


def test_a_registry_that_forbids_deletion_is_reported(home, tmp_path, monkeypatch):
    with running_registry(tmp_path, storage={"filesystem": {"rootdirectory": str(tmp_path / "data")}}) as host:
        place = open_place(f"oci://{host}/nets")
        publish(put_release(home), place, None, Silent())
        (carrier,) = tags(place, "files-")
        held = {path for path, _, _ in place.listing("blobs")}
        with pytest.raises(RegistryError, match="does not allow to delete anything. Ask its keeper"):
            place.remove(sorted(held))
        assert tags(place, "files-") == [carrier]
