"""What of a release can be measured on this machine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from targets.contract import make_target
from targets.device import is_board, this_device
from targets.errors import TargetError, Unusable
from targets.settings import TargetSettings
from zoo.catalogue import Catalogue
from zoo.errors import NothingRuns
from zoo.releases import Release
from zoo.use.runnable import Runnable, graph_on, runnables


def _candidates(release: Release, target: str, settings: TargetSettings | None, threads: int | None) -> list[Runnable]:
    """What is measured of a release for a target: its graph in fp32, and what was compiled for it."""
    found = [one for one in runnables(release, threads) if one.target == target and not one.is_graph]
    under = next((one.settings for one in found if one.settings), settings)
    graph = under and graph_on(release, target, replace(under, threads=threads or under.threads))
    return [graph, *found] if graph and all(one.precision != "fp32" for one in found) else found


def _check_here(release: Release, target: str, known: TargetSettings | None, found: Sequence[Runnable]) -> None:
    if known and not is_board(known.board):
        raise Unusable(
            f"{target} is a {known.board}, and this machine calls itself {this_device().name}",
            "Measure there, or name a target that is here: zoo doctor lists them.",
        )
    for one in found:
        if one.settings:
            make_target(one.settings).check()
        if absent := [file.path for file in one.files if not (release.path.parent / file.path).is_file()]:
            raise Unusable(f"{absent[0]} is not here", f"Get it: zoo pull {release.manifest.label} --target {target}")


def measurable(
    release: Release, targets: Sequence[str], catalogue: Catalogue, threads: int | None = None
) -> dict[str, list[Runnable]]:
    """What there is to measure here, by target.

    Args:
        targets: names or aliases; empty: all that something was compiled for and that are usable here.

    Raises:
        CatalogueError: a name is unknown.
        TargetError: a target that was named is not usable here.
        NothingRuns: none was named, and none is usable.
    """
    built = dict.fromkeys(one.target for one in release.manifest.artifacts if one.target)
    plan: dict[str, list[Runnable]] = {}
    whys: list[str] = []
    for target in dict.fromkeys(t if t in built else catalogue.target(t) for t in targets) or built:
        known = catalogue.targets.get(target)
        found = _candidates(release, target, known and known.computing, threads)
        try:
            _check_here(release, target, known, found)
            plan[target] = found
        except TargetError as error:
            if targets:
                raise
            whys.append(f"{target}: {error.why if isinstance(error, Unusable) else error}")
    if not plan:
        raise NothingRuns(
            f"nothing that {release.manifest.label} was compiled for runs here: "
            f"{'; '.join(whys) or 'there is nothing'}. To measure its graph in fp32, name a target of zoo doctor: "
            "--target onnxruntime-cpu"
        )
    return plan
