"""Which targets' artifacts are worth having on this machine."""

from __future__ import annotations

from collections.abc import Sequence

from targets.contract import make_target
from targets.device import this_device
from targets.errors import TargetError
from targets.settings import TargetSettings
from zoo.errors import RegistryError
from zoo.manifest import Manifest
from zoo.measurements import Measured
from zoo.registry.pull import Choose


def offered(manifest: Manifest) -> dict[str, str]:
    """Targets that the release has artifacts for, with their runtimes."""
    return {one.target: one.runtime for one in manifest.artifacts if one.target and one.runtime}


def _runs_here(runtime: str, device: str) -> bool:
    try:
        make_target(TargetSettings(runtime, device)).check()
    except TargetError:
        return False
    return True


def best_target(manifest: Manifest, records: Sequence[Measured]) -> str | None:
    """Of the targets whose runtime is usable here: the one that was fastest on this device, or else on any.

    One that was never measured comes last; none if there is none at all.
    """
    here = this_device().name
    ranked = []
    for target, runtime in offered(manifest).items():
        figures = [one for one in records if one.target == target and one.ships]
        devices = {one.runtime.device for one in figures} or {"CPU"}
        if any(_runs_here(runtime, device) for device in devices):
            best = min((one.device.name != here, one.latency[0].p50_ms) for one in figures) if figures else (True, 1e9)
            ranked.append((best, target))
    return min(ranked)[1] if ranked else None


def chooser(targets: Sequence[str] | None) -> Choose:
    """What `pull` asks.

    Args:
        targets: those that are wanted; empty: the best one for this machine; none: everything.
    """

    def choose(manifest: Manifest, records: list[Measured]) -> Sequence[str] | None:
        if targets is None:
            return None
        there = offered(manifest)
        if missing := [target for target in targets if target not in there]:
            raise RegistryError(
                f"{manifest.label} has nothing prebuilt for {', '.join(missing)}; there is: "
                f"{', '.join(there) or 'nothing'}. Build it: zoo build {manifest.name} --target {missing[0]} "
                "(--plan shows what that takes)"
            )
        if targets:
            return targets
        best = best_target(manifest, records)
        return [best] if best else []

    return choose
