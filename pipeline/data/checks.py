"""Problems of a data set that prevent training or test, in the words of the build's error."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from pipeline.data.account import SplitName
from pipeline.data.splits import Row

if TYPE_CHECKING:
    from pipeline.data.dataset import Dataset

Rows = Mapping[SplitName, list[Row]]


def unanswerable(rows: Rows, digests: Mapping[str, str] | None = None) -> list[Row]:
    """Queries without a correct answer in the gallery: none of their identity from another camera.

    Args:
        digests: by path; copies of a query are then not counted as its answers.
    """
    answers: dict[str, set[tuple[str, str]]] = {}
    for row in rows["gallery"]:
        content = digests[row.path] if digests else row.path
        answers.setdefault(row.identity, set()).add((row.camera, content))

    def answered(row: Row) -> bool:
        content = digests[row.path] if digests else ""
        return any(camera != row.camera and other != content for camera, other in answers.get(row.identity, ()))

    return [row for row in rows["query"] if not answered(row)]


def copies_of_queries(rows: Rows, digests: Mapping[str, str]) -> list[Row]:
    """Gallery images that are the same file as a query of their identity, from another camera."""
    cameras: dict[tuple[str, str], set[str]] = {}
    for row in rows["query"]:
        cameras.setdefault((row.identity, digests[row.path]), set()).add(row.camera)
    return [row for row in rows["gallery"] if cameras.get((row.identity, digests[row.path]), set()) - {row.camera}]


def singletons(rows: list[Row]) -> list[Row]:
    """Images that are the only one of their identity."""
    counts = Counter(row.identity for row in rows)
    return [row for row in rows if counts[row.identity] < 2]


def _lonely(rows: Rows, dataset: Dataset) -> Iterator[str]:
    single = singletons(rows["train"])
    if single and dataset.singletons == "error":
        yield (
            f"identity {single[0].identity} has one training image ({single[0].path}; {len(single)} such): the triplet "
            "loss needs two. Add images, or set `singletons: drop` in the data set."
        )
    elif not rows["train"]:
        yield "no identity has two training images, which the triplet loss needs. Check the pattern, or add images."


def _shared_identities(rows: Rows, name: str) -> Iterator[str]:
    trained = {row.identity for row in rows["train"]}
    shared = {row.identity for row in rows["query"]} & trained
    if shared:
        example = next(row for row in rows["query"] if row.identity in shared)
        yield (
            f"{len(shared)} identities of data set {name!r} are in both training and test (first: {example.path}): "
            "accuracy would be inflated. Make the splits disjoint."
        )


def no_answers(rows: Rows, dataset: Dataset, digests: Mapping[str, str] | None = None) -> Iterator[str]:
    """Queries without a correct answer, if that is an error."""
    lost = unanswerable(rows, digests)
    every = len(lost) == len(rows["query"])
    if not lost or (dataset.unanswerable == "skip" and not every):
        return
    cameras = {row.camera for row in (*rows["query"], *rows["gallery"])}
    if dataset.cameras and len(cameras) == 1:
        yield (
            f"all test images are from one camera ({cameras.pop()!r}), but an answer counts only from a camera "
            "other than the query's. If the set has no cameras, set `cameras: false` in the data set."
        )
        return
    held = any(row.identity == lost[0].identity for row in rows["gallery"])
    other = "from no other camera" if dataset.cameras else "in no other image"
    why = f"the gallery holds its identity {other}" if held else "the gallery does not hold its identity"
    remedy = "Remove it, or set `unanswerable: skip` in the data set."
    if every and dataset.cameras and held:
        remedy = "If cameras do not matter, set `cameras: false` in the data set."
    elif every:
        remedy = "Check the pattern and the two splits."
    yield f"query {lost[0].path} has no correct answer: {why} ({len(lost)} of {len(rows['query'])} queries). {remedy}"


def label_problems(rows: Rows, name: str, dataset: Dataset) -> Iterator[str]:
    """Problems of names, identities and cameras."""
    yield from _lonely(rows, dataset)
    yield from _shared_identities(rows, name)
    yield from no_answers(rows, dataset)


def content_problems(rows: Rows, name: str, dataset: Dataset, digests: Mapping[str, str]) -> Iterator[str]:
    """Problems of the images themselves, besides those of `label_problems`."""
    trained = {digests[row.path]: row.path for row in reversed(rows["train"])}
    tested = [row.path for row in (*rows["query"], *rows["gallery"]) if digests[row.path] in trained]
    if tested:
        path, count = tested[0], len({*tested})
        yield (
            f"data set {name!r} uses images for both training and test, {count} in all (first: {path} is the "
            f"same file as {trained[digests[path]]}): accuracy would be inflated. Remove them from one of the two; "
            f"`zoo data {name}` shows some."
        )
    if copies_of_queries(rows, digests) and not [*no_answers(rows, dataset)]:
        yield from no_answers(rows, dataset, digests)
