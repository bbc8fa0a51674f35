"""A folder's embeddings in a file: its content, and refusals."""

import hashlib
import os
import pickle
import shutil
from dataclasses import replace

import numpy as np
import pytest

import zoo
from pipeline.progress import Silent
from zoo.errors import GalleryError, OutputError
from zoo.use.gallery import embed_folder, find_images, read_gallery, write_gallery
from zoo.use.origin import check_fits


def test_links_are_followed_and_unreadable_folders_are_an_error(tmp_path):
    (tmp_path / "far").mkdir()
    (tmp_path / "far" / "a.png").touch()
    (tmp_path / "near").mkdir()
    (tmp_path / "near" / "link").symlink_to(tmp_path / "far")
    (tmp_path / "far" / "back").symlink_to(tmp_path / "near")
    assert find_images(tmp_path / "near").images == ["link/a.png"]
    (tmp_path / "near" / "gone").symlink_to(tmp_path / "unmounted")
    with pytest.raises(GalleryError, match=r"can't read .*near/gone: the link is broken. Make it readable, or take"):
        find_images(tmp_path / "near")


@pytest.fixture
def gallery(model, folder):
    return embed_folder(model, folder, 8, Silent())


def test_images_are_found_below_and_in_order(tmp_path):
    for name in (
        "b/2.JPG",
        "a.png",
        "b/1.webp",
        ".hidden/3.jpg",
        "b/.4.jpg",
        "notes.txt",
        "car.sheet.png",
        "b/c/5.tif",
        "b/c/6.heic",
        "@eaDir/7.jpg",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = find_images(tmp_path)
    assert found.images == ["a.png", "b/1.webp", "b/2.JPG", "b/c/5.tif"]
    assert found.unread == ["b/c/6.heic"]


def test_a_file_gives_the_gallery_back_without_pickle(gallery, model, images, tmp_path):
    write_gallery(tmp_path / "x.npz", gallery)
    with np.load(tmp_path / "x.npz", allow_pickle=False) as file:
        assert file["paths"].tolist() == [path.name for path in images]
        assert all(file[name].dtype.kind in "Ufi" for name in file)
        assert file["sizes"].tolist() == [path.stat().st_size for path in images]
        assert file["mtimes_ns"].tolist() == [path.stat().st_mtime_ns for path in images]
        assert file["sha256"].tolist() == [hashlib.sha256(path.read_bytes()).hexdigest() for path in images]
        np.testing.assert_array_equal(file["embeddings"], model.embed(images))
    again = read_gallery(tmp_path / "x.npz")
    np.testing.assert_array_equal(again.embeddings, gallery.embeddings)
    assert (again.paths, again.files, again.model, again.target, again.folder) == (
        gallery.paths, gallery.files, "tiny@1.0.0", model.target, images[0].parent,
    )  # fmt: skip
    check_fits(again, model, "x.npz")
    assert [path.name for path in tmp_path.glob("*x.npz*")] == ["x.npz"]


def test_equal_galleries_are_equal_files(gallery, model, folder, tmp_path):
    write_gallery(tmp_path / "a.npz", gallery)
    write_gallery(tmp_path / "b.npz", embed_folder(model, folder, 3, Silent()))
    one, other = read_gallery(tmp_path / "a.npz"), read_gallery(tmp_path / "b.npz")
    np.testing.assert_allclose(one.embeddings, other.embeddings, atol=1e-5)
    write_gallery(tmp_path / "c.npz", one)
    assert (tmp_path / "c.npz").read_bytes() == (tmp_path / "a.npz").read_bytes()


def test_equal_images_come_in_the_order_of_paths(gallery):
    twins = replace(gallery, embeddings=np.repeat(gallery.embeddings[:1], 8, axis=0))
    places, similarities = twins.nearest(gallery.embeddings[0])
    assert places.tolist() == list(range(8))
    assert similarities == pytest.approx(np.ones(8))


def test_paths_and_rows_do_not_depend_on_the_folders_location(gallery, model, folder, tmp_path):
    shutil.copytree(folder, tmp_path / "moved")
    moved = embed_folder(model, tmp_path / "moved", 8, Silent())
    assert moved.paths == gallery.paths
    np.testing.assert_array_equal(moved.embeddings, gallery.embeddings)


def test_unreadable_images_are_skipped_with_a_message(gallery, model, folder, tmp_path):
    shutil.copytree(folder, tmp_path / "some")
    (tmp_path / "some" / "0.jpg").write_text("no image")
    said = []

    class Told(Silent):
        def say(self, text, /):
            said.append(text)

    found = embed_folder(model, tmp_path / "some", 8, Told())
    assert found.paths == gallery.paths
    assert [one.path for one in found.skipped] == ["0.jpg"]
    assert len(said) == 1
    assert said[0].startswith("skipped: can't decode image")


def test_a_folder_without_images_is_refused(model, tmp_path):
    with pytest.raises(GalleryError, match="no images below"):
        embed_folder(model, tmp_path, 8, Silent())
    with pytest.raises(GalleryError, match="can't read the folder .*none: No such file"):
        embed_folder(model, tmp_path / "none", 8, Silent())
    (tmp_path / "a.jpg").touch()
    with pytest.raises(GalleryError, match="none of 1 images below .* can be read"):
        embed_folder(model, tmp_path, 8, Silent())


def test_a_gallery_of_another_model_is_refused(gallery, model):
    with pytest.raises(GalleryError, match=r"x was embedded by other@2.0.0, .*Use --model other@2.0.0"):
        check_fits(replace(gallery, model="other@2.0.0"), model, "x")
    with pytest.raises(GalleryError, match="another build of tiny@1.0.0.*Embed its folder again"):
        check_fits(replace(gallery, artifact_sha256="0" * 64), model, "x")
    graph = zoo.load("tiny", "onnxruntime")
    with pytest.raises(GalleryError, match=f"Use --target {model.target}"):
        check_fits(gallery, graph, "x")


def damaged(path, **changes):
    with np.load(path) as file:
        arrays = {name: file[name] for name in file}
    np.savez(path, **{name: value for name, value in {**arrays, **changes}.items() if value is not None})


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"embeddings": None}, "embeddings"),
        ({"paths": np.array(["a.jpg"])}, "1 paths with embeddings float32 8×16"),
        ({"paths": np.array(["../a.jpg"] * 8)}, "leads out of the folder"),
        ({"paths": np.array(["/a.jpg"] * 8)}, "leads out of the folder"),
        ({"paths": np.array(["a.jpg"] * 8, dtype=object)}, "allow_pickle"),
        ({"paths": np.arange(8)}, "not text"),
        ({"embeddings": np.full((8, 16), np.nan, np.float32)}, "not have length 1"),
        ({"model": np.array(3)}, "not text"),
        ({"sha256": None}, "an older version wrote it"),
        ({"sizes": np.arange(7)}, "not match its images"),
        ({"sizes": np.linspace(0, 1, 8)}, "not match its images"),
    ],
)
def test_a_file_that_is_not_a_gallery_is_refused(gallery, tmp_path, changes, told):
    write_gallery(tmp_path / "x.npz", gallery)
    damaged(tmp_path / "x.npz", **changes)
    with pytest.raises(GalleryError, match=f"x.npz is not a gallery: .*{told}"):
        read_gallery(tmp_path / "x.npz")


def test_a_pickle_is_not_opened_and_a_truncated_file_is_refused(gallery, tmp_path):
    (tmp_path / "p.npz").write_bytes(pickle.dumps(os.getcwd))
    with pytest.raises(GalleryError, match="not an archive"):
        read_gallery(tmp_path / "p.npz")
    write_gallery(tmp_path / "x.npz", gallery)
    content = (tmp_path / "x.npz").read_bytes()
    for kept in range(0, len(content), 97):
        (tmp_path / "x.npz").write_bytes(content[:kept])
        with pytest.raises(GalleryError):
            read_gallery(tmp_path / "x.npz")
    with pytest.raises(GalleryError, match="can't read the gallery .*none.npz: No such file"):
        read_gallery(tmp_path / "none.npz")


def test_a_file_that_can_not_be_written_leaves_the_old_one(gallery, tmp_path, monkeypatch):
    (tmp_path / "x.npz").write_text("old")

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OutputError, match=r"can't write .*x.npz: No space left on device"):
        write_gallery(tmp_path / "x.npz", gallery)
    assert {path.name: path.read_text() for path in tmp_path.glob("*.npz*")} == {"x.npz": "old"}
