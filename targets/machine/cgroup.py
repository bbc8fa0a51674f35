"""The control group of this process: its CPU quota, and how long the quota throttled it.

Sources: the kernel's Documentation/admin-guide/cgroup-v2 (`cpu.max`, `cpu.stat`) and scheduler/sched-bwc (version 1:
`cpu.cfs_quota_us`, `cpu.cfs_period_us`, `cpu.stat`). A group is limited by the quotas of all its parents. Nothing here
raises: an unreadable file limits nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from targets.machine.sensors import text

MOUNT = "sys/fs/cgroup"


def _groups(mount: Path, path: str) -> Iterator[Path]:
    """The group itself, then its parents; a container that sees only its own group sees it at the mount."""
    inside = PurePosixPath(path.lstrip("/"))
    for place in (inside, *inside.parents):
        folder = mount / place
        if ".." not in place.parts and folder.is_dir():
            yield folder


def _folders(root: Path) -> tuple[list[Path], list[Path]]:
    """Folders of this process's CPU groups: of version 2, and of version 1."""
    second: list[Path] = []
    first: list[Path] = []
    for line in (text(root / "proc/self/cgroup") or "").splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0" and not controllers:
            second += [folder for name in ("", "unified") for folder in _groups(root / MOUNT / name, path)]
        elif "cpu" in controllers.split(","):
            mount = next((m for m in (root / MOUNT / controllers, root / MOUNT / "cpu") if m.is_dir()), None)
            first += _groups(mount, path) if mount else ()
    return second, first


def _numbers(path: Path) -> dict[str, float]:
    words = [line.split() for line in (text(path) or "").splitlines()]
    return {pair[0]: float(pair[1]) for pair in words if len(pair) == 2 and pair[1].isdecimal()}


def _quota_of(quota: str | None, period: str | None) -> float | None:
    """Quota in cores; None without a limit, which is `max` in version 2 and -1 in version 1."""
    if quota is None or period is None or not (quota.isdecimal() and period.isdecimal()) or not int(period):
        return None
    return int(quota) / int(period) or None


def cpu_quota(root: Path = Path("/")) -> float | None:
    """Cores' time that this process may use on average; None if unlimited.

    Args:
        root: folder that holds `sys` and `proc`.
    """
    second, first = _folders(root)
    found = []
    for folder in second:
        quota, _, period = (text(folder / "cpu.max") or "").partition(" ")
        found.append(_quota_of(quota, period))
    found += [_quota_of(text(at / "cpu.cfs_quota_us"), text(at / "cpu.cfs_period_us")) for at in first]
    return min((one for one in found if one is not None), default=None)


def throttled_seconds(root: Path = Path("/")) -> float | None:
    """How long this process's group, or a parent, was throttled by its quota since it was created; None if no group
    reports it. Threads throttled at the same time count separately, so only a difference from 0 is meaningful.
    """
    second, first = _folders(root)
    found = [_numbers(folder / "cpu.stat").get("throttled_usec") for folder in second]
    told = [value / 1e6 for value in found if value is not None]
    found = [_numbers(folder / "cpu.stat").get("throttled_time") for folder in first]
    told += [value / 1e9 for value in found if value is not None]
    return max(told, default=None)
