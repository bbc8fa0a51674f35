"""Processes that read images: errors if one ends or can't hand over, and their number."""

import os
import signal

import pytest

from pipeline.data.batches import TrainingBatches
from pipeline.data.loading import explain_ended, explained
from pipeline.data.sampler import Sampling
from pipeline.engine import processes, work
from pipeline.engine.plan import make_plan
from pipeline.engine.processes import Processes
from pipeline.engine.progress import Silent
from pipeline.engine.run import run_plan
from pipeline.engine.step import Step, StepId
from pipeline.engine.store import Store
from pipeline.engine.work import Work
from pipeline.errors import LoadingFailed, PipelineError
from tests.forked import run_alone
from tests.helpers import SMALL, draw_vehicles
from tests.pipeline.test_data import find


def batches_of(root):
    samples = find(root).train
    return TrainingBatches(samples, SMALL, Sampling(identities=4, images=2), 0, workers=1)


def kill_the_worker(root):
    """In a process of its own."""
    batches = batches_of(root)
    source = batches.epoch(0)
    next(source)
    try:
        os.kill(batches.loader._iterator._workers[0].pid, signal.SIGKILL)
        for _ in source:
            pass
        for _ in batches.epoch(1):
            pass
    except PipelineError as error:
        return f"{type(error).__name__} {error}"
    except RuntimeError as error:  # raised by torch's signal handler
        return f"LoadingFailed {explain_ended(error)}"


def read_no_image(root):
    """In a process of its own."""
    batches = batches_of(root)
    for path in (root / "veri" / "image_train").iterdir():
        path.write_bytes(b"no image")
    try:
        next(batches.epoch(0))
    except PipelineError as error:
        return f"{type(error).__name__} {error}"


def told_by(function, root):
    """Result of a function in a separate process, since torch's loaders leave a signal handler."""
    draw_vehicles(root / "veri")
    return run_alone(function, root)


def test_a_loading_process_that_ends_is_reported_in_one_line(tmp_path):
    ended = told_by(kill_the_worker, tmp_path)
    assert ended.startswith("LoadingFailed a process that reads images ended"), ended
    assert ended.endswith("Run the command again to continue from the last checkpoint.")


def test_an_unreadable_image_in_a_loading_process_is_reported(tmp_path):
    unreadable = told_by(read_no_image, tmp_path)
    assert unreadable.startswith("DataError"), unreadable
    assert "image_train" in unreadable


@pytest.mark.parametrize(
    "said",
    [
        "DataLoader worker (pid 17) is killed by signal: Bus error. It is possible that workers are out of "
        "shared memory. Please try to raise your shared memory limit.",
        "Caught RuntimeError in DataLoader worker process 0.\nOriginal Traceback …\nRuntimeError: unable to write "
        "to file </torch_17_23_0>: No space left on device (28)",
        "unable to open shared memory object </torch_5_6_7> in read-write mode: Cannot allocate memory (12)",
    ],
)
def test_small_shared_memory_ends_in_a_line_with_the_remedy(said):
    with (
        pytest.raises(LoadingFailed, match=r"/dev/shm.* is too small .*--shm-size=8g.* from the last checkpoint"),
        explained(),
    ):
        raise RuntimeError(said)


@pytest.mark.parametrize(
    "said",
    [
        "DataLoader worker (pid 17) is killed by signal: Killed. ",
        "DataLoader worker (pid(s) 17, 18) exited unexpectedly",
        "DataLoader worker (pid 17) exited unexpectedly with exit code 1. Details are lost due to multiprocessing.",
    ],
)
def test_a_killed_loading_process_is_reported_with_the_remedy(said):
    with pytest.raises(LoadingFailed, match=r"a process that reads images ended.*Free some, or lower"), explained():
        raise RuntimeError(said)


@pytest.mark.parametrize("error", [EOFError(), ConnectionResetError(104, "Connection reset by peer")])
def test_a_process_that_ends_while_handing_over_a_batch_is_reported(error):
    with pytest.raises(LoadingFailed, match=r"a process that reads images ended.*Free some, or lower"), explained():
        raise error


def test_a_process_whose_end_is_signalled_during_a_step_is_reported(tmp_path):
    """By torch's handler of signals, wherever training is."""

    def run(_):
        raise RuntimeError("DataLoader worker (pid 17) is killed by signal: Killed. ")

    step = Step(StepId("teacher"), run, 1, {})
    plan = make_plan([step], Store(tmp_path), {})
    with pytest.raises(LoadingFailed, match="a process that reads images ended by Killed"):
        run_plan(plan, Store(tmp_path), Processes("cpu"), Silent())


def test_other_errors_are_not_explained_away():
    with pytest.raises(RuntimeError, match="mat1 and mat2"), explained():
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")


@pytest.mark.parametrize(("cores", "here", "workers"), [(16, 1, 8), (16, 4, 4), (2, 1, 2), (1, 4, 1)])
def test_workers_are_as_many_as_cores_that_may_be_used(monkeypatch, tmp_path, cores, here, workers):
    monkeypatch.setattr(work, "usable_cores", lambda: cores)
    assert Work(tmp_path, tmp_path, Processes("cuda", count=here, here=here), Silent()).workers == workers
    assert Work(tmp_path, tmp_path, Processes("cpu"), Silent()).workers == 0


@pytest.mark.parametrize(("own", "usable", "here", "threads"), [(8, 3, 1, [3]), (8, 3, 2, [1]), (8, 8, 1, [])])
def test_training_uses_no_more_threads_than_the_quota(monkeypatch, own, usable, here, threads):
    set_to = []
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr("torch.set_num_threads", set_to.append)
    monkeypatch.setattr(processes, "own_cores", lambda: [*range(own)])
    monkeypatch.setattr(processes, "usable_cores", lambda: usable)
    Processes("cpu", here=here).limit_threads()
    assert set_to == threads
