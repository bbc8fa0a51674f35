"""Data sets: what is found, what is refused, and draws that repeat."""

import hashlib
import json
import os
import pickle
from collections import Counter

import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import ValidationError

from pipeline.data import toycars
from pipeline.data.batches import TrainingBatches
from pipeline.data.dataset import Dataset, open_dataset
from pipeline.data.fingerprint import contents, fingerprint
from pipeline.data.images import Input, read_image
from pipeline.data.sampler import IdentitySampler, Sampling
from pipeline.data.splits import Split
from pipeline.errors import DataError
from tests.forked import run_alone
from tests.helpers import SMALL, draw_vehicles
from zoo.catalogue import load_catalogue

VERI = Dataset(
    path="veri",
    pattern=r"(?P<identity>\d+)_c(?P<camera>\d+)_\d+_\d+\.jpg$",
    train=Split(folder="image_train"),
    query=Split(folder="image_query"),
    gallery=Split(folder="image_test"),
)


@pytest.fixture
def veri(tmp_path):
    """VeRi-776's published layout in miniature."""
    return draw_vehicles(tmp_path / "veri")


def find(tmp_path, dataset=VERI):
    return open_dataset("veri", dataset, tmp_path, tmp_path / "drawn")


def test_veri_layout(veri, tmp_path):
    index = find(tmp_path)
    assert (len(index.train), len(index.query), len(index.gallery)) == (32, 8, 8)
    assert index.train.identity_count == 8
    assert index.train.paths[0] == "image_train/0000_c000_00000000_0.jpg"
    assert sorted(set(index.train.labels.tolist())) == list(range(8))
    assert set(index.query.identities.tolist()) == set(index.gallery.identities.tolist())
    assert not set(index.query.identities.tolist()) & set(index.train.identities.tolist())
    assert set(index.train.cameras.tolist()) == {0, 1}


def test_a_list_file_chooses_images(veri, tmp_path):
    names = sorted(path.name for path in (veri / "image_train").iterdir())[:8]
    (veri / "mine.txt").write_text("\n".join(names) + "\n")
    index = find(tmp_path, VERI.model_copy(update={"train": Split(folder="image_train", names="mine.txt")}))
    assert [path.split("/")[1] for path in index.train.paths] == names


def test_the_fingerprint_depends_on_content_not_location(veri, tmp_path):
    first = find(tmp_path).fingerprint
    assert find(tmp_path).fingerprint == first
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    veri.rename(moved / "veri")
    assert open_dataset("veri", VERI, moved, tmp_path / "drawn").fingerprint == first
    image = next((moved / "veri" / "image_train").iterdir())
    image.write_bytes(image.read_bytes() + b"\0")
    assert open_dataset("veri", VERI, moved, tmp_path / "drawn").fingerprint != first


def test_the_fingerprint_detects_new_content_of_equal_size_and_time(veri, tmp_path, monkeypatch):
    """An image is exchanged, and its time set back: written into the same file, and as another file of its name."""
    monkeypatch.setattr("pipeline.data.fingerprint.SETTLED_NS", -(10**12))  # as if the files were old
    image, *_, other = sorted((veri / "image_train").iterdir())
    for ways in ("in place", "renamed"):
        size = 2000
        image.write_bytes(image.read_bytes().ljust(size, b"\0"))
        before, stat = find(tmp_path).fingerprint, image.stat()
        assert find(tmp_path).fingerprint == before
        fresh = (other.read_bytes() + ways.encode()).ljust(size, b"\0")
        place = image if ways == "in place" else tmp_path / "fresh.jpg"
        place.write_bytes(fresh)
        os.utime(place, ns=(stat.st_atime_ns, stat.st_mtime_ns))
        place.replace(image)
        assert (image.stat().st_size, image.stat().st_mtime_ns) == (stat.st_size, stat.st_mtime_ns)
        assert find(tmp_path).fingerprint != before


def test_files_that_did_not_change_are_read_once(veri, tmp_path, monkeypatch):
    first = find(tmp_path).fingerprint
    monkeypatch.setattr("pipeline.data.fingerprint.SETTLED_NS", -(10**12))  # as if they were old
    assert find(tmp_path).fingerprint == first
    monkeypatch.setattr("pipeline.data.fingerprint.decode", None)
    assert find(tmp_path).fingerprint == first


def test_a_file_that_has_just_changed_is_read_again(veri, tmp_path):
    find(tmp_path)
    (memory,) = (tmp_path / "drawn" / "fingerprints").iterdir()
    assert memory.read_text() == "{}"


def test_the_fingerprint_depends_on_how_an_image_is_read(tmp_path):
    """Pixels changed by reading make another data set; otherwise digests are those of the files."""
    row = ("train", "a.png", "1", "2")

    def found():
        return fingerprint([row], contents(tmp_path, ["a.png"], tmp_path / "memory"))

    Image.new("RGB", (20, 20), (9, 9, 9)).save(tmp_path / "a.png")
    digest = hashlib.sha256((tmp_path / "a.png").read_bytes()).hexdigest()
    plain = hashlib.sha256(json.dumps([[*row, digest]]).encode()).hexdigest()
    assert found() == plain
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (20, 20), (9, 9, 9)).save(tmp_path / "a.png", exif=exif)
    digest = hashlib.sha256((tmp_path / "a.png").read_bytes()).hexdigest()
    turned = hashlib.sha256(json.dumps([[*row, f"{digest} orientation 6"]]).encode()).hexdigest()
    assert found() == turned


def test_a_missing_folder_is_reported_with_remedies(tmp_path):
    with pytest.raises(DataError, match=r"no folder .*veri.*--data-root.*ZOO_DATA"):
        find(tmp_path)


def test_an_identity_with_one_image(veri, tmp_path):
    for path in sorted((veri / "image_train").glob("0003_*"))[1:]:
        path.unlink()
    with pytest.raises(DataError, match=r"identity 0003 has one training image .*singletons: drop"):
        find(tmp_path)
    index = find(tmp_path, VERI.model_copy(update={"singletons": "drop"}))
    assert index.train.identity_count == 7


def test_a_query_without_right_answers(veri, tmp_path):
    for path in (veri / "image_test").glob("0009_c001_*"):
        path.unlink()
    with pytest.raises(DataError, match=r"query image_query/0009_c000_\S+ has no correct answer.*unanswerable: skip"):
        find(tmp_path)
    assert len(find(tmp_path, VERI.model_copy(update={"unanswerable": "skip"})).query) == 8


def test_identities_in_training_and_test_are_refused(veri, tmp_path):
    with pytest.raises(DataError, match="in both training and test"):
        find(tmp_path, VERI.model_copy(update={"train": Split(folder="image_query")}))


def test_a_list_that_names_a_missing_image(veri, tmp_path):
    (veri / "mine.txt").write_text("0000_c000_99999999_0.jpg\n0000_c001_99999999_0.jpg\n")
    with pytest.raises(DataError, match=r"mine.txt lists image_train/0000_c000_99999999_0.jpg, .* \(2 of 2 such\)"):
        find(tmp_path, VERI.model_copy(update={"train": Split(folder="image_train", names="mine.txt")}))


def test_an_image_that_cannot_be_decoded(veri):
    path = next((veri / "image_train").iterdir())
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(DataError, match="can't decode image .*Replace or remove"):
        read_image(path, SMALL)


def test_a_pattern_must_find_identity_and_camera():
    with pytest.raises(ValidationError, match=r"without camera.*cameras: false"):
        VERI.model_validate({**VERI.model_dump(), "pattern": r"(?P<identity>\d+)"})
    with pytest.raises(ValidationError, match="not a regular expression"):
        VERI.model_validate({**VERI.model_dump(), "pattern": "("})


def test_a_set_without_cameras(veri, tmp_path):
    plain = VERI.model_dump() | {"pattern": r"(?P<identity>\d+)_c", "cameras": False}
    index = find(tmp_path, Dataset.model_validate(plain))
    assert len({*index.query.cameras.tolist(), *index.gallery.cameras.tolist()}) == 16  # each image its own


def test_a_line_is_for_a_list_and_finds_a_path():
    with pytest.raises(ValidationError, match="need a list file: set names"):
        Split(folder="a", line="(?P<path>x)")
    with pytest.raises(ValidationError, match="named group"):
        Split(names="a.txt", line="x")


def published(name, root, images, lists):
    """A miniature of a published layout, opened as the shipped catalogue describes it."""
    dataset = load_catalogue().datasets[name]
    for number, path in enumerate(images):
        place = root / dataset.path / path
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (20, 20), (9 * number, 0, 0)).save(place)
    for path, lines in lists.items():
        place = root / dataset.path / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text("\n".join(lines) + "\n")
    return open_dataset(name, dataset, root, root / "drawn")


def test_market1501_layout(tmp_path):
    train = [f"bounding_box_train/{i:04}_c{c}s1_00045{c}_03.jpg" for i in (2, 7) for c in (1, 2)]
    query = [f"query/{i:04}_c1s1_001051_00.jpg" for i in (1, 3)]
    test = [f"bounding_box_test/{i:04}_c{c}s3_016562_0{c}.jpg" for i in (1, 3) for c in (1, 4)]
    strangers = ["bounding_box_test/0000_c1s1_000151_01.jpg"]
    junk = ["bounding_box_test/-1_c1s1_000401_03.jpg"]
    index = published("market1501", tmp_path, [*train, *query, *test, *strangers, *junk], {})
    assert (len(index.train), len(index.query), len(index.gallery)) == (4, 2, 5)
    assert not any("-1_" in path for path in index.gallery.paths)
    assert len(set(index.gallery.identities.tolist())) == 3


def test_inshop_layout(tmp_path):
    rows = [
        f"img/WOMEN/Dresses/id_{i:08}/0{n}_1_front.jpg id_{i:08} {split}"
        for i, splits in ((2, ("train", "train")), (9, ("train",)), (11, ("query", "gallery", "gallery")))
        for n, split in enumerate(splits)
    ]
    lists = {"Eval/list_eval_partition.txt": [str(len(rows)), "image_name item_id evaluation_status", *rows]}
    index = published("inshop", tmp_path, ["Img/" + row.split()[0] for row in rows], lists)
    assert (len(index.train), len(index.query), len(index.gallery)) == (2, 1, 2)  # id_00000009 has one image
    assert index.query.identities[0] == index.gallery.identities[0] == index.gallery.identities[1]


def test_vehicleid_layout(tmp_path):
    train, test = ["0000001 7", "0000002 7", "0000003 9", "0000004 9"], [f"{n:07} {n // 3}" for n in range(30, 42)]
    lists = {"train_test_split/train_list.txt": train, "train_test_split/test_list_800.txt": test}
    images = [f"image/{row.split()[0]}.jpg" for row in train + test]
    index = published("vehicleid", tmp_path, images, lists)
    assert (len(index.train), len(index.query), len(index.gallery)) == (4, 8, 4)
    assert sorted(index.gallery.identities) == sorted(set(index.query.identities.tolist()))
    assert not set(index.query.paths) & set(index.gallery.paths)


def test_batches_are_identities_times_images():
    labels = np.repeat(np.arange(10), [2, 3, 4, 5, 6, 7, 8, 9, 10, 11])
    sampler = IdentitySampler(labels, Sampling(identities=4, images=4), seed=3)
    assert len(sampler) == len(labels) // 16 == 4
    enough = 0
    for epoch in range(5):
        sampler.epoch = epoch
        for batch in sampler:
            counts = Counter(labels[[index for index, _ in batch]].tolist())
            assert list(counts.values()) == [4] * 4
            for label in counts:  # no image twice if there are enough
                chosen = [index for index, _ in batch if labels[index] == label]
                if (labels == label).sum() >= 4:
                    assert len(set(chosen)) == 4
                    enough += 1
    assert enough > 50


def test_draws_repeat_for_a_seed_and_differ_between_epochs():
    labels = np.repeat(np.arange(6), 4)
    one, two = (IdentitySampler(labels, Sampling(identities=3, images=2), seed=1) for _ in range(2))
    assert list(one) == list(two)
    two.epoch = 1
    assert list(one) != list(two)


def test_too_few_identities_for_a_batch():
    with pytest.raises(DataError, match=r"needs 16 identities, but the training split has 3"):
        IdentitySampler(np.repeat(np.arange(3), 4), Sampling(), seed=0)


def workers_change_nothing(root):
    samples = find(root).train
    sampling = Sampling(identities=4, images=2, pad=4)
    here, there = (TrainingBatches(samples, SMALL, sampling, 5, workers) for workers in (0, 2))
    batches = [*zip(here.epoch(1), there.epoch(1), strict=True)]
    assert len(batches) == 4
    for (a, la), (b, lb) in batches:
        assert a.shape == (8, 3, 32, 32)
        assert torch.equal(a, b)
        assert torch.equal(la, lb)


def test_workers_change_nothing(veri, tmp_path):
    """In a separate process, since torch's loaders leave a handler for child signals."""
    run_alone(workers_change_nothing, tmp_path)


def test_the_arguments_of_workers_can_be_pickled(veri, tmp_path):
    batches = TrainingBatches(find(tmp_path).train, SMALL, Sampling(identities=4, images=2), 0, 0)
    next(batches.epoch(0))
    assert len(pickle.loads(pickle.dumps(batches.loader.dataset)).samples) == 32


def test_augmentation_does_something(veri, tmp_path):
    samples = find(tmp_path).train
    plain = Sampling(identities=4, images=2, flip=0, pad=0, erase=0)
    augmented = plain.model_copy(update={"flip": 0.5, "pad": 4, "erase": 0.5})
    one, two = (next(TrainingBatches(samples, SMALL, s, 5, 0).epoch(0))[0] for s in (plain, augmented))
    assert (one != two).float().mean() > 0.2


def test_erasing_covers_at_most_the_given_area(veri, tmp_path):
    samples = find(tmp_path).train
    mean = torch.tensor([round(255 * value) for value in SMALL.normalisation[0]], dtype=torch.uint8).view(3, 1, 1)
    largest = {}
    for area in (0.1, 0.33, 0.9):
        sampling = Sampling(identities=4, images=2, flip=0, pad=0, erase=1, erase_area=area)
        images = torch.cat([images for images, _ in TrainingBatches(samples, SMALL, sampling, 0).epoch(0)])
        for epoch in range(1, 6):
            more = [images for images, _ in TrainingBatches(samples, SMALL, sampling, 0).epoch(epoch)]
            images = torch.cat([images, *more])
        largest[area] = float((images == mean).all(1).float().mean((1, 2)).max())
    assert 0.05 < largest[0.1] < 0.12  # whole pixels
    assert 0.2 < largest[0.33] < 0.36
    assert largest[0.9] > 0.4
    with pytest.raises(ValidationError, match="erase_area"):
        Sampling(erase_area=0.01)


def test_toycars_are_drawn_the_same_each_time(tmp_path, monkeypatch):
    monkeypatch.setattr(toycars, "IDENTITIES", 6)
    monkeypatch.setattr(toycars, "TRAIN_IDENTITIES", 4)
    for name in ("one", "two"):
        toycars.draw(tmp_path / name)
    files = sorted(path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*.jpg"))
    assert len(files) == 6 * 6 * 2
    assert all((tmp_path / "one" / f).read_bytes() == (tmp_path / "two" / f).read_bytes() for f in files)
    assert len({(tmp_path / "one" / f).read_bytes() for f in files}) == len(files)
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == [
        "one",
        "two",
    ]  # no unfinished folder remains


def test_sizes_are_height_by_width(veri):
    path = next((veri / "image_train").iterdir())
    assert read_image(path, Input(height=40, width=20)).shape == (40, 20, 3)
