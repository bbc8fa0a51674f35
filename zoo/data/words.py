"""The overview of a data set, in words and small tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from pipeline.data.account import account_lines
from pipeline.data.duplicates import HASH_BITS, NEAR_BITS, Duplicates
from zoo.data.overview import Overview, Range

MOST_ROWS = 12
Cells = dict[str, object]


def _buckets(most: int) -> Iterator[tuple[int, int]]:
    """Ranges 1, 2, 3–4, 5–8 …, as first and last."""
    low, high = 1, 1
    while low <= most:
        yield low, high
        low, high = high + 1, 2 * high


def identity_rows(overview: Overview) -> list[Cells]:
    """Number of identities by their number of images, one column per split; as ranges if there are many values."""
    by_split = overview.images_per_identity
    numbers = sorted({number for counted in by_split.values() for number in counted})
    ranges: Sequence[tuple[int, int]] = [(number, number) for number in numbers]
    if len(ranges) > MOST_ROWS:
        ranges = list(_buckets(numbers[-1]))
    return [
        {
            "images of an identity": str(low) if low == high else f"{low}–{high}",
            **{f"in {name}": _between(counted, low, high) for name, counted in by_split.items()},
        }
        for low, high in ranges
        if any(_between(counted, low, high) for counted in by_split.values())
    ]


def _between(counted: Mapping[int, int], low: int, high: int) -> int:
    return sum(identities for images, identities in counted.items() if low <= images <= high)


def camera_rows(overview: Overview) -> list[Cells]:
    """Images per camera, one column per split; only the first cameras if there are many."""
    by_split = overview.images_per_camera
    cameras = sorted({camera for counted in by_split.values() for camera in counted})
    rows: list[Cells] = [
        {"images of camera": camera, **{f"in {name}": counted.get(camera, 0) for name, counted in by_split.items()}}
        for camera in cameras[: 2 * MOST_ROWS]
    ]
    if len(cameras) > len(rows):
        rows.append(
            {"images of camera": f"and {len(cameras) - len(rows)} more", **{f"in {name}": "" for name in by_split}}
        )
    return rows


def _pairs(title: str, found: Duplicates, exact: bool) -> Iterator[str]:
    if not found.pairs:
        yield f"{title}: none"
        return
    yield (
        f"{title}: {found.pairs} pair{'s' * (found.pairs > 1)}, {found.other_identity} of different identities, "
        f"{found.train_test} across train and test"
    )
    for pair in found.examples:
        yield f"  {pair.one} = {pair.other}" if exact else f"  {pair.one} ≈ {pair.other} ({pair.bits} bits)"


def _span(name: str, found: Range) -> str:
    return f"{name} {found.least} … {found.most} (median {found.median:g})"


def lines(overview: Overview) -> Iterator[str]:
    """Lines above the tables."""
    yield f"{overview.name}: {overview.found.root} (license: {overview.dataset.license})"
    yield from account_lines(overview.accounts)


def more_lines(overview: Overview) -> Iterator[str]:
    """Lines below the tables."""
    sizes = f"{overview.sizes} different size{'s' * (overview.sizes > 1)}"
    yield f"pixels: {_span('width', overview.width)}, {_span('height', overview.height)}, {sizes}"
    alone = {split: paths for split, paths in overview.alone.items() if paths}
    told = [f"{len(paths)} in {split} ({paths[0]})" for split, paths in alone.items()]
    yield f"identities with one image: {', '.join(told) or 'none'}"
    yield from _pairs("identical files", overview.exact, exact=True)
    yield from _pairs(
        f"near duplicates (at most {NEAR_BITS} of {HASH_BITS} bits of a hash)", overview.near, exact=False
    )
    for problem in overview.refused:
        yield f"zoo build would refuse it: {problem}"
