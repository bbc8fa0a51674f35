"""`zoo.load`: a release on this machine, or one that comes with zoo, which is pulled first."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence

from pipeline.progress import Progress, Silent
from zoo.catalogue import load_catalogue
from zoo.errors import CatalogueError
from zoo.home import Home
from zoo.registry.choice import chooser
from zoo.registry.listing import find_offered, shipped_registry
from zoo.registry.opening import uses_shipped
from zoo.registry.pull import pull
from zoo.registry.shipped import comes_with_zoo
from zoo.release.local import Release, is_here, recorded
from zoo.release.manifest import Manifest
from zoo.release.measurements import Measurement
from zoo.use.embedder import Embedder, default_release
from zoo.use.embedder import load as load_here

logger = logging.getLogger(__name__)


def provide(home: Home, wanted: str, target: str | None, progress: Progress) -> str | None:
    """Pull a release that is neither built nor pulled here, if it comes with zoo and no registry is configured.

    Args:
        wanted: NAME, NAME@VERSION or NAME@RANGE.
        target: the release's target whose artifact is wanted beside the best one for this machine.

    Returns:
        NAME@VERSION of what was pulled; None if nothing was.

    Raises:
        RegistryError: a file that comes with zoo is damaged, or the home can't be written.
    """
    if is_here(home, wanted) or not uses_shipped() or comes_with_zoo(wanted) is None:
        return None
    best = chooser(())

    def choose(manifest: Manifest, records: list[Measurement]) -> Sequence[str]:
        asked = [target] if target in {artifact.target for artifact in manifest.artifacts} and target else []
        return [*(best(manifest, records) or ()), *asked]

    label = pull(shipped_registry(home), home, wanted, choose, progress).manifest.label
    logger.info("%s was not here, and was pulled from the releases that come with zoo to %s", label, home.pulled)
    return label


def complete(home: Home, release: Release, target: str | None, progress: Progress) -> bool:
    """Pull what is missing of a release that was pulled, if it comes with zoo and no registry is configured.

    Args:
        target: the release's target whose artifact is missing, too; None: only files of all targets are.

    Returns:
        whether it was pulled.

    Raises:
        RegistryError: a file that comes with zoo is damaged, or the home can't be written.
    """
    label = release.manifest.label
    pulled = release.path.parent == home.pulled / release.manifest.name / release.manifest.version
    if not pulled or not uses_shipped() or comes_with_zoo(label) is None:
        return False
    registry = shipped_registry(home)
    offered = find_offered(registry, label, lambda _: None)
    if offered.manifest.content_sha256 != release.manifest.content_sha256:
        return False
    pull(registry, home, label, lambda *_: [target] if target else [], progress)
    return True


def release_to_use(home: Home) -> str:
    """The release to use if none is named: the only one here, or the catalogue's default, which may come with zoo.

    Raises:
        ManifestError: there is none, or there are several and none is the default.
    """
    if not recorded(home):
        try:
            default = load_catalogue().default
        except CatalogueError:
            return default_release(home)
        if uses_shipped() and comes_with_zoo(default):
            return default
    return default_release(home)


def load(
    name: str | os.PathLike[str],
    target: str | None = None,
    threads: int | None = None,
    home: str | os.PathLike[str] | None = None,
) -> Embedder:
    """Load a release to embed images.

    A release that is neither built nor pulled is pulled if it comes with zoo, unless a registry is configured; the
    logger `zoo` says so. No network is used. With a folder or `home` the result does not depend on the current folder.
    No catalogue is needed; an unreadable one is ignored.

    Args:
        name: `name` (its newest version), `name@version`, or `name@^1.2` (the newest in the range); or the folder of a
            release: a path, or a text with a slash.
        target: the release's target whose artifact to run; or `openvino` or `onnxruntime`, to compile its fp32 graph
            here. By default the usable one that was measured fastest on this machine, otherwise on any; otherwise the
            graph.
        threads: CPU threads; by default one per core.
        home: the folder of releases; by default `ZOO_HOME`, or `.zoo` beside the nearest zoo.yaml, or `~/.zoo`.

    Raises:
        ManifestError: there is no such release, or one of its files is damaged or can't be read.
        RegistryError: it comes with zoo, but a file of it is damaged, or the home can't be written.
        NothingRuns: no artifact runs here; the message says what to install.
        ZooError: the root of all errors; `threads` is not valid.
    """
    if isinstance(name, str) and not set(name) & {"/", os.sep} and name not in (".", ".."):
        provide(Home.find() if home is None else Home.at(home), name, target, Silent())
    return load_here(name, target, threads, home)
