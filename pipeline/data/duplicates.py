"""Duplicate images: equal files, or pictures that look the same.

Pictures are compared by a perceptual hash (pHash of 256 bits, by ImageHash): the signs of the low frequencies of the
grey image. Of 1 014 crops of vehicles and 3 000 drawings, recompressed or half-size copies differ in at most 8 bits,
copies a fifth brighter in at most 20. Among the crops and 32 460 drawings themselves, 13 pairs are that near.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.data.images import decode
from pipeline.engine.progress import Progress
from pipeline.errors import MissingLibrary
from targets.installing import install_command

HASH_SIDE = 16
HASH_BITS = HASH_SIDE**2
NEAR_BITS = 20  # largest difference of near duplicates
EXAMPLES = 5
BLOCK_BYTES = 64 * 2**20


@dataclass(frozen=True)
class Look:
    """Decoded size of an image in pixels, and its perceptual hash, 256 booleans."""

    width: int
    height: int
    bits: np.ndarray


@dataclass(frozen=True)
class Item:
    """An image by path, with known facts."""

    path: str
    identity: str
    trained: bool  # otherwise tested


@dataclass(frozen=True)
class Pair:
    """Two images, and how many bits of their perceptual hashes differ; 0 for equal files."""

    one: str
    other: str
    bits: int


@dataclass(frozen=True)
class Duplicates:
    """Pairs of equal images.

    Attributes:
        other_identity: pairs of different identities: one of the two is wrong.
        train_test: pairs across training and test.
        examples: pairs across train and test first, then those of different identities, then others; nearest first.
    """

    pairs: int
    other_identity: int
    train_test: int
    examples: tuple[Pair, ...]


def look_at(root: Path, paths: Sequence[str], progress: Progress) -> dict[str, Look]:
    """Sizes and perceptual hashes of images, by path.

    Raises:
        MissingLibrary: ImageHash is not installed.
        DataError: an image can't be decoded.
    """
    try:
        import imagehash
    except ImportError:
        raise MissingLibrary(f"imagehash is not installed. Run: {install_command('build')}") from None

    def look(path: str) -> Look:
        image = decode(root / path, path).image
        bits: Any = imagehash.phash(image, hash_size=HASH_SIDE).hash
        return Look(image.width, image.height, bits.ravel())

    found = {}
    with progress.bar("looking at images", len(paths)) as bar, ThreadPoolExecutor() as pool:
        for path, one in zip(paths, pool.map(look, paths), strict=True):
            found[path] = one
            bar.advance()
    return found


def _rank(pair: tuple[Item, Item], bits: int) -> tuple[bool, bool, int, str, str]:
    one, other = pair
    return one.trained == other.trained, one.identity == other.identity, bits, one.path, other.path


def _first(pairs: Iterable[tuple[tuple[Item, Item], int]]) -> list[tuple[tuple[Item, Item], int]]:
    return sorted(pairs, key=lambda found: _rank(*found))[:EXAMPLES]


def _pairs(count: int) -> int:
    return count * (count - 1) // 2


def exact_duplicates(items: Sequence[Item], digests: Mapping[str, str]) -> Duplicates:
    """Different paths with equal content.

    Args:
        digests: by path.
    """
    groups: dict[str, list[Item]] = {}
    for item in items:
        groups.setdefault(digests[item.path], []).append(item)
    pairs = other = across = 0
    examples: list[tuple[tuple[Item, Item], int]] = []
    for group in groups.values():
        if len(group) < 2:
            continue
        identities: dict[str, int] = {}
        for item in group:
            identities[item.identity] = identities.get(item.identity, 0) + 1
        trained = sum(item.trained for item in group)
        pairs += _pairs(len(group))
        other += _pairs(len(group)) - sum(map(_pairs, identities.values()))
        across += trained * (len(group) - trained)
        some = [*sorted(group, key=lambda item: item.trained)[:EXAMPLES], *group[:EXAMPLES]]
        distinct = list({item.path: item for item in some}.values())
        examples = _first([*examples, *((pair, 0) for pair in combinations(distinct, 2))])
    return Duplicates(pairs, other, across, tuple(Pair(a.path, b.path, bits) for (a, b), bits in examples))


def _near(bits: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Indices of near pairs, the lower ones first, and their differing bits; from hashes N×256, in blocks."""
    signs = np.where(bits, 1, -1).astype(np.float32)  # bits that differ: (256 - product) / 2
    step = max(1, BLOCK_BYTES // (4 * len(signs)))
    for start in range(0, len(signs), step):
        products = signs[start : start + step] @ signs[start:].T
        rows, columns = np.nonzero(products >= HASH_BITS - 2 * NEAR_BITS)
        upper = columns > rows
        rows, columns = rows[upper], columns[upper]
        yield rows + start, columns + start, ((HASH_BITS - products[rows, columns]) / 2).astype(int)


def near_duplicates(items: Sequence[Item], looks: Mapping[str, Look]) -> Duplicates:
    """Pairs with near perceptual hashes.

    Args:
        items: with different contents.
    """
    if not items:
        return Duplicates(0, 0, 0, ())
    names = {name: number for number, name in enumerate({item.identity for item in items})}
    identities = np.array([names[item.identity] for item in items])
    trained = np.array([item.trained for item in items])
    pairs = other = across = 0
    examples: list[tuple[tuple[Item, Item], int]] = []
    for rows, columns, bits in _near(np.stack([looks[item.path].bits for item in items])):
        differ, crossing = identities[rows] != identities[columns], trained[rows] != trained[columns]
        pairs, other, across = pairs + len(rows), other + int(differ.sum()), across + int(crossing.sum())
        first = np.lexsort((bits, ~differ, ~crossing))[:EXAMPLES]
        some = [((items[rows[at]], items[columns[at]]), int(bits[at])) for at in first]
        examples = _first([*examples, *some])
    return Duplicates(pairs, other, across, tuple(Pair(a.path, b.path, bits) for (a, b), bits in examples))
