"""Data sets as published: the shipped catalogue finds the numbers of images that the authors state.

Trees are as large as the real ones and their files are empty: only names count here.
"""

from collections import Counter

import pytest

from pipeline.data.dataset import find_dataset
from zoo.catalogue import load_catalogue


class Tree:
    """A data set's folder in memory: names of files, and the content of lists."""

    def __init__(self, root):
        self.root, self.names = root, []

    def add(self, name):
        self.names.append(name)

    def write(self, name, lines):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(lines) + "\n")


@pytest.fixture
def opened(tmp_path, monkeypatch):
    """Lay out a data set's names where the catalogue expects them, and find it."""

    def find(name, lay_out):
        dataset = load_catalogue().datasets[name]
        tree = Tree(tmp_path / dataset.path)
        lay_out(tree)
        known = {*tree.names}
        for folder in {path.rpartition("/")[0].split("/")[0] for path in known}:
            (tree.root / folder).mkdir(parents=True, exist_ok=True)

        def walk(folder):
            inside = f"{folder.relative_to(tree.root)}/"
            return ((path.removeprefix(inside), "image") for path in tree.names if path.startswith(inside))

        monkeypatch.setattr("pipeline.data.splits.walk", walk)
        monkeypatch.setattr("pipeline.data.unicode_names.NamesOnDisk.exists", lambda _, path: path in known)
        found = find_dataset(name, dataset, tmp_path, tmp_path / "drawn")
        return found, {split: (len(rows), len({row.identity for row in rows})) for split, rows in found.rows.items()}

    return find


def spread(images, identities):
    """How many images each identity has, as evenly as it goes."""
    return [images // identities + (place < images % identities) for place in range(identities)]


def left_out(found, split):
    return {one.reason: one.count for one in found.left_out[split]}


def test_market1501(opened):
    """12 936 images of 751 persons; 3 368 queries of 750; 13 115 of them, 2 798 distractors and 3 819 junk boxes.

    22 files are called .jpg.jpg: all six queries of person 1488, 13 images of the gallery and three distractors.
    """

    def lay_out(tree):
        for place, count in enumerate(spread(12_936, 751)):
            for n in range(count):
                tree.add(f"bounding_box_train/{2 * place:04}_c{n % 6 + 1}s1_{n:06}_0{n % 9 + 1}.jpg")
        test = [2 * place + 1 for place in range(750)]
        test[-1] = 1488
        for split, images, doubled in (("query", 3_368, 6), ("bounding_box_test", 13_115, 13)):
            counts = spread(images - doubled, 749)
            for identity, count in zip(test, [*counts, doubled], strict=True):
                for n in range(count):
                    suffix = ".jpg.jpg" if identity == 1488 else ".jpg"
                    tree.add(f"{split}/{identity:04}_c{n % 6 + 1}s3_{n:06}_00{suffix}")
        for n in range(2_798):
            tree.add(f"bounding_box_test/0000_c{n % 6 + 1}s1_{n:06}_01{'.jpg.jpg' if n < 3 else '.jpg'}")
        for n in range(3_819):
            tree.add(f"bounding_box_test/-1_c{n % 6 + 1}s2_{n:06}_02.jpg")

    found, counts = opened("market1501", lay_out)
    assert counts == {"train": (12_936, 751), "query": (3_368, 750), "gallery": (15_913, 751)}
    by_identity = {split: Counter(row.identity for row in rows) for split, rows in found.rows.items()}
    assert by_identity["query"]["1488"] == 6
    assert by_identity["gallery"]["1488"] == 13
    assert by_identity["gallery"]["0000"] == 2_798
    assert {row.camera for row in found.rows["gallery"]} == set("123456")
    assert left_out(found, "gallery") == {"pattern": 3_819}
    assert left_out(found, "train") == left_out(found, "query") == {}


def test_veri776(opened):
    """37 778 images of 576 vehicles; 1 678 queries of 200; 11 579 images of the gallery; 20 cameras."""

    def lay_out(tree):
        for split, images, first, identities in (
            ("image_train", 37_778, 1, 576), ("image_query", 1_678, 577, 200), ("image_test", 11_579, 577, 200),
        ):  # fmt: skip
            for place, count in enumerate(spread(images, identities)):
                for n in range(count):
                    tree.add(f"{split}/{first + place:04}_c{n % 20 + 1:03}_{n:08}_{n % 2}.jpg")

    found, counts = opened("veri", lay_out)
    assert counts == {"train": (37_778, 576), "query": (1_678, 200), "gallery": (11_579, 200)}
    assert len({row.camera for row in found.rows["train"]}) == 20
    assert not any(found.left_out.values())


def test_inshop(opened):
    """52 712 images: 25 882 of 3 997 items to train on; 14 218 queries and a gallery of 12 612 of 3 985 others."""

    def lay_out(tree):
        lines = []
        for split, images, first, items in (
            ("train", 25_882, 1, 3_997), ("query", 14_218, 3_998, 3_985), ("gallery", 12_612, 3_998, 3_985),
        ):  # fmt: skip
            for place, count in enumerate(spread(images, items)):
                for n in range(count):
                    item = f"id_{first + place:08}"
                    path = f"img/WOMEN/Blouses_Shirts/{item}/{n:02}_{split[0]}_front.jpg"
                    tree.add(f"Img/{path}")
                    lines.append(f"{path:<80}{item:<14}{split}")
        tree.write("Eval/list_eval_partition.txt", [str(len(lines)), "image_name item_id evaluation_status", *lines])

    found, counts = opened("inshop", lay_out)
    assert counts == {"train": (25_882, 3_997), "query": (14_218, 3_985), "gallery": (12_612, 3_985)}
    assert left_out(found, "train") == {"line": 2 + 52_712 - 25_882}


def test_vehicleid(opened):
    """113 346 images of 13 164 vehicles to train on; 800 in the small test list, one image of each in the gallery and
    5 693 queries.
    """

    def lay_out(tree):
        number = 0
        for name, images, first, vehicles in (
            ("train_list", 113_346, 1, 13_164),
            ("test_list_800", 6_493, 13_165, 800),
        ):
            lines = []
            for place, count in enumerate(spread(images, vehicles)):
                for _ in range(count):
                    number += 1
                    tree.add(f"image/{number:07}.jpg")
                    lines.append(f"{number:07} {first + place}")
            tree.write(f"train_test_split/{name}.txt", lines)

    found, counts = opened("vehicleid", lay_out)
    assert counts == {"train": (113_346, 13_164), "query": (5_693, 800), "gallery": (800, 800)}
    assert left_out(found, "query") == {"keep": 800}
    assert left_out(found, "gallery") == {"keep": 5_693}
    queried, held = ({row.path for row in found.rows[split]} for split in ("query", "gallery"))
    assert not queried & held
