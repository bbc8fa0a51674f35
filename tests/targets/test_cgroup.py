"""Quotas of control groups, in fake file systems: version 2, version 1, hybrid, containers."""

import pytest

from targets.machine import device
from targets.machine.cgroup import cpu_quota, throttled_seconds
from targets.machine.device import usable_cores
from tests.targets.boards import write

V2, V1 = "0::/a.slice/b.scope", "5:cpuset:/\n3:cpu,cpuacct:/docker/f00\n1:name=systemd:/"
AT2, AT1 = "sys/fs/cgroup/a.slice/b.scope", "sys/fs/cgroup/cpu,cpuacct/docker/f00"


@pytest.mark.parametrize(
    ("files", "quota"),
    [
        ({}, None),
        ({"proc/self/cgroup": V2}, None),
        ({"proc/self/cgroup": V2, f"{AT2}/cpu.max": "max 100000"}, None),
        ({"proc/self/cgroup": V2, f"{AT2}/cpu.max": "150000 100000"}, 1.5),
        # the group above allows less
        ({"proc/self/cgroup": V2, f"{AT2}/cpu.max": "max 1", "sys/fs/cgroup/a.slice/cpu.max": "50000 100000"}, 0.5),
        # a container that sees its own group at the mount
        ({"proc/self/cgroup": "0::/", "sys/fs/cgroup/cpu.max": "300000 100000"}, 3),
        ({"proc/self/cgroup": "0::/../../x", "sys/fs/cgroup/cpu.max": "300000 100000"}, 3),
        ({"proc/self/cgroup": V1, f"{AT1}/cpu.cfs_quota_us": "-1", f"{AT1}/cpu.cfs_period_us": "100000"}, None),
        ({"proc/self/cgroup": V1, f"{AT1}/cpu.cfs_quota_us": "250000", f"{AT1}/cpu.cfs_period_us": "100000"}, 2.5),
        (
            {"proc/self/cgroup": "1:cpu:/\n0::/", "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "200000",
             "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000"}, 2,
        ),
        ({"proc/self/cgroup": V2, f"{AT2}/cpu.max": "nonsense"}, None),
        ({"proc/self/cgroup": V2, f"{AT2}/cpu.max": "1000 0"}, None),
    ],
)  # fmt: skip
def test_a_quota_is_read_in_every_layout(tmp_path, files, quota):
    assert cpu_quota(write(tmp_path, files)) == quota


@pytest.mark.parametrize(("cores", "quota", "usable"), [(8, None, 8), (8, 2.5, 2), (2, 6.0, 2), (8, 0.5, 1)])
def test_threads_are_as_many_as_affinity_and_quota_allow(tmp_path, monkeypatch, cores, quota, usable):
    monkeypatch.setattr(device, "own_cores", lambda: [*range(cores)])
    limit = "max 100000" if quota is None else f"{int(quota * 100000)} 100000"
    assert usable_cores(write(tmp_path, {"proc/self/cgroup": V2, f"{AT2}/cpu.max": limit})) == usable


@pytest.mark.parametrize(
    ("files", "seconds"),
    [
        ({}, None),
        ({"proc/self/cgroup": V2, f"{AT2}/cpu.stat": "usage_usec 9\nnr_throttled 3\nthrottled_usec 2500000"}, 2.5),
        ({"proc/self/cgroup": V2, f"{AT2}/cpu.stat": "usage_usec 9"}, None),
        (
            {"proc/self/cgroup": V2, f"{AT2}/cpu.stat": "throttled_usec 0",
             "sys/fs/cgroup/a.slice/cpu.stat": "throttled_usec 7000000"}, 7,
        ),
        ({"proc/self/cgroup": V1, f"{AT1}/cpu.stat": "nr_periods 9\nthrottled_time 1500000000"}, 1.5),
    ],
)  # fmt: skip
def test_throttled_time_is_read_in_every_layout(tmp_path, files, seconds):
    assert throttled_seconds(write(tmp_path, files)) == seconds
