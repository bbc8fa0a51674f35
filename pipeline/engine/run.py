"""Runs the steps of a plan whose results are missing, one after another."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from pipeline.data.loading import explain_ended
from pipeline.engine.plan import Planned
from pipeline.engine.processes import Processes
from pipeline.engine.progress import Progress
from pipeline.engine.step import StepId
from pipeline.engine.store import Store
from pipeline.engine.work import Work
from pipeline.errors import Interrupted, OutOfMemory, PipelineError, ProcessLost, StageFailed, TrainingDiverged

logger = logging.getLogger("zoo.engine")


def _explain(error: RuntimeError, stage: str, processes: Processes) -> PipelineError | None:
    """The user's error for an exception of torch, which is not imported here; None if unknown."""
    if type(error).__name__ == "OutOfMemoryError":
        return OutOfMemory(stage)
    if ended := explain_ended(error):
        return ended
    lost = "gloo" in str(error) or type(error).__name__ in ("DistBackendError", "DistNetworkError")
    return ProcessLost() if processes.count > 1 and lost else None


def run_plan(plan: Sequence[Planned], store: Store, processes: Processes, progress: Progress) -> dict[StepId, Path]:
    """Run the missing steps; return the folders of all results.

    Raises:
        PipelineError: a stage failed; results of earlier stages are kept.
        OutOfMemory: the GPU's memory was too small.
        Interrupted: Ctrl-C; the same build continues from the last checkpoint.
    """
    folders = {planned.step.id: store.folder(planned.step.stage, planned.key) for planned in plan}
    processes.limit_threads()
    for planned in plan:
        step = planned.step
        if planned.hit:
            continue
        progress.say(f"{step.id}: {planned.reason}")
        logger.info("%s: begins", step.id)
        try:
            with store.produce(step.stage, planned.key, planned.ingredients) as folder:
                if step.trains:
                    processes.wait()  # for `help_train`
                if folder:
                    step.run(Work(*folder, processes, progress, store.cache), **step.given(folders))
        except KeyboardInterrupt:
            raise Interrupted(str(step.id)) from None
        except TrainingDiverged as error:
            raise TrainingDiverged(error.what, step.stage if step.trains else "") from None
        except RuntimeError as error:
            known = _explain(error, str(step.id), processes)
            if known is None:
                raise
            raise known from None
        except OSError as error:
            if error.errno is None:  # not a system error: for example a library that does not load
                raise
            raise StageFailed(str(step.id), error) from None
        logger.info("%s: done, result in %s", step.id, folders[step.id])
        if step.trains:
            processes.wait()
    return folders


def help_train(plan: Sequence[Planned], store: Store, processes: Processes, progress: Progress) -> None:
    """The part of `run_plan` in processes other than the main one: training.

    Raises:
        PipelineError: training failed, or the store differs from the main process's.
    """
    folders = {planned.step.id: store.folder(planned.step.stage, planned.key) for planned in plan}
    processes.limit_threads()
    for planned in plan:
        step = planned.step
        if planned.hit or not step.trains:
            continue
        processes.wait()
        try:
            if not store.has(step.stage, planned.key):
                folder = store.work_folders(step.stage, planned.key)
                step.run(Work(*folder, processes, progress), **step.given(folders))
        except TrainingDiverged:
            pass  # the main process has the same error, and reports it
        except RuntimeError as error:
            raise _explain(error, str(step.id), processes) or error from None
        except OSError as error:
            raise error if error.errno is None else StageFailed(str(step.id), error) from None
        processes.wait()
