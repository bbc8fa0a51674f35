"""Pulled releases are complete and verified before they are visible: after interruptions, from mirrors, offline."""

import hashlib
import json
import random
import re
import shutil
from http.server import SimpleHTTPRequestHandler
from pathlib import Path

import pytest

from pipeline.progress import Silent
from tests.zoo.records import a_manifest
from tests.zoo.registry.conftest import Quiet
from tests.zoo.registry.samples import files_of, measured, put_release, tree
from zoo.building.build import BuildRequest
from zoo.catalogue.registry_settings import RegistrySettings
from zoo.cli.registry import _request as planned_request
from zoo.errors import NothingPrebuilt, RegistryError
from zoo.home import Home
from zoo.registry.cache import Cache
from zoo.registry.choice import chooser
from zoo.registry.index import Index
from zoo.registry.opening import open_registry
from zoo.registry.places.by_url import open_place
from zoo.registry.publish import publish, yank
from zoo.registry.pull import pull
from zoo.registry.reader import Registry
from zoo.registry.resolution import resolve
from zoo.registry.verify import damage, missing

EVERYTHING = chooser(None)


def reader(home, *urls, **settings):
    return Registry([open_place(str(url)) for url in urls], Cache(home.cache), **settings)


def pulled(home, url, wanted="tiny", choose=EVERYTHING, **settings):
    return pull(reader(home, url, **settings), home, wanted, choose, Silent())


def check(release, files=None):
    """Every file is there, byte by byte."""
    assert list(damage(release)) == []
    for path, content in (files or files_of()).items():
        assert (release.path.parent / path).read_bytes() == content


@pytest.fixture
def another(tmp_path):
    return Home(tmp_path / "another")


@pytest.fixture
def published(home, folder):
    """A folder with three versions of a release."""
    for version in ("1.0.0", "1.1.0", "2.0.0"):
        publish(put_release(home, version=version, files=files_of(version.encode())), folder, None, Silent())
    return folder


def test_every_file_comes_with_its_measurements(home, writable, another):
    release = put_release(home, records=(measured(), measured(9.0)))
    publish(release, writable, None, Silent())
    got = pulled(another, writable.url)
    check(got)
    assert got.manifest == release.manifest
    assert {one.latency[0].p50_ms for one in got.measured} == {5.0, 9.0}


def test_over_http(published, serve, another):
    check(pulled(another, serve(published.root)), files_of(b"2.0.0"))


@pytest.mark.parametrize(
    ("wanted", "version"),
    [("tiny", "2.0.0"), ("tiny@1.0.0", "1.0.0"), ("tiny@^1.0", "1.1.0"), ("tiny@1", "1.1.0"), ("tiny@<1.1", "1.0.0")],
)
def test_versions_and_ranges(published, another, wanted, version):
    assert pulled(another, published.url, wanted).manifest.version == version


@pytest.mark.parametrize(
    ("wanted", "told"),
    [
        ("tinny", "no release 'tinny' in .* Did you mean 'tiny'\\? Or name another registry: --registry URL"),
        ("tiny@3", "no version 3 of tiny in .* Available: 1.0.0, 1.1.0, 2.0.0"),
        ("tiny@newest", "'newest' is not a version. Write tiny@1.2.0, or a range"),
    ],
)
def test_unknown_releases_are_reported(published, another, wanted, told):
    with pytest.raises(RegistryError, match=told):
        pulled(another, published.url, wanted)
    assert not another.pulled.exists()


def test_an_empty_registry_says_what_to_do():
    with pytest.raises(RegistryError, match="no release 'tiny' in there. It is empty: publish a release there"):
        resolve(Index(), "tiny", "there")


def test_a_yanked_version_needs_its_exact_name(published, another):
    yank(published, "tiny", "2.0.0", "bad crops")
    assert pulled(another, published.url).manifest.version == "1.1.0"
    told = []
    progress = type("Told", (Silent,), {"say": lambda _, text: told.append(text)})()
    assert pull(reader(another, published.url), another, "tiny@2.0.0", EVERYTHING, progress).manifest.version == "2.0.0"
    assert "tiny@2.0.0 is yanked: bad crops" in told


def test_one_target_comes_with_the_graph_and_without_the_others(published, another):
    release = pulled(another, published.url, choose=chooser(["onnxruntime-cpu"]))
    assert {path for path in tree(release.path.parent) if "measurements" not in path} == {
        "manifest.json", "graph/model.onnx", "onnxruntime-cpu/model.onnx",
    }  # fmt: skip
    assert missing(release) == ["network/network.safetensors", "openvino-cpu/model.xml", "openvino-cpu/model.bin"]
    both = pulled(another, published.url, choose=chooser(["openvino-cpu"]))
    assert missing(both) == ["network/network.safetensors"]  # pulled files stay


def test_a_target_without_artifacts_is_reported_with_the_build_command(published, another):
    with pytest.raises(RegistryError) as caught:
        pulled(another, published.url, choose=chooser(["jetson-orin-nano"]))
    assert "nothing prebuilt for jetson-orin-nano; available: onnxruntime-cpu, openvino-cpu" in str(caught.value)
    assert re.search(r" Build it: zoo build tiny .*--target jetson-orin-nano$", str(caught.value))


@pytest.mark.parametrize(
    "command",
    [
        "zoo add big --onnx net.onnx --data cars",
        "zoo build big --student timm:lcnet_050",
        "zoo build big --from a@1.0.0",
    ],
)
def test_a_missing_target_is_built_by_the_command_of_the_release_which_is_not_planned(command):
    made = a_manifest().provenance.model_dump() | {"command": command}
    with pytest.raises(NothingPrebuilt) as caught:
        chooser(["jetson-orin-nano"])(a_manifest(provenance=made), [])
    assert str(caught.value).endswith(f" Build it: {command} --target jetson-orin-nano")
    assert planned_request(caught.value.command) is None


def test_a_model_of_the_catalogue_as_it_stands_can_be_planned():
    assert planned_request("zoo build big --target a --target b") == BuildRequest("big", ["a", "b"])
    assert planned_request("zoo build big") == BuildRequest("big", [])
    assert planned_request("zoo build big --target a --set distill.epochs=3") is None
    assert planned_request("") is None


def test_a_target_of_the_release_needs_no_catalogue_and_others_go_by_their_own_name(published, another):
    def own_name(target):
        return {"ov": "openvino-cpu"}[target]

    release = pulled(another, published.url, choose=chooser(["onnxruntime-cpu", "ov"], own_name))
    assert missing(release) == ["network/network.safetensors"]
    with pytest.raises(KeyError):
        pulled(another, published.url, choose=chooser(["nothing"], own_name))


class Packed(Quiet):
    """Compresses every response."""

    def end_headers(self) -> None:
        self.send_header("Content-Encoding", "gzip")
        super().end_headers()


def test_compressed_responses_are_refused(published, serve, another):
    with pytest.raises(RegistryError, match=r"can't be used: the server compresses its response \(gzip\)"):
        pulled(another, serve(published.root, Packed))


def test_offline_pulled_releases_are_used(published, serve, another, tmp_path):
    url = serve(published.root)
    pulled(another, url)
    published.root.rename(tmp_path / "gone")
    check(pulled(another, url), files_of(b"2.0.0"))
    with pytest.raises(RegistryError, match="not there. Tell the registry's owner"):
        pulled(another, url, "tiny@1.0.0")


def test_an_unreachable_unknown_registry_is_reported(another):
    with pytest.raises(RegistryError, match=r"the registry http://127.0.0.1:9 can't be used: .*Check address"):
        pulled(another, "http://127.0.0.1:9")


def test_a_mirror_supplies_missing_files(published, serve, another, tmp_path):
    mirror = tmp_path / "mirror"
    (published.root / "blobs").rename(mirror)
    urls = serve(published.root), serve(tmp_path)  # the second has blobs under another folder's name
    (tmp_path / "blobs").symlink_to(mirror)
    check(pull(reader(another, *urls), another, "tiny", EVERYTHING, Silent()), files_of(b"2.0.0"))


def test_an_outdated_mirror_does_not_roll_the_registry_back(published, serve, another, home, tmp_path):
    old = (published.root / "index.json").read_bytes()
    url = serve(published.root)
    publish(put_release(home, version="3.0.0"), published, None, Silent())
    pulled(another, url)
    (tmp_path / "lagging").mkdir()
    (tmp_path / "lagging/index.json").write_bytes(old)
    (published.root / "index.json").unlink()
    (published.root / "index.json").mkdir()  # the registry itself is broken
    got = pull(reader(another, url, serve(tmp_path / "lagging")), another, "tiny", EVERYTHING, Silent())
    assert got.manifest.version == "3.0.0"


class Cutting(SimpleHTTPRequestHandler):
    """Serves ranges, like web servers, and cuts every other connection at a random position."""

    dice, cuts = random.Random(0), 0

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        path = Path(self.translate_path(self.path))
        if not path.is_file():
            self.send_error(404)
            return
        content, first, last = path.read_bytes(), 0, None
        if asked := self.headers.get("Range"):
            first, _, last = asked.removeprefix("bytes=").partition("-")  # type: ignore[assignment]
            first, last = int(first), int(last) + 1  # type: ignore[assignment]
        part = content[first:last]
        self.send_response(206 if asked else 200)
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        whole = self.dice.random() < 0.5
        type(self).cuts += not whole
        self.wfile.write(part if whole else part[: self.dice.randrange(len(part) + 1)])


def test_pulls_over_unreliable_connections_succeed(published, serve, tmp_path, monkeypatch):
    monkeypatch.setattr("zoo.registry.download.CHUNK", 70_000)
    monkeypatch.setattr("zoo.registry.places.patience.FIRST_PAUSE", 0.001)
    monkeypatch.setattr("zoo.registry.places.patience.LONGEST_PAUSE", 0.002)
    url = serve(published.root, Cutting)
    for number in range(12):
        home = Home(tmp_path / f"home{number}")
        for _ in range(20):  # repeat the command, as the error says
            try:
                release = pulled(home, url)
                break
            except RegistryError:
                assert not home.pulled.exists()  # no half release in sight
                for path in tree(home.cache / "blobs"):  # named files are complete
                    assert hashlib.sha256((home.cache / "blobs" / path).read_bytes()).hexdigest() == Path(path).name
        else:
            pytest.fail(f"pull {number}: 20 tries")
        check(release, files_of(b"2.0.0"))
        assert not tree(home.cache / "parts")
    assert Cutting.cuts > 50


def test_a_server_without_ranges_works(published, serve, another, monkeypatch):
    monkeypatch.setattr("zoo.registry.download.CHUNK", 20_000)
    check(pulled(another, serve(published.root, Quiet)), files_of(b"2.0.0"))


def test_a_pull_resumes(published, another, monkeypatch):
    asked, got = [], []
    place = open_place(published.url)
    original = type(place).fetch

    def fetch(self, path, start, end):
        asked.append(path)
        if len(asked) == 3:
            raise PermissionError("cut")
        got.append((path, start))
        return original(self, path, start, end)

    monkeypatch.setattr("zoo.registry.download.CHUNK", 100_000)
    monkeypatch.setattr("zoo.registry.pull.PARALLEL", 1)
    monkeypatch.setattr(type(place), "fetch", fetch)
    with pytest.raises(RegistryError):
        pulled(another, published.url)
    check(pulled(another, published.url), files_of(b"2.0.0"))
    assert len(got) == len({*got}) > 5  # nothing was downloaded twice


def test_mirrors_are_those_of_the_registry_that_names_them(another, monkeypatch):
    monkeypatch.delenv("ZOO_REGISTRY", raising=False)
    settings = RegistrySettings(url="/ours", mirrors=("/mirror",))
    for named, urls in ((None, ["/ours", "/mirror"]), ("/other", ["/other"])):
        assert [place.url for place in open_registry(settings, another, named, False).places] == urls


def test_the_registrys_error_is_reported_and_not_its_mirrors(another, tmp_path):
    with pytest.raises(RegistryError, match=r"/ours is not a registry: it has no index.json"):
        pull(reader(another, tmp_path / "ours", tmp_path / "mirror"), another, "tiny", EVERYTHING, Silent())


def test_a_mirror_replaces_damaged_files(published, another, tmp_path):
    """Damaged content is discarded before the next place is asked."""
    mirror = shutil.copytree(published.root, tmp_path / "mirror")
    for path in tree(published.root / "blobs"):
        file = published.root / "blobs" / path
        if file.stat().st_size > 200_000:
            file.write_bytes(b"y" * file.stat().st_size)
    release = pull(reader(another, published.url, mirror), another, "tiny", EVERYTHING, Silent())
    check(release, files_of(b"2.0.0"))


def test_damaged_files_in_the_cache_are_downloaded_again(published, another, tmp_path):
    """Small files by their digests, others by their sizes."""
    home = Home(tmp_path / "damaged")
    pulled(another, published.url)
    for path in tree(another.cache / "blobs"):
        content = (another.cache / "blobs" / path).read_bytes()
        fresh = home.cache / "blobs" / path
        fresh.parent.mkdir(parents=True, exist_ok=True)
        fresh.write_bytes(content[1:] if len(content) > 200_000 else content)
        if content.startswith(b"{"):
            fresh.write_bytes(b"[" + content[1:])
    check(pulled(home, published.url), files_of(b"2.0.0"))


@pytest.mark.parametrize("damage", ["changed", "shorter", "gone", "with its manifest"])
def test_damaged_files_of_a_release_are_fixed_by_pulling_again(published, another, damage):
    release = pulled(another, published.url)
    file = release.path.parent / "openvino-cpu/model.bin"
    content = file.read_bytes()
    if damage == "gone":
        file.unlink()
    else:  # in place, and so in the cache, too, since they are hard links
        with file.open("r+b") as open_file:
            open_file.write(b"x")
            open_file.truncate(len(content) - (damage == "shorter"))
    if damage == "with its manifest":
        release.path.write_bytes(release.path.read_bytes()[:-1] + b" ")
    again = pulled(another, published.url)
    check(again, files_of(b"2.0.0"))
    assert again.path.read_bytes().endswith(b"}")


def test_a_mirror_can_not_speak_for_the_registry(published, another, tmp_path):
    """Whatever it serves while the registry is down, the registry takes precedence afterwards."""
    mirror = shutil.copytree(published.root, tmp_path / "mirror")
    index = json.loads((mirror / "index.json").read_text())
    (mirror / "index.json").write_text(json.dumps({**index, "revision": 10**12}))
    away = published.root.rename(tmp_path / "away")
    check(pull(reader(another, published.url, mirror), another, "tiny", EVERYTHING, Silent()), files_of(b"2.0.0"))
    away.rename(published.root)
    publish(put_release(Home(tmp_path / "maker"), version="3.0.0"), published, None, Silent())
    release = pull(reader(another, published.url, mirror), another, "tiny", EVERYTHING, Silent())
    assert release.manifest.version == "3.0.0"


def test_a_measurement_that_was_added_comes_with_the_next_pull(home, folder, another):
    publish(put_release(home), folder, None, Silent())
    assert len(pulled(another, folder.url).measured) == 1
    publish(put_release(home, records=(measured(9.0),)), folder, None, Silent())
    assert {one.latency[0].p50_ms for one in pulled(another, folder.url).measured} == {5.0, 9.0}


class Refusing(Quiet):
    """Answers with a document that is not an index."""

    def do_GET(self) -> None:
        self.send_response(503)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")


def test_a_server_without_an_index_is_reported(serve, another, tmp_path, monkeypatch):
    monkeypatch.setattr("zoo.registry.places.patience.LONGEST_PAUSE", 0.001)
    with pytest.raises(RegistryError, match="can't be used: HTTP 503 Service Unavailable"):
        pulled(another, serve(tmp_path, Refusing))


@pytest.mark.parametrize("kind", ["folder", "http"])
def test_an_index_above_the_size_limit_is_refused(published, serve, kind):
    place = open_place(serve(published.root)) if kind == "http" else published
    with pytest.raises(RegistryError, match=r"index.json of \S+ exceeds the limit of"):
        place.read("index.json", 10)


def test_a_full_disk_is_reported_before_downloading(published, another, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 1000})())
    with pytest.raises(RegistryError, match="MB free. Free some"):
        pulled(another, published.url)


def test_an_unwritable_cache_is_reported(published, another, monkeypatch):
    another.root.mkdir()
    another.cache.write_text("a file")
    pauses: list[float] = []
    monkeypatch.setattr("tenacity.nap.time.sleep", pauses.append)
    with pytest.raises(RegistryError, match="can't write below .*set ZOO_HOME to a writable folder"):
        pulled(another, published.url)
    assert pauses == [], "nothing is tried again"
