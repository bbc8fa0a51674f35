"""Conditions of a measurement, on fake machines."""

import pytest
from pydantic import TypeAdapter

from targets.machine.device import own_cores
from targets.machine.sensors import busy_seconds
from targets.measuring import conditions
from targets.measuring.conditions import Watch, read_state
from tests.targets.boards import BUS_ID, command, jetson, laptop, raspberry, stat, write

CORES = [0, 1]


def test_a_laptop_reports_clocks_temperatures_and_profile(tmp_path, commands):
    root = laptop(tmp_path)
    record = Watch(root=root, cores=CORES).conditions()
    state = record.before
    assert (state.cpu_min_mhz, state.cpu_mean_mhz, state.cpu_max_mhz) == (800, 2100, 3400)
    assert state.temperatures_c == {"acpitz": 27.8, "coretemp Package id 0": 61}
    assert state.throttle_counts == {"CPU core too hot": 7, "CPU package too hot": 9}
    assert state.load_average == 0.52
    assert (state.gpu_mhz, state.gpu_memory_mhz, state.power_w) == (None, None, None)
    assert (record.governors, record.power_mode) == (["performance", "powersave"], "balanced")
    assert record.cores == CORES
    assert (record.throttled, record.tells_throttling) == (None, True)


def test_a_raspberry_pi_reports_through_its_firmware(tmp_path, commands):
    record = Watch(root=raspberry(tmp_path, commands), cores=CORES).conditions()
    assert record.after.cpu_mean_mhz == 2400
    assert record.after.temperatures_c == {"cpu-thermal": 66.1}
    assert record.after.slowed_by == []
    assert (record.governors, record.power_mode) == (["ondemand"], None)
    assert (record.throttled, record.tells_throttling) == (None, True)


def test_a_jetson_reports_gpu_rails_and_mode(tmp_path, commands):
    record = Watch(root=jetson(tmp_path, commands), cores=CORES).conditions()
    assert record.before.gpu_mhz == 1020
    assert record.before.temperatures_c == {"cpu-thermal": 52.968}
    assert record.before.power_w == {"VDD_IN": 9.2, "VDD_CPU_GPU_CV": 2}
    assert record.before.throttle_counts == {"over-current oc1": 0, "over-current oc3": 7}
    assert (record.power_mode, record.throttled) == ("MAXN_SUPER", None)


def test_tegrastats_supplies_what_sysfs_lacks(tmp_path, commands):
    line = "GR3D_FREQ 40%@[918] gpu@44.5C VDD_IN 6000mW/5000mW"
    command(commands, "tegrastats", f"while :; do echo '{line}'; /bin/sleep 0.05; done")
    state = read_state(tmp_path / "empty", CORES)
    assert (state.gpu_mhz, state.temperatures_c, state.power_w) == (918, {"gpu": 44.5}, {"VDD_IN": 6})
    assert read_state(jetson(tmp_path, commands), CORES).gpu_mhz == 1020


def test_an_nvidia_gpu_is_recorded_only_if_it_computes(tmp_path, commands, nvml):
    state = Watch(gpu=BUS_ID, root=tmp_path, cores=CORES).conditions().after
    assert (state.gpu_mhz, state.gpu_memory_mhz, state.temperatures_c) == (2505, 9001, {"GPU": 71})
    assert state.power_w is None
    assert state.slowed_by == [], "a power cap is normal for a GPU"
    assert Watch(root=tmp_path, cores=CORES).conditions().after.gpu_mhz is None


def test_a_throttle_counter_that_rises_voids_the_run(tmp_path, commands):
    watch = Watch(root=laptop(tmp_path), cores=CORES)
    write(tmp_path, {"sys/devices/system/cpu/cpu1/thermal_throttle/core_throttle_count": 6})
    assert watch.conditions().throttled == "CPU core too hot (+2)"


@pytest.mark.parametrize(
    ("before", "during", "after", "why"),
    [
        ("0x0", "0x0", "0x0", None),
        ("0x50000", "0x50000", "0x50000", None),  # it was, before the run
        ("0x0", "0x0", "0x80000", "soft temperature limit (+1)"),
        ("0x50000", "0x50005", "0x50000", "throttled; under-voltage"),
        (
            "0x0",
            "0x0",
            "0x90009",
            "soft temperature limit; under-voltage; under-voltage (+1); soft temperature limit (+1)",
        ),
    ],
)
def test_a_raspberry_pi_that_is_slowed_down_voids_the_run(tmp_path, commands, before, during, after, why):
    watch = Watch(root=raspberry(tmp_path, commands, before), cores=CORES)
    raspberry(tmp_path, commands, during)
    watch.look()
    raspberry(tmp_path, commands, after)
    assert watch.conditions().throttled == why


def test_the_kernels_file_is_read_where_a_pi_has_it(tmp_path, commands):
    write(tmp_path, {"sys/devices/platform/soc/soc:firmware/get_throttled": "80008"})
    assert read_state(tmp_path, CORES).slowed_by == ["soft temperature limit"]


def test_cooling_by_a_slower_clock_between_two_looks_voids_the_run(tmp_path, commands):
    watch = Watch(root=jetson(tmp_path, commands), cores=CORES)
    write(tmp_path, {"sys/class/thermal/cooling_device1/cur_state": 1})
    watch.look()
    write(tmp_path, {"sys/class/thermal/cooling_device1/cur_state": 0})
    assert watch.conditions().throttled == "cooling by gpu-throttle-alert"


def test_over_current_on_a_jetson_voids_the_run(tmp_path, commands):
    watch = Watch(root=jetson(tmp_path, commands), cores=CORES)
    write(tmp_path, {"sys/class/hwmon/hwmon2/oc3_event_cnt": 9})
    assert watch.conditions().throttled == "over-current oc3 (+2)"


def test_a_hot_gpu_voids_the_run(tmp_path, commands, nvml):
    watch = Watch(gpu=BUS_ID, root=tmp_path, cores=CORES)
    nvml.reasons = 0x20 | 0x4
    watch.look()
    nvml.reasons, nvml.hot_ns = 0, 3_000_000
    assert watch.conditions().throttled == "GPU too hot (software); GPU too hot (ms) (+3)"


def test_other_work_and_stolen_time_are_recorded(tmp_path, commands, monkeypatch):
    """In 2 seconds the two cores were busy for 3, one of them by us; the hypervisor withheld half a second."""
    times = iter([100.0, 102.0])
    monkeypatch.setattr(conditions, "perf_counter", lambda: next(times))
    own = iter([5.0, 6.0])
    monkeypatch.setattr(conditions, "process_time", lambda: next(own))
    watch = Watch(root=laptop(tmp_path), cores=CORES)
    write(tmp_path, {"proc/stat": stat(250, 825, 60)})
    record = watch.conditions()
    assert (record.seconds, record.other_work_cores, record.stolen_cores) == (2, 1, 0.25)


def test_the_work_of_a_process_and_of_those_it_started_is_the_runs_own(tmp_path, commands, monkeypatch):
    """A browser is a program whose name may hold anything, with processes below it of which some have ended."""
    clock = iter([10.0, 12.0])
    monkeypatch.setattr(conditions, "perf_counter", lambda: next(clock))
    monkeypatch.setattr(conditions, "process_time", lambda: 0.0)

    def process(number, parent, ticks, name="zoo"):
        used = " ".join(map(str, ticks))
        write(tmp_path, {f"proc/{number}/stat": f"{number} ({name}) S {parent} 1 1 0 -1 0 0 0 0 0 {used} 20 0 1 0 5"})

    write(tmp_path, {"proc/stat": stat(busy=100, idle=100, steal=0)})
    process(7, 1, (10, 5, 0, 0), name="web (1) 3")
    process(8, 7, (20, 0, 0, 0))
    process(9, 1, (50, 0, 0, 0))
    watch = Watch(root=tmp_path, cores=CORES, processes=[7])
    write(tmp_path, {"proc/stat": stat(busy=200, idle=100, steal=0)})
    process(7, 1, (20, 15, 30, 0), name="web (1) 3")  # 50 ticks more
    process(8, 7, (70, 0, 0, 0))  # 50 more
    process(9, 1, (100, 0, 0, 0))  # somebody else's
    assert watch.conditions().other_work_cores == 0.5, "two cores were busy for 2 s in all, 1 s of it by others"


def test_a_machine_without_sensors(tmp_path, commands):
    record = Watch(gpu=BUS_ID, root=tmp_path, cores=CORES).conditions()
    state = record.after
    assert {value for name, value in vars(state).items()} == {None}
    assert (record.governors, record.power_mode, record.other_work_cores) == (None, None, None)
    assert (record.throttled, record.tells_throttling) == (None, False)


def test_this_machine_is_described():
    watch = Watch(gpu=BUS_ID)
    watch.look()
    record = watch.conditions()
    assert record.cores == own_cores()
    adapter = TypeAdapter(type(record))
    assert adapter.validate_json(adapter.dump_json(record)) == record  # as a measurement keeps it


@pytest.mark.parametrize("content", ["", "not a number", "\x00"])
def test_damaged_files_are_ignored(tmp_path, commands, content):
    root = jetson(tmp_path, commands)
    for path in root.rglob("*"):
        if path.is_file() and path.parent != commands and path.name not in ("type", "name"):
            path.write_text(content)
    state = read_state(root, CORES)
    assert (state.cpu_max_mhz, state.gpu_mhz, state.temperatures_c, state.power_w) == (None, None, None, None)
    assert state.load_average is None
    assert busy_seconds(write(tmp_path, {"proc/stat": f"cpu0 {content} 1 2 3 4 5 6 x 8"}), CORES) is None
