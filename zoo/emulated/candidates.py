"""Which artifacts of a release can be emulated: those of runtimes that have wheels for arm64, on a CPU.

Of a target whose device has not run yet, they are in its bundle: what the board would get.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from targets.bundles.contents import open_bundle
from targets.bundles.packed import make_artifact
from targets.contract import Job, is_portable, make_target, runs_on_arm64
from targets.errors import TargetError, Unusable
from targets.files import sha256
from targets.settings import Precision, TargetSettings
from zoo.catalogue import Catalogue
from zoo.errors import NothingRuns
from zoo.home import Home
from zoo.measure.measurable import NotHere, candidates, check_files
from zoo.release.local import Release
from zoo.release.measurements import Pending
from zoo.use.runnable import Runnable
from zoo.use.sessions import compiled


@dataclass(frozen=True)
class Candidate:
    """An artifact to emulate: of the release, or of a bundle that waits for its device.

    Attributes:
        sha256: digest of the artifact, or of the graph it is compiled from.
        kept: of the release.
        bundled: its file in an unpacked bundle: a graph, or a packed artifact.
    """

    target: str
    precision: Precision
    settings: TargetSettings
    sha256: str
    kept: Runnable | None = None
    bundled: Path | None = None

    @contextmanager
    def made(self, release: Release, job: Job) -> Iterator[Path]:
        """A folder with the artifact, for this machine.

        Raises:
            ManifestError, TargetError: see `zoo.use.sessions.compiled`.
        """
        if self.kept:
            with compiled(release, self.kept, job) as folder:
                yield folder
            return
        assert self.bundled is not None
        with TemporaryDirectory(prefix="zoo-") as scratch:
            make_artifact(make_target(self.settings), self.bundled, Path(scratch), job)
            yield Path(scratch)

    def sent(self, release: Release, made: Path) -> Path:
        """What the emulated machine gets: a graph that it compiles itself, as a board would, or what is compiled."""
        if self.bundled:
            return self.bundled
        assert self.kept is not None
        by_itself = self.kept.is_graph and not is_portable(make_target(self.settings))
        return release.path.parent / self.kept.files[0].path if by_itself else made


def _of_release(release: Release, target: str, known: TargetSettings | None) -> Iterator[Candidate]:
    found = candidates(release, target, known, None)
    check_files(release, target, found)
    for one in found:
        if one.settings:
            yield Candidate(target, one.precision, one.settings, one.sha256, one)


def _of_bundle(pending: Pending, path: Path, folder: Path) -> Iterator[Candidate]:
    bundle = open_bundle(path, folder)
    for one in bundle.variants:
        if one.network == "student":
            file = bundle.folder / one.graph
            precision: Precision = one.precision  # type: ignore[assignment]
            yield Candidate(pending.target, precision, bundle.settings.computing, sha256(file), bundled=file)


def _check(target: str, settings: TargetSettings | None) -> None:
    """Check that a target computes on a CPU with a runtime that has wheels for arm64, and that it runs here, too.

    Raises:
        TargetError: it does not.
    """
    if settings is None:
        raise Unusable(f"{target} is neither in the catalogue nor measured", "Add it to `targets:` in zoo.yaml.")
    runner = make_target(settings)
    if not runs_on_arm64(runner):
        raise Unusable(
            f"{target} computes with {settings.runtime} on {settings.device}, which is not emulated",
            "Emulate a target of ONNX Runtime, OpenVINO, ncnn or LiteRT on a CPU.",
        )
    runner.check()


def _settings(release: Release, target: str, known: TargetSettings | None) -> TargetSettings | None:
    return next((one.settings for one in candidates(release, target, known, None) if one.settings), known)


def emulatable(
    release: Release, targets: Sequence[str], catalogue: Catalogue, home: Home, scratch: Path
) -> list[Candidate]:
    """Artifacts that can be emulated here: of each target, the fp32 graph, and those compiled or bundled for it.

    Args:
        targets: names or aliases, also of boards; empty: all that have artifacts or a bundle and can be emulated.
        scratch: an empty folder for unpacked bundles, which the caller removes.

    Raises:
        CatalogueError: a name is unknown.
        TargetError: a requested target can't be emulated.
        NothingRuns: none was requested, and none can be emulated.
    """
    built = dict.fromkeys(one.target for one in release.manifest.artifacts if one.target)
    waiting = {one.target: one for one in release.pending if (home.bundles / one.bundle).is_file()}
    plan: list[Candidate] = []
    failed: dict[str, TargetError] = {}
    wanted = dict.fromkeys(one if one in built else catalogue.target(one) for one in targets)
    for target in wanted or built | dict.fromkeys(waiting):
        known = catalogue.targets.get(target)
        plain = known and known.computing
        try:
            _check(target, _settings(release, target, plain))
            if target in waiting and target not in built:
                plan += _of_bundle(waiting[target], home.bundles / waiting[target].bundle, scratch / target)
            else:
                plan += _of_release(release, target, plain)
        except TargetError as error:
            if targets:
                raise
            failed[target] = error
    if not plan:
        whys = [error.why if isinstance(error, Unusable) else str(error) for error in failed.values()]
        mends = [error.mend for error in failed.values() if isinstance(error, NotHere)]
        mends.append("To run its fp32 graph: --target onnxruntime-cpu")
        raise NothingRuns(
            f"no artifact of {release.manifest.label} can be emulated: {'; '.join(whys) or 'it has none'}. {mends[0]}"
        )
    return plan
