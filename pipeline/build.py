"""The stages in order, from recipe to graphs; and running those that have to. What follows is `pipeline.deployment`;
ahead of them, where a budget counts what a target takes, is `pipeline.latency`.

teacher ─► distill ─► compact ─► export, reference     (the teacher is exported and compared with too:
   └───────────────────────────► export, reference      the dense baseline)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from pipeline.data.loading import explain_ended
from pipeline.data.samples import Index
from pipeline.errors import Interrupted, OutOfMemory, PipelineError, ProcessLost, StageFailed, TrainingDiverged
from pipeline.networks.hub import Memory
from pipeline.plan import Planned
from pipeline.processes import Processes
from pipeline.progress import Progress
from pipeline.recipe import Recipe
from pipeline.stages import compact, distill, export, reference, teacher
from pipeline.step import COMPACT, DISTILL, LATENCY_BUDGET, TEACHER, NetworkName, Step, StepId
from pipeline.store import Store
from pipeline.work import Work

NETWORKS: Mapping[NetworkName, StepId] = {"teacher": TEACHER, "student": COMPACT}  # what is deployed → what made it


def training_steps(recipe: Recipe, data: Index, memory: Path | None = None) -> Iterator[Step]:
    """From the recipe to graphs: what is the same for all targets.

    Args:
        memory: folder in which it is kept what revisions on the Hub were.

    Raises:
        WeightsError: see `Recipe.pretrained_weights`.
    """
    weights = recipe.pretrained_weights(Memory(memory))
    common = {"input": recipe.input, "network": recipe.network}
    trained = {**common, "seed": recipe.seed, "sampling": recipe.sampling}
    compress = recipe.distill.compress
    yield Step(
        TEACHER,
        teacher.train_teacher,
        teacher.VERSION,
        {
            **trained,
            "network": recipe.teacher_network,
            # the network has the architecture, and the weights' file the revision
            "settings": recipe.teacher.model_copy(update={"architecture": None, "revision": None}),
        },
        files={"weights": weights["teacher"]},
        libraries=teacher.LIBRARIES,
        data=data,
        trains=True,
    )
    yield Step(
        DISTILL,
        distill.distill_student,
        distill.VERSION,
        {**trained, "settings": recipe.distill.read().model_copy(update={"revision": None})},
        inputs={"teacher": TEACHER} | ({"latency": LATENCY_BUDGET} if compress and compress.measured else {}),
        files={"weights": weights["student"]},
        libraries=recipe.distill.libraries,
        data=data,
        trains=True,
    )
    yield Step(
        COMPACT,
        compact.compact_student,
        compact.VERSION,
        {
            **common,
            "sites": recipe.distill.sites,
            "align": recipe.distill.align,
            "both_sides": recipe.distill.method == "deap",
            "settings": recipe.compact,
        },
        inputs={"student": DISTILL},
        libraries=compact.LIBRARIES,
        data=data,
    )
    for subject, source in NETWORKS.items():
        yield Step(
            StepId("export", subject),
            export.export_network,
            export.VERSION,
            {"input": recipe.input, "settings": recipe.export},
            inputs={"network": source},
            libraries=export.LIBRARIES,
            data=data,
        )
        yield Step(
            StepId("reference", subject),
            reference.embed_reference,
            reference.VERSION,
            {"input": recipe.input},
            inputs={"network": source},
            libraries=reference.LIBRARIES,
            data=data,
        )


def check_sampling(plan: Sequence[Planned], recipe: Recipe, data: Index) -> None:
    """Find out before anything is trained whether batches can be drawn.

    Raises:
        DataError: they can't.
    """
    if any(planned.step.trains and not planned.hit for planned in plan):
        recipe.sampling.check(data.train.identity_count)


def check_student(plan: Sequence[Planned], recipe: Recipe) -> list[str]:
    """Find out before hours of training whether the student can be distilled as the recipe says.

    A budget that counts what a target takes is looked at by the stage `latency_budget`, ahead of training, too.

    Returns:
        What is to be said before it begins.

    Raises:
        PipelineError: it can't.
    """
    if any(planned.step.stage == "distill" and not planned.hit for planned in plan):
        return distill.check_student(recipe.input, recipe.network, recipe.teacher_network, recipe.distill)
    return []


def _explain(error: RuntimeError, stage: str, processes: Processes) -> PipelineError | None:
    """What a user can do about an error of torch's, which is not imported here; none if that is not known."""
    if type(error).__name__ == "OutOfMemoryError":
        return OutOfMemory(stage)
    if ended := explain_ended(error):
        return ended
    lost = "gloo" in str(error) or type(error).__name__ in ("DistBackendError", "DistNetworkError")
    return ProcessLost() if processes.count > 1 and lost else None


def run_plan(plan: Sequence[Planned], store: Store, processes: Processes, progress: Progress) -> dict[StepId, Path]:
    """Run what has to run; folders of all results.

    Raises:
        PipelineError: a stage failed; what earlier stages made stands.
        OutOfMemory: the GPU's memory was too small.
        Interrupted: Ctrl-C; the same build goes on from the last checkpoint.
    """
    folders = {planned.step.id: store.folder(planned.step.stage, planned.key) for planned in plan}
    processes.limit_threads()
    for planned in plan:
        step = planned.step
        if planned.hit:
            continue
        progress.say(f"{step.id}: {planned.reason}")
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
            if error.errno is None:  # not the system's: a library that does not load, say
                raise
            raise StageFailed(str(step.id), error) from None
        if step.trains:
            processes.wait()
    return folders


def help_train(plan: Sequence[Planned], store: Store, processes: Processes, progress: Progress) -> None:
    """The part of all processes but the main one in `run_plan`: to train with it.

    Raises:
        PipelineError: training failed, or the store is not the main process's.
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
            pass  # the main process has met it, too, and says so
        except RuntimeError as error:
            raise _explain(error, str(step.id), processes) or error from None
        except OSError as error:
            raise error if error.errno is None else StageFailed(str(step.id), error) from None
        processes.wait()
