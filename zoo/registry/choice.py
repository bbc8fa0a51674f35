"""Selects the targets whose artifacts are worth pulling to this machine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from targets.contract import make_target
from targets.errors import TargetError
from zoo.errors import NothingPrebuilt
from zoo.layout import MANIFEST
from zoo.registry.pull import Choose
from zoo.release.licensing import Accepted
from zoo.release.local import Release
from zoo.release.manifest import Manifest
from zoo.release.measurements import Measurement
from zoo.use.runnable import Runnable, runnables


def _runs_here(one: Runnable) -> bool:
    try:
        return one.settings is not None and bool(make_target(one.settings).check())
    except TargetError:
        return False


def best_target(manifest: Manifest, records: list[Measurement]) -> str | None:
    """The target that `zoo.load` would take here if all were pulled; None if only the graph runs, or nothing."""
    release = Release(Path(MANIFEST), manifest, [*records])
    return next((one.target for one in runnables(release) if not one.is_graph and _runs_here(one)), None)


def chooser(
    targets: Sequence[str] | None, own_name: Callable[[str], str] = str, allowed: Accepted | None = None
) -> Choose:
    """The argument `choose` of `pull`.

    Args:
        targets: requested targets; empty: the best one for this machine; None: all.
        own_name: the own name of a target that the release does not have under the given name; may raise.
        allowed: licenses that the user accepts; None: any.

    Raises (the result, when it is called):
        LicenseError: the release does not fit `allowed`.
        NothingPrebuilt: it has nothing for a requested target.
    """

    def choose(manifest: Manifest, records: list[Measurement]) -> Sequence[str] | None:
        if allowed:
            allowed.check(manifest)
        if targets is None:
            return None
        there = list(dict.fromkeys(one.target for one in manifest.artifacts if one.target))
        wanted = [target if target in there else own_name(target) for target in targets]
        if missing := [target for target in wanted if target not in there]:
            raise NothingPrebuilt(
                f"{manifest.label} has nothing prebuilt for {', '.join(missing)}; available: "
                f"{', '.join(there) or 'nothing'}. On such a device, its graph can be measured: zoo pull "
                f"{manifest.label}, then zoo bench {manifest.label} --target {missing[0]}.",
                manifest.command_for(missing[0]),
            )
        best = best_target(manifest, records)
        return wanted or ([best] if best else [])

    return choose
