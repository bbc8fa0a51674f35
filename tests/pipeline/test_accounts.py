"""Every file of a data set is used, or reported with the reason."""

import os

import pytest
from PIL import Image

from pipeline.data.account import account_lines
from pipeline.data.dataset import Dataset, open_dataset
from pipeline.data.decoding import FORMATS
from pipeline.data.suffixes import SUFFIXES, UNREAD, kind_of
from pipeline.errors import DataError
from tests.helpers import draw_vehicles
from tests.pipeline.test_data import VERI

TRAIN = "image_train/0000_c000_00000000_0.jpg"


@pytest.fixture
def veri(tmp_path):
    return draw_vehicles(tmp_path / "veri")


def find(tmp_path, **changes):
    dataset = Dataset.model_validate({**VERI.model_dump(), **changes})
    return open_dataset("veri", dataset, tmp_path, tmp_path / "drawn")


def not_used(index, split="train"):
    return {one.reason: (one.count, one.example) for one in index.accounts[split].not_used}


def test_suffixes_are_those_that_pillow_knows_for_the_formats_that_are_decoded():
    Image.init()
    assert set(SUFFIXES) == {suffix for suffix, kind in Image.EXTENSION.items() if kind in FORMATS}
    assert len(set(SUFFIXES)) == len(SUFFIXES)
    assert not set(SUFFIXES) & set(UNREAD)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.JPG", "image"),
        ("a.jpg.jpg", "image"),
        ("a.tif", "image"),
        ("a.HEIC", "unread"),
        ("a.txt", "other"),
        ("jpg", "other"),
        ("._a.jpg", "hidden"),
        ("Thumbs.db", "hidden"),
        ("@eaDir", "hidden"),
        ("__MACOSX", "hidden"),
        (".ipynb_checkpoints", "hidden"),
    ],
)
def test_the_kind_of_a_file_follows_from_its_name(name, kind):
    assert kind_of(name) == kind


def test_a_clean_set_has_one_line_per_split(veri, tmp_path):
    assert account_lines(find(tmp_path).accounts) == [
        "train: 32 images, 8 identities, 2 cameras",
        "query: 8 images, 4 identities, 2 cameras",
        "gallery: 8 images, 4 identities, 2 cameras",
    ]


def test_unused_files_are_reported_with_a_reason_and_an_example(veri, tmp_path):
    train = veri / "image_train"
    content = (veri / TRAIN).read_bytes()
    for name in (
        "0000_c00x_1_0.jpg", "-1_x.jpg", "0001_c000_1_0.heic", "0001_c000_2_0.heic", "labels.xml", "Thumbs.db",
        "._0000_c000_00000000_0.jpg",
    ):  # fmt: skip
        (train / name).write_bytes(content)
    for name in ("@eaDir", "__MACOSX", ".ipynb_checkpoints"):
        (train / name).mkdir()
        (train / name / "0000_c000_00000000_0.jpg").write_bytes(content)
    index = find(tmp_path)
    assert len(index.train) == 32
    assert not_used(index) == {
        "pattern": (2, "image_train/-1_x.jpg"),
        "suffix": (2, "image_train/0001_c000_1_0.heic"),
        "hidden": (5, "image_train/._0000_c000_00000000_0.jpg"),
        "other": (1, "image_train/labels.xml"),
    }
    (line, *_) = account_lines(index.accounts)
    assert line == (
        "train: 32 images, 8 identities, 2 cameras; not used: 2 images do not match the pattern "
        "(image_train/-1_x.jpg), 2 pictures have an unsupported format (image_train/0001_c000_1_0.heic), 5 files "
        "or folders are hidden (image_train/._0000_c000_00000000_0.jpg), 1 file is not an image "
        "(image_train/labels.xml)"
    )


def test_other_kinds_of_image_are_found_as_well(veri, tmp_path):
    for number, suffix in enumerate((".tif", ".TIFF", ".gif", ".jfif", ".ppm")):
        Image.new("RGB", (8, 8), (50 * number, 0, 0)).save(veri / f"image_train/0000_c000_{number}_0{suffix}")
    index = find(tmp_path, pattern=r"(?P<identity>\d+)_c(?P<camera>\d+)_\d+_\d+\.")
    assert len(index.train) == 37


def test_linked_folders_are_followed_and_loops_are_not(veri, tmp_path):
    (veri / "image_train").rename(tmp_path / "elsewhere")
    (veri / "image_train").mkdir()
    (veri / "image_train" / "a").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "back").symlink_to(veri / "image_train")
    index = find(tmp_path)
    assert len(index.train) == 32
    assert all(path.startswith("image_train/a/0") for path in index.train.paths)
    assert not_used(index) == {"loop": (1, "image_train/a/back/")}


def test_a_broken_link_is_an_error(veri, tmp_path):
    (veri / "image_train" / "more").symlink_to(tmp_path / "unmounted")
    with pytest.raises(DataError, match=r"can't read .*image_train/more: the link is broken"):
        find(tmp_path)


def test_a_folder_that_can_not_be_read_is_an_error(veri, tmp_path, monkeypatch):
    closed = veri / "image_train" / "closed"
    closed.mkdir()
    scan = os.scandir

    def refuse(path):
        if str(path).endswith("closed/"):
            raise PermissionError(13, "Permission denied", path)
        return scan(path)

    monkeypatch.setattr("os.scandir", refuse)
    with pytest.raises(DataError, match=r"can't read .*image_train/closed/: Permission denied\. Make it readable"):
        find(tmp_path)


def test_dropped_and_kept_images_are_reported(veri, tmp_path):
    for path in sorted((veri / "image_train").glob("0003_*"))[1:]:
        path.unlink()
    index = find(tmp_path, singletons="drop", gallery={"folder": "image_test", "keep": "one"}, unanswerable="skip")
    assert not_used(index) == {"singleton": (1, "image_train/0003_c000_00000300_0.jpg")}
    assert not_used(index, "gallery")["keep"][0] == 4
    assert index.accounts["query"].unanswerable == 4
    assert "; 4 have no correct answer and do not count" in account_lines(index.accounts)[1]


def test_a_set_without_readable_images_is_explained(veri, tmp_path):
    for path in (veri / "image_train").iterdir():
        path.rename(path.with_suffix(".heic"))
    with pytest.raises(
        DataError, match=r"no images below .*32 have unsupported formats, such as image_train/0000.*\.heic"
    ):
        find(tmp_path)


@pytest.mark.parametrize(
    ("pattern", "told"),
    [
        (r"(?P<identity>\d+)_c(?P<camera>[a-z]+)_\d+", r"camera would be '000' there, which '[a-z]+' does not match"),
        (
            r"(?P<identity>[A-Z]{2})_c(?P<camera>\d+)",
            r"identity would be '0000' there, which '[A-Z]{2}' does not match",
        ),
        (r"(?P<identity>\d+)_x(?P<camera>\d+)", f"The first image is {TRAIN}."),
    ],
)
def test_a_pattern_that_matches_nothing_is_explained(veri, tmp_path, pattern, told):
    with pytest.raises(DataError) as caught:
        find(tmp_path, pattern=pattern)
    assert told in str(caught.value)


def test_lettered_cameras_under_a_pattern_of_digits(veri, tmp_path):
    for path in [*veri.rglob("*.jpg")]:
        path.rename(path.with_name(path.name.replace("_c000_", "_cA_").replace("_c001_", "_cB_")))
    with pytest.raises(DataError, match=r"camera would be 'A' there, which '\\\\d\+' does not match"):
        find(tmp_path)
    assert len(find(tmp_path, pattern=r"(?P<identity>\d+)_c(?P<camera>\w)_\d+_\d+\.jpg$").train) == 32


def test_one_camera_only(veri, tmp_path):
    for path in [*veri.rglob("*_c001_*.jpg")]:
        path.unlink()
    with pytest.raises(DataError, match=r"all test images are from one camera \('000'\).*`cameras: false`"):
        find(tmp_path)
    assert len(find(tmp_path, cameras=False).query) == 4


def test_a_camera_for_each_identity(veri, tmp_path):
    pattern = r"(?P<identity>(?P<camera>\d+))_c"
    with pytest.raises(DataError, match=r"no correct answer: .*no other camera \(8 of 8 queries\).*`cameras: false`"):
        find(tmp_path, pattern=pattern)


def test_an_empty_file_is_called_empty(veri, tmp_path):
    (veri / TRAIN).write_bytes(b"")
    with pytest.raises(DataError, match=f"can't decode image .*{TRAIN}: the file is empty. Replace or remove it."):
        find(tmp_path)


def test_names_in_two_unicode_forms_are_one_identity(veri, tmp_path):
    """macOS decomposes letters: é may be one character or two."""
    for folder, name in (("image_query", "caf\u00e9"), ("image_test", "cafe\u0301"), ("image_train", "th\u00e9")):
        for path in [*(veri / folder).iterdir()]:
            path.rename(path.with_name(f"{name}{path.name}"))
    index = find(tmp_path, pattern="(?P<identity>caf\u00e9\\d+|th\u00e9\\d+)_c(?P<camera>\\d+)")
    assert set(index.query.identities.tolist()) == set(index.gallery.identities.tolist())
    with pytest.raises(DataError, match="in both training and test"):
        find(tmp_path, train={"folder": "image_test"}, pattern="(?P<identity>cafe\u0301\\d+)_c(?P<camera>\\d+)")
