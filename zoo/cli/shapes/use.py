"""Output of `zoo embed`, `zoo index`, `zoo query`, `zoo samples` and `zoo serve`."""

from __future__ import annotations

from typing import Annotated

from typing_extensions import TypedDict

from zoo.cli.shapes.common import Label, exact


@exact
class SkippedImage(TypedDict):
    """An image that could not be read."""

    path: str
    why: str


@exact
class Embedded(TypedDict):
    """A gallery, and the model that embedded it."""

    model: Label
    target: str
    precision: str
    runtime: str
    folder: Annotated[str, "absolute; paths are below it"]
    images: Annotated[int, "how many were embedded"]
    dimension: Annotated[int, "components of an embedding"]
    skipped: Annotated[list[SkippedImage], "images that could not be read; empty if the gallery was read from a file"]


@exact
class EmbeddedFile(Embedded):
    """A gallery, and its file."""

    file: Annotated[str, "path of the file"]


@exact
class Indexed(Embedded):
    """An index of a gallery."""

    file: Annotated[str, "path of the file"]
    size_bytes: int
    lists: Annotated[int, "into which the images are divided"]
    searched: Annotated[int, "lists that a query searches"]
    recall: Annotated[float, "queries whose nearest image is found, %"]
    recall_queries: Annotated[int, "images of the gallery that were the queries"]


@exact
class NearImage(TypedDict):
    """One of the nearest images."""

    rank: Annotated[int, "from 1"]
    similarity: Annotated[float, "cosine, -1 … 1"]
    path: Annotated[str, "below `gallery.folder`"]


@exact
class StaleImage(TypedDict):
    """An image of a gallery that changed since it was embedded."""

    path: Annotated[str, "below `gallery.folder`"]
    why: Annotated[str, "changed, gone, or why it can't be read"]


@exact
class Answered(TypedDict):
    """The images nearest to a query."""

    query: str
    gallery: Annotated[Embedded, "as in `zoo embed`, without `file`"]
    nearest: list[NearImage]
    sheet: Annotated[str, "the picture that was drawn"]
    checked: Annotated[bool, "false: the gallery's folder is not here, so changed images can't be detected"]
    stale: Annotated[list[StaleImage], "images left out since they changed after embedding; by path"]
    recall: Annotated[
        float | None, "with `--index`: queries whose nearest image is found, %; null: every image was compared"
    ]


@exact
class Serving(TypedDict):
    """A server that has started; printed once, before the first request is answered."""

    url: str
    process: Annotated[int, "its id, to send SIGTERM to"]
    release: Label
    target: str
    precision: str
    runtime: str
    artifact_sha256: Annotated[str, "digest of the artifact, as in a gallery and an index"]
    dimension: Annotated[int, "components of an embedding"]


@exact
class Samples(TypedDict):
    """Sample pictures that were written."""

    folder: str
    pictures: Annotated[list[str], "paths, the queries first"]
