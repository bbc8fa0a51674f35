"""Results that were copied from devices; a build uses them in place of a device over ssh."""

from __future__ import annotations

import logging
import shutil
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir

from pipeline.engine.store import explain
from targets.bundles.archive import read_archive
from targets.bundles.contents import RESULT_LIST
from targets.bundles.widths import is_widths
from targets.errors import BadBundle
from targets.names import NAME, RELEASE
from zoo.home import Home
from zoo.release.local import find_release

logger = logging.getLogger(__name__)


def received(home: Home, release: str, target: str, widths: bool = False) -> Path:
    """Path for the result of a release on a target; with `widths`, for the result of networks of several widths."""
    kind = "-widths" if widths else ""
    return home.root / "received" / f"{release.replace('@', '-')}-{target}{kind}.result"


def continued_by(bundle: Path) -> Path:
    """The file beside a bundle of widths with the command whose build waits for its result."""
    return bundle.with_suffix(".command")


@dataclass(frozen=True)
class Received:
    """A bundle's result that was kept.

    Attributes:
        release: name@version.
        widths: whether it is of networks of several widths (`targets.bundles.widths`), which are measured before there
            is a release.
        command: that takes it into the build.
    """

    release: str
    target: str
    widths: bool
    command: str


def receive(home: Home, path: Path) -> Received:
    """Verify a result byte by byte and keep it.

    Raises:
        BadBundle: it is damaged, or not a result.
        ManifestError: its release was not built here.
        StoreError: it can't be kept.
    """
    try:
        with TemporaryDirectory() as scratch:
            logger.debug("reading %s in %s", path, scratch)
            about = read_archive(path, RESULT_LIST, Path(scratch, "result"))
    except OSError as error:
        raise explain(error, Path(gettempdir())) from None
    try:
        release, target = about["release"], about["target"]
        named = RELEASE.fullmatch(release) and NAME.fullmatch(target)
    except (KeyError, TypeError):
        raise BadBundle(f"{path} does not name its release and target. Run the bundle again.") from None
    if not named:
        raise BadBundle(
            f"{path} names release {release!r:.120} and target {target!r:.120}: one is not a valid name. Refused."
        )
    widths = is_widths(about)
    command = _continuing(home, path, release, target) if widths else find_release(home, release).manifest.rebuild
    place = received(home, release, target, widths)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        fresh = place.with_name(f".{place.name}.new")
        shutil.copyfile(path, fresh)
        fresh.replace(place)
    except OSError as error:
        raise explain(error, place.parent) from None
    return Received(release, target, widths, command)


def _continuing(home: Home, path: Path, release: str, target: str) -> str:
    """The command whose build waits for a result of widths.

    Raises:
        BadBundle: none does.
        StoreError: it can't be read.
    """
    bundle = home.bundles / f"{release.replace('@', '-')}-{target}-widths.zoo"
    if not bundle.exists():
        raise BadBundle(f"{path} is a result of {bundle.name}, which was not built here. Refused.")
    try:
        told = continued_by(bundle).read_text(encoding="utf-8").strip()
    except FileNotFoundError:  # of a zoo that wrote none
        told = ""
    except OSError as error:
        raise explain(error, bundle.parent) from None
    return told or f"zoo build {release.partition('@')[0]}"
