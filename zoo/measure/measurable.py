"""Artifacts of a release that can be measured on this machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from targets.contract import make_target
from targets.errors import TargetError, Unusable
from targets.machine.device import is_board, this_device
from targets.settings import TargetSettings
from zoo.catalogue import Catalogue
from zoo.errors import NothingRuns, ZooError
from zoo.release.local import Release
from zoo.use.runnable import Runnable, graph_on, runnables

THREADS = 4  # per core, at most


def most_threads() -> int:
    """The limit on threads of an inference. More threads than cores only wait; a few more are allowed, to show that."""
    return THREADS * this_device().cores


def candidates(release: Release, target: str, settings: TargetSettings | None, threads: int | None) -> list[Runnable]:
    """Artifacts of a release to run for a target: its fp32 graph, and those compiled for it."""
    found = [one for one in runnables(release, threads) if one.target == target and not one.is_graph]
    under = next((one.settings for one in found if one.settings), settings)
    graph = under and graph_on(release, target, replace(under, threads=threads or under.threads))
    return [graph, *found] if graph and all(one.precision != "fp32" for one in found) else found


class NotHere(Unusable):
    """A file is missing that this machine could run."""


def _check_here(release: Release, target: str, known: TargetSettings | None, found: Sequence[Runnable]) -> None:
    if known and not is_board(known.board):
        raise Unusable(
            f"{target} is a {known.board}, but this machine is another one ({this_device().name})",
            "Measure there, or use a target of this machine: zoo doctor lists them.",
        )
    for one in found:
        if one.settings:
            make_target(one.settings).check()
    check_files(release, target, found)


def check_files(release: Release, target: str, found: Sequence[Runnable]) -> None:
    """Check that the files of a target's artifacts are here.

    Raises:
        NotHere: one is not.
    """
    missing = [file for one in found for file in one.files if not (release.path.parent / file.path).is_file()]
    if missing:
        get = f"Get it: zoo pull {release.manifest.label}" + f" --target {target}" * any(one.target for one in missing)
        raise NotHere(f"{missing[0].path} is not here", release.rebuilding or get)


def _check_threads(threads: int | None) -> None:
    if threads and threads > most_threads():
        cores = this_device().cores
        raise ZooError(
            f"{threads} threads are too many for the {cores} cores of this machine. Use {most_threads()} or fewer."
        )


def _nothing(release: Release, failed: Mapping[str, TargetError]) -> NothingRuns:
    """Why nothing can be measured, and what to do: get an artifact that would run, or use the graph."""
    whys = [f"{target}: {error.why if isinstance(error, Unusable) else error}" for target, error in failed.items()]
    mends = [error.mend for error in failed.values() if isinstance(error, NotHere)]
    mends.append("To measure its fp32 graph, use a target of zoo doctor: --target onnxruntime-cpu")
    return NothingRuns(
        f"no artifact of {release.manifest.label} runs here: {'; '.join(whys) or 'it has none'}. {mends[0]}"
    )


def measurable(
    release: Release, targets: Sequence[str], catalogue: Catalogue, threads: int | None = None
) -> dict[str, list[Runnable]]:
    """Artifacts that can be measured here, by target.

    Args:
        targets: names or aliases; empty: all usable ones that have artifacts.

    Raises:
        CatalogueError: a name is unknown.
        TargetError: a requested target is not usable here.
        NothingRuns: none was requested, and none is usable.
        ZooError: there are too many threads for this machine.
    """
    _check_threads(threads)
    built = dict.fromkeys(one.target for one in release.manifest.artifacts if one.target)
    plan: dict[str, list[Runnable]] = {}
    failed: dict[str, TargetError] = {}
    for target in dict.fromkeys(t if t in built else catalogue.target(t) for t in targets) or built:
        known = catalogue.targets.get(target)
        found = candidates(release, target, known and known.computing, threads)
        try:
            _check_here(release, target, known, found)
            plan[target] = found
        except TargetError as error:
            if targets:
                raise
            failed[target] = error
    if not plan:
        raise _nothing(release, failed)
    return plan
