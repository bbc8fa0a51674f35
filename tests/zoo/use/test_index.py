"""Indexes: what is found, how often the nearest is, and files that are refused."""

import hashlib
import json
import resource
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

from pipeline.progress import Silent
from zoo.errors import GalleryError, OutputError
from zoo.use.gallery import Gallery, read_gallery, write_gallery
from zoo.use.index import open_index
from zoo.use.index_build import build_index, list_count, split
from zoo.use.query import find_in_index
from zoo.use.unchanged import File


def directions(count, dimension=32, seed=0):
    """Embeddings around directions, as those of a few hundred identities are."""
    random = np.random.default_rng(seed)
    centres = random.standard_normal((max(1, count // 20), dimension))
    rows = centres[random.integers(0, len(centres), count)] + 0.5 * random.standard_normal((count, dimension))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def a_gallery(embeddings, **changes):
    paths = tuple(f"{number:05}/ö.jpg" for number in range(len(embeddings)))
    files = tuple(File(number, number + 2**40, f"{number:064x}") for number in range(len(embeddings)))
    about = ("big@1.0.0", "openvino-cpu", "int8", "a" * 64, Path("/nowhere"))
    return replace(Gallery(paths, files, embeddings, *about), **changes)


@pytest.fixture(scope="module")
def gallery():
    return a_gallery(directions(6000))


@pytest.fixture(scope="module")
def file(gallery, tmp_path_factory):
    """Read-only."""
    path = tmp_path_factory.mktemp("index") / "x.index"
    build_index(path, gallery, 0.95, Silent())
    return path


def test_an_index_finds_what_comparing_all_finds(gallery, file):
    index = open_index(file)
    assert 1 <= index.about.probe < index.inverted.lists == list_count(6000)
    queries, right = directions(6000, seed=0)[::40] + 0.02, 0
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    for query in queries:
        places, similarities = index.nearest(query, 10)
        assert (np.diff(similarities) <= 0).all()
        number = [int(index.path(place)[:5]) for place in places.tolist()]
        np.testing.assert_allclose(similarities, gallery.embeddings[number] @ query, atol=1e-6)  # not approximate
        right += number[0] == np.argmax(gallery.embeddings @ query)
    assert right / len(queries) > 0.93
    assert index.recall is not None
    assert 95 <= index.recall <= 100


def test_an_index_keeps_paths_files_and_the_model(gallery, file):
    index = open_index(file)
    assert (index.model, index.target, index.precision) == (gallery.model, gallery.target, gallery.precision)
    assert (index.artifact_sha256, index.folder) == (gallery.artifact_sha256, gallery.folder)
    assert (index.count, index.dimension, index.skipped) == (6000, 32, ())
    kept = {index.path(place): index.file(place) for place in range(index.count)}
    assert kept == dict(zip(gallery.paths, gallery.files, strict=True))


def test_names_of_files_that_are_not_utf_8_are_kept(tmp_path):
    paths = ("a.jpg", "b\udcff\udcfe/ö.jpg")
    build_index(tmp_path / "x.index", a_gallery(directions(2), paths=paths), 0.99, Silent())
    index = open_index(tmp_path / "x.index")
    assert {index.path(place) for place in range(2)} == {*paths}


def test_a_folder_whose_name_is_not_utf_8_is_refused(tmp_path):
    with pytest.raises(GalleryError, match="not UTF-8. Rename it"):
        build_index(tmp_path / "x.index", a_gallery(directions(2), folder=Path("/b\udcff")), 0.99, Silent())
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("digest", ["", "a" * 62, "A" * 64, "a" * 63 + "g", "a" * 64 + "\n"])
def test_a_gallery_with_a_sha256_that_is_none_is_refused_before_the_work(digest, tmp_path, monkeypatch):
    monkeypatch.setattr("zoo.use.index_build.make_lists", lambda *_: 1 / 0)
    files = (File(1, 2, "a" * 64), File(1, 2, digest))
    with pytest.raises(GalleryError, match="an invalid sha256. Make it again: zoo embed"):
        build_index(tmp_path / "x.index", a_gallery(directions(2), files=files), 0.99, Silent())
    assert not list(tmp_path.iterdir())


def test_a_full_disk_leaves_the_index_as_it_was(tmp_path):
    (tmp_path / "x.index").write_bytes(b"before")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    try:
        with pytest.raises(OutputError, match=r"can't write .*File too large\. Free some space"):
            build_index(tmp_path / "x.index", a_gallery(directions(500)), 0.99, Silent())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [one.read_bytes() for one in tmp_path.iterdir()] == [b"before"]


def test_more_recall_searches_more_lists(gallery, tmp_path):
    probes = []
    for wanted in (0.2, 0.9, 1.0):
        about, _ = build_index(tmp_path / "x.index", gallery, wanted, Silent())
        assert about.recall >= 100 * wanted
        assert about.queries == 600
        probes.append(about.probe)
    assert probes == sorted(probes)
    assert probes[0] < probes[-1]


def test_more_images_than_the_lists_have_are_found(gallery, file):
    index = open_index(file)
    for count in (1, 500, 6000, 9000):
        places, _ = index.nearest(gallery.embeddings[0], count)
        assert len(set(places.tolist())) == min(count, 6000)
        assert places.min() >= 0


@pytest.mark.parametrize("count", [100, 6000])
def test_recall_is_measured_on_images_that_k_means_has_not_seen(count):
    held, training = split(count, list_count(count))
    assert len(held) == count // 10
    assert not {*held.tolist()} & {*training.tolist()}


@pytest.mark.parametrize("count", [1, 2, 50])
def test_a_small_gallery_is_compared_as_a_whole(count, tmp_path):
    gallery = a_gallery(directions(count))
    build_index(tmp_path / "x.index", gallery, 0.99, Silent())
    index = open_index(tmp_path / "x.index")
    assert index.recall is None
    places, _ = index.nearest(gallery.embeddings[-1], 5)
    assert index.path(int(places[0])) == gallery.paths[-1]
    assert len(places) == min(5, count)


def test_equal_images_come_in_the_order_of_paths(tmp_path):
    embeddings = np.repeat(directions(3), 4, axis=0)
    build_index(tmp_path / "x.index", a_gallery(embeddings), 0.99, Silent())
    index = open_index(tmp_path / "x.index")
    places, similarities = index.nearest(embeddings[0], 4)
    assert [index.path(place) for place in places.tolist()] == [f"{number:05}/ö.jpg" for number in range(4)]
    np.testing.assert_allclose(similarities, 1, atol=1e-6)


def test_opposite_embeddings_have_a_list(tmp_path):
    """Their mean has no direction."""
    row = directions(1)
    build_index(tmp_path / "x.index", a_gallery(np.concatenate([row, -row])), 0.99, Silent())
    _, similarities = open_index(tmp_path / "x.index").nearest(row[0], 2)
    np.testing.assert_allclose(similarities, [1, -1], atol=1e-6)


def test_the_same_gallery_gives_the_same_file(gallery, file, tmp_path):
    build_index(tmp_path / "x.index", gallery, 0.95, Silent())
    assert (tmp_path / "x.index").read_bytes() == file.read_bytes()


def test_lists_are_read_when_they_are_needed(gallery, file):
    """Most of the file is not touched by a query."""
    index, read = open_index(file), []
    rows_of = index.tensors.rows_of
    index.inverted._rows_of = lambda number: read.append(number) or rows_of(number)
    index.nearest(gallery.embeddings[0], 1)
    index.nearest(gallery.embeddings[0], 1)
    assert len(read) == index.about.probe  # once


def spoiled(file, tmp_path, **changes):
    """A copy of an index with other tensors, or without some, and the old note."""
    with safe_open(file, framework="numpy") as opened:
        note = opened.metadata()
        tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    tensors = {name: value for name, value in {**tensors, **changes}.items() if value is not None}
    save_file(tensors, tmp_path / "y.index", note)
    return tmp_path / "y.index"


@pytest.mark.parametrize(
    "changes",
    [
        {"centroids": None},
        {"more": np.zeros(3, np.float32)},
        {"centroids": np.zeros((4, 32), np.float32)},
        {"starts": np.zeros(4, np.int64)},
        {"sizes": np.zeros(6000, np.int32)},
        {"paths": np.zeros(9, np.uint8)},
        {"embeddings": np.zeros((10, 32), np.float32)},
        {"embeddings": np.zeros((6000, 31), np.float32)},
        {"embeddings": np.zeros((6000, 32), np.float16)},
    ],
    ids=str,
)
def test_an_index_with_other_tensors_is_refused(file, tmp_path, changes):
    with pytest.raises(GalleryError, match=r"y.index is damaged or no index: .*\. Make it again: zoo index") as error:
        open_index(spoiled(file, tmp_path, **changes))
    assert len(str(error.value).splitlines()) == 1


def search_all(path, query):
    """Search every list."""
    index = open_index(path)
    index.inverted.search(query[None], 1, index.inverted.lists)


def test_every_damaged_byte_that_a_query_needs_is_noticed(file, tmp_path):
    content, random = file.read_bytes(), np.random.default_rng(0)
    query = directions(1)[0]
    for place in random.integers(0, len(content), 200).tolist():
        spoilt = bytearray(content)
        spoilt[place] ^= 1 << int(random.integers(8))
        (tmp_path / "y.index").write_bytes(spoilt)
        with pytest.raises(GalleryError, match="y.index"):
            search_all(tmp_path / "y.index", query)


@pytest.mark.parametrize("length", [0, 1, 7, 8, 100, 5000, -1])
def test_a_cut_index_is_refused(file, tmp_path, length):
    (tmp_path / "y.index").write_bytes(file.read_bytes()[:length])
    with pytest.raises(GalleryError, match="y.index is damaged or no index"):
        open_index(tmp_path / "y.index")


def test_other_files_are_refused(gallery, file, tmp_path):
    with pytest.raises(GalleryError, match="can't read the index .*none: No such file"):
        open_index(tmp_path / "none")
    with pytest.raises(GalleryError, match="can't read the index"):
        open_index(tmp_path)
    save_file({"a": np.zeros(3, np.float32)}, tmp_path / "weights.safetensors")
    with pytest.raises(GalleryError, match="it has no note of zoo index"):
        open_index(tmp_path / "weights.safetensors")
    write_gallery(tmp_path / "x.npz", gallery)
    with pytest.raises(GalleryError, match="x.npz is a gallery, not an index. Search it with --gallery"):
        open_index(tmp_path / "x.npz")
    with pytest.raises(GalleryError, match="x.index is an index, not a gallery. Search it with --index"):
        read_gallery(file)


def test_an_index_never_names_an_image_outside_its_folder(tmp_path):
    gallery = a_gallery(directions(2))
    for path in ("../secret.jpg", "/etc/passwd"):
        build_index(tmp_path / "x.index", replace(gallery, paths=("a.jpg", path)), 0.99, Silent())
        index = open_index(tmp_path / "x.index")
        with pytest.raises(GalleryError, match="outside its folder"):
            [index.path(place) for place in range(2)]


def test_without_the_extra(file, monkeypatch):
    monkeypatch.setattr("zoo.use.index_build.find_spec", lambda name: None if name == "faiss" else True)
    with pytest.raises(GalleryError, match=r"an index needs faiss-cpu, .*\[index\]"):
        open_index(file)


def test_the_note_is_json_with_the_model(file):
    with safe_open(file, framework="numpy") as opened:
        about = json.loads(json.loads(opened.metadata()["zoo"])["about"])
    assert (about["format"], about["model"], about["artifact_sha256"]) == ("zoo.index/1", "big@1.0.0", "a" * 64)


class Model:
    """Embeds the name of a file: its number is that of a row."""

    release, target, precision, artifact_sha256 = "big@1.0.0", "openvino-cpu", "int8", "a" * 64

    def __init__(self, rows):
        self.rows = rows

    def read(self, path):
        return int(path.stem)

    def embed(self, number):
        return self.rows[number][None]


def test_what_replaces_changed_images_is_in_order_and_named_once(tmp_path):
    """The lists that are near hold few images: for more of them, further lists are searched, with nearer images."""
    rows, folder = directions(200), tmp_path / "images"
    folder.mkdir()
    paths = tuple(f"{number:03}.jpg" for number in range(200))
    for path in paths:
        (folder / path).write_text(path)
    files = tuple(File(7, 0, hashlib.sha256(path.encode()).hexdigest()) for path in paths)
    gallery = a_gallery(rows, paths=paths, files=files, folder=folder)
    assert build_index(tmp_path / "x.index", gallery, 0.1, Silent())[0].probe == 1
    unsorted = 0
    for number in range(0, 200, 50):
        index = open_index(tmp_path / "x.index")
        first = index.nearest(rows[number], 30)[0]
        for place in first[:10].tolist():
            (folder / index.path(place)).write_text("changed")
        query = Path(f"{number}.jpg")
        answer = find_in_index(query, tmp_path / "x.index", 30, None, None, lambda *_: cast("Any", Model(rows)))
        similarities = [one.similarity for one in answer.nearest]
        assert similarities == sorted(similarities, reverse=True)
        assert len({one.name for one in answer.nearest}) == 30
        assert {one.path for one in answer.stale} >= {index.path(place) for place in first[:10].tolist()}
        kept = similarities[: len(similarities) - 10]
        unsorted += kept != [float(rows[int(index.path(place)[:3])] @ rows[number]) for place in first[10:].tolist()]
        for place in first[:10].tolist():
            (folder / index.path(place)).write_text(index.path(place))
    assert unsorted  # the case that is tested came up
