"""Times on a busy machine are unreliable: runs wait for it, are repeated, and reported. On fake machines."""

import pytest

from targets.errors import BadOption
from targets.measuring import conditions, quiet
from targets.measuring.conditions import Watch
from targets.measuring.quiet import Patience, assess, others_busy, quiet_seconds, when_quiet
from tests.targets.boards import laptop, stat, write


@pytest.fixture(autouse=True)
def limits(monkeypatch):
    """The real limits, which other tests disable to be independent of their machine."""
    monkeypatch.setattr(conditions, "BUSY_CORES", 0.1)
    monkeypatch.setattr(conditions, "HELD_BACK", 0.01)
    monkeypatch.delenv("ZOO_QUIET_SECONDS")


@pytest.fixture
def run(tmp_path, commands, monkeypatch):
    """Conditions of a run of ten seconds on two cores: ticks of others, ticks withheld, held back by a quota in µs."""

    def run(busy=0, stolen=0, held_back=0, own=0.0):
        group = {"proc/self/cgroup": "0::/", "sys/fs/cgroup/cpu.stat": "throttled_usec 5"}
        root = write(laptop(tmp_path), group)
        now = iter([0.0, 10.0])
        used = iter([0.0, own])
        monkeypatch.setattr(conditions, "perf_counter", lambda: next(now))
        monkeypatch.setattr(conditions, "process_time", lambda: next(used))
        watch = Watch(root=root, cores=[0, 1])
        write(root, {"proc/stat": stat(100 + busy // 2, 800, 10 + stolen)})
        write(root, {"sys/fs/cgroup/cpu.stat": f"throttled_usec {5 + held_back}"})
        return watch.conditions()

    return run


@pytest.mark.parametrize(
    ("what", "why"),
    [
        ({}, None),
        ({"busy": 2000, "own": 20.0}, None),  # it was this process
        ({"busy": 80}, None),  # a core's 8 %
        ({"busy": 1000}, "other processes kept 1 of 2 cores busy"),
        ({"busy": 2000, "own": 10.0}, "other processes kept 1 of 2 cores busy"),
        ({"busy": 2000}, "other processes kept 2 of 2 cores busy"),
        ({"stolen": 300}, "the hypervisor withheld 0.3 of 2 cores"),
        ({"held_back": 50_000}, None),
        ({"held_back": 2_500_000}, "the CPU quota of the control group throttled it for 2.5 s"),
        (
            {"busy": 400, "held_back": 1_000_000},
            "other processes kept 0.4 of 2 cores busy; the CPU quota of the control group throttled it for 1 s",
        ),
    ],
)
def test_a_run_is_disturbed_by_other_work_a_hypervisor_or_a_quota(run, what, why):
    assert run(**what).disturbed == why


def test_one_busy_core_disturbs_any_number_of_cores():
    assert all(conditions.most_busy(cores) < 1 for cores in (1, 2, 16, 64))


def test_a_machine_without_sensors_is_not_disturbed(tmp_path, commands):
    record = Watch(root=write(tmp_path, {"proc/stat": "nonsense"}), cores=[0, 1]).conditions()
    assert (record.other_work_cores, record.held_back_s, record.disturbed) == (None, None, None)


def test_other_work_is_checked_before_measuring(tmp_path, monkeypatch):
    now = iter([0.0, 2.0])
    monkeypatch.setattr(quiet, "perf_counter", lambda: next(now))
    monkeypatch.setattr(quiet, "process_time", lambda: 0.0)
    monkeypatch.setattr(quiet, "own_cores", lambda: [0, 1])
    root = write(tmp_path, {"proc/stat": stat(100, 800, 0)})

    def pause(_):
        write(root, {"proc/stat": stat(200, 800, 25)})

    assert others_busy(root, 2.0, pause) == pytest.approx((2 * 100 + 25) / 100 / 2)
    now = iter([0.0, 2.0])
    assert others_busy(write(tmp_path, {"proc/stat": "x"}), 2.0, lambda _: None) is None


class Machine:
    """Numbers of busy cores in consecutive checks of one second."""

    def __init__(self, *loads):
        self.loads, self.time = list(loads), 0.0

    def busy(self):
        self.time += 1
        return self.loads.pop(0) if len(self.loads) > 1 else self.loads[0]

    def patience(self, seconds):
        return Patience(seconds, self.busy, lambda: self.time)


def test_an_idle_machine_is_measured_at_once():
    said, machine = [], Machine(0.02)
    assert machine.patience(60).wait(said.append)
    assert (machine.time, said) == (1, [])


def test_a_machine_without_sensors_is_measured_at_once():
    said, machine = [], Machine(None)
    assert machine.patience(60).wait(said.append)
    assert said == []


def test_the_wait_for_an_idle_machine_is_reported_once():
    said, machine = [], Machine(1.0, 1.0, 2.0, 0.0)
    assert machine.patience(60).wait(said.append)
    assert machine.time == 4
    assert len(said) == 1
    assert "waiting for an idle machine, at most 60 s (ZOO_QUIET_SECONDS): other processes keep 1.0 of" in said[0]


def test_the_wait_has_a_limit_that_is_reported():
    said, machine = [], Machine(1.5)
    assert not machine.patience(7).wait(said.append)
    assert machine.time == 7
    assert said[-1] == "the machine did not become idle; measuring anyway"


def test_without_a_wait_nothing_is_checked():
    machine = Machine(1.5)
    assert not machine.patience(0).wait(lambda line: pytest.fail(line))
    assert machine.time == 0


@pytest.mark.parametrize(("said", "seconds"), [(None, 120), ("", 120), ("0", 0), ("12.5", 12.5)])
def test_the_user_sets_the_limit(monkeypatch, said, seconds):
    if said is not None:
        monkeypatch.setenv("ZOO_QUIET_SECONDS", said)
    assert quiet_seconds() == seconds


@pytest.mark.parametrize("said", ["soon", "-1", "nan", "inf"])
def test_an_invalid_limit_is_refused(monkeypatch, said):
    monkeypatch.setenv("ZOO_QUIET_SECONDS", said)
    with pytest.raises(BadOption, match="ZOO_QUIET_SECONDS must be a number of seconds"):
        quiet_seconds()


def runs_of(run, *given):
    """Runs one after the other, by number: what disturbs each, and how many of its sessions are restless."""
    made = []

    def next_run():
        made.append(given[len(made)])
        return len(made), assess(run(**made[-1][0]), made[-1][1])

    return next_run, made


def test_a_disturbed_run_is_repeated_until_one_counts(run):
    said = []
    following, made = runs_of(run, ({"busy": 900}, 0), ({}, 2), ({}, 0))
    number, verdict = when_quiet(following, lambda found: found[1], said.append, Machine(0.0).patience(60))
    assert (number, verdict.why, len(made)) == (3, None, 3)
    assert said == [
        "measuring again: other processes kept 0.9 of 2 cores busy",
        "measuring again: 2 of its times never became steady",
    ]


def test_of_disturbed_runs_the_least_disturbed_is_kept_not_the_fastest(run):
    following, made = runs_of(run, ({"busy": 900}, 0), ({}, 3), ({"busy": 400}, 0))
    number, verdict = when_quiet(following, lambda found: found[1], lambda _: None, Machine(0.0).patience(60))
    assert (number, verdict.why, len(made)) == (2, "3 of its times never became steady", 3)


def test_a_machine_that_stays_busy_is_measured_once(run):
    following, made = runs_of(run, ({"busy": 900}, 0))
    _, verdict = when_quiet(following, lambda found: found[1], lambda _: None, Machine(1.0).patience(3))
    assert verdict.why == "other processes kept 0.9 of 2 cores busy"
    assert len(made) == 1


def test_a_throttled_run_is_repeated(run):
    hot = assess(run())
    assert hot.why is None
    throttled = assess(run().__class__(**{**run().__dict__, "throttled": "GPU too hot"}))
    assert throttled.why == "throttled by GPU too hot"
    assert throttled.faults > hot.faults
