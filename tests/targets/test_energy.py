"""Energy per image, on fake machines."""

import sys
from time import perf_counter, sleep

import numpy as np
import pytest

from targets.measuring import conditions, energy
from targets.measuring.conditions import Watch
from targets.measuring.energy import Jetson, Nvml, Rapl, find_meter, measure_energy
from tests.targets.boards import BUS_ID, ORIN_NANO, command, laptop, stat, write

IMAGES = np.zeros((4, 2, 2, 3), np.uint8)
RANGE_UJ = 262_143_328_850


class Fake:
    """A session that takes half a second of its own clock, with an action in each call."""

    compute_ms: float | None = None

    def __init__(self, monkeypatch, each=lambda: None):
        self.now, self.calls, self.each = 0.0, 0, each
        monkeypatch.setattr(energy, "perf_counter", lambda: self.now)

    def embed(self, images):
        self.calls, self.now = self.calls + 1, self.now + 0.5
        self.each()
        return np.ones((len(images), 2), np.float32)


def package(root, microjoules, number=0):
    write(root, {f"sys/class/powercap/intel-rapl:{number}/energy_uj": microjoules})


def test_rapl_counts_packages_only(tmp_path, commands):
    root = laptop(tmp_path)
    package(root, 1_000_000)
    meter = find_meter(root=root)
    with meter:
        package(root, 7_500_000)
        write(root, {"sys/class/powercap/intel-rapl:1/energy_uj": 900_000_000})
    assert meter.joules == pytest.approx(6.5)
    assert meter.source.startswith("RAPL")


def test_rapl_wraps_around(tmp_path, commands):
    root = laptop(tmp_path)
    package(root, RANGE_UJ - 2_000_000)
    meter = Rapl(root)
    with meter:
        package(root, 3_000_000)
    assert meter.joules == pytest.approx(5)


def test_rapl_that_falls_without_a_known_range_is_not_guessed(tmp_path, commands):
    root = laptop(tmp_path)
    write(root, {"sys/class/powercap/intel-rapl:0/max_energy_range_uj": ""})
    meter = Rapl(root)
    with meter:
        package(root, 3_000_000)
    assert meter.joules is None


def test_two_sockets_add_up(tmp_path, commands):
    root = laptop(tmp_path)
    write(root, {"sys/class/powercap/intel-rapl:2/name": "package-1"})
    package(root, 0)
    package(root, 0, 2)
    meter = Rapl(root)
    with meter:
        package(root, 1_000_000)
        package(root, 2_000_000, 2)
    assert meter.joules == pytest.approx(3)


def test_rapl_that_is_not_readable_is_no_meter(tmp_path, commands):
    """As the kernel refuses it: opening fails. A folder in its place fails for root, too."""
    root = laptop(tmp_path)
    counter = root / "sys/class/powercap/intel-rapl:0/energy_uj"
    counter.unlink()
    counter.mkdir()
    assert find_meter(root=root) is None


def test_a_cpus_meter_is_not_taken_for_a_gpu(tmp_path, commands, nvml, monkeypatch):
    root = laptop(tmp_path)
    assert isinstance(find_meter(root=root), Rapl)
    meter = find_meter(gpu=BUS_ID, root=root)
    assert isinstance(meter, Nvml)
    with meter:
        nvml.energy_mj = 4200
    assert meter.joules == pytest.approx(4.2)
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert find_meter(gpu=BUS_ID, root=root) is None


def test_a_jetson_is_metered_by_tegrastats_as_a_whole(commands, tmp_path):
    """A board that takes 4.824 W all the time."""
    command(commands, "tegrastats", f"while :; do echo '{ORIN_NANO}'; /bin/sleep 0.02; done")
    meter = find_meter(gpu=BUS_ID, root=tmp_path)
    assert isinstance(meter, Jetson)
    assert meter.source == "tegrastats: the whole module (VDD_IN)"
    with meter:
        begun = perf_counter()
        while perf_counter() - begun < 0.3 or len(meter._sampler.samples) < 10:
            sleep(0.01)
        took = perf_counter() - begun
    assert meter.joules == pytest.approx(4.824 * took, rel=0.2)
    assert meter._sampler._process.returncode is not None, "it must not run on"


def test_too_few_samples_give_no_energy(commands, tmp_path):
    command(commands, "tegrastats", f"echo '{ORIN_NANO}'; /bin/sleep 0.2")
    meter = find_meter(root=tmp_path)
    with meter:
        pass
    assert meter.joules is None


def test_a_silent_tegrastats_is_no_meter(commands, tmp_path, monkeypatch):
    command(commands, "tegrastats", "exit 1")
    assert find_meter(root=tmp_path) is None


def test_energy_is_per_image(tmp_path, commands, monkeypatch):
    """6 J in each call of 4 images; calls for 2 seconds, and one before them that is not metered."""
    root = laptop(tmp_path)
    package(root, 0)

    def work():
        package(root, 6_000_000 * session.calls)

    session = Fake(monkeypatch, work)
    found = measure_energy(Rapl(root), session, IMAGES, 2.0)
    assert found.mj_per_image == pytest.approx(1500)
    assert (found.images, found.seconds, session.calls) == (16, 2.0, 5)
    assert found.source == Rapl.source


def test_a_slow_session_is_metered_over_three_calls(tmp_path, commands, monkeypatch):
    root = laptop(tmp_path)
    package(root, 0)
    session = Fake(monkeypatch, lambda: package(root, 1_000_000 * session.calls))
    assert measure_energy(Rapl(root), session, IMAGES, 0.1).images == 12


def test_a_counter_that_stands_still_gives_no_energy(tmp_path, commands, monkeypatch):
    assert measure_energy(Rapl(laptop(tmp_path)), Fake(monkeypatch), IMAGES) is None


def test_a_machine_without_a_meter_has_none(tmp_path, commands, monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert find_meter(root=tmp_path) is None
    assert find_meter(gpu=BUS_ID, root=tmp_path) is None


class Burning:
    """Action of a call: a joule more on the meter, and from the second call on another action."""

    def __init__(self, root, other=lambda: None):
        self.root, self.other, self.calls = root, other, 0

    def __call__(self):
        self.calls += 1
        package(self.root, 1_000_000 * self.calls)
        if self.calls > 1:
            self.other()


@pytest.fixture
def metered(tmp_path, commands, monkeypatch):
    """Energy per image on a laptop with an event during the block."""
    monkeypatch.setattr(conditions, "BUSY_CORES", 0.1)

    def metered(other):
        root = laptop(tmp_path)
        session, watch = Fake(monkeypatch, Burning(root, lambda: other(root))), Watch(root=root, cores=[0, 1])
        return measure_energy(Rapl(root), session, IMAGES, 2.0, watch)

    return metered


def test_an_undisturbed_block_has_energy(metered):
    assert metered(lambda _: None).mj_per_image == pytest.approx(250)


def test_throttling_during_the_energy_block_voids_it(metered):
    count = "sys/devices/system/cpu/cpu1/thermal_throttle/core_throttle_count"
    assert metered(lambda root: write(root, {count: 99})) is None


def test_a_short_slowdown_during_the_energy_block_voids_it(metered):
    cooling, states = "sys/class/thermal/cooling_device0/cur_state", iter([3, 0, 0, 0, 0])
    assert metered(lambda root: write(root, {cooling: next(states)})) is None


def test_other_work_during_the_energy_block_voids_it(metered):
    assert metered(lambda root: write(root, {"proc/stat": stat(100_000, 800, 10)})) is None
