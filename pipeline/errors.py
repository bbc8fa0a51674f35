"""What can go wrong in a build through something a user can mend.

PipelineError               what, why, what next: one or two lines, shown without a traceback
├── DataError               the data set: missing folder, unreadable image, unusable identities
├── WeightsError            pretrained weights that can't be had or do not fit
├── MissingLibrary          an extra is not installed
├── StoreError              the store can't be read or written
├── BudgetError             less is asked to be left of a network than can be
├── NeedsDevice             a budget in milliseconds is for a device that was not measured yet
├── CheckFailed             a stage's own check of its result did not hold
├── StageFailed             the system refused a stage something that is not the store's
├── TrainingDiverged        the loss, weights or embeddings are no longer numbers
├── OutOfMemory             the GPU's memory is too small for the batch
├── LoadingFailed           a process that reads images has ended, or shared memory is too small for batches
├── LaunchError             several processes that can't train together
│   └── ProcessLost         one of them has ended
└── Interrupted             Ctrl-C in the middle of a stage
"""


class PipelineError(Exception):
    """Root of what a user can mend in a build."""

    exit_code = 1


class DataError(PipelineError):
    """A data set is missing, unreadable or unusable as described."""


class WeightsError(PipelineError):
    """Weights can't be found or do not fit the network."""


class MissingLibrary(PipelineError):
    """A library that a stage needs is not installed."""


class StoreError(PipelineError):
    """The store of stage results can't be read or written."""


class BudgetError(PipelineError):
    """A recipe asks for less of a network than its sites can leave."""


class NeedsDevice(PipelineError):
    """Networks have to be measured on a device before a budget for it can be met; `bundle` is the archive's name."""

    def __init__(self, bundle: str, target: str) -> None:
        super().__init__(
            f"distill.compress counts what {target} takes, which is not measured yet. Copy {bundle} there and run: "
            f"python3 {bundle}\nTake the result in with zoo receive, and run this command again."
        )
        self.bundle = bundle


class CheckFailed(PipelineError):
    """A stage measured its own result and it is outside what it promises."""


class StageFailed(PipelineError):
    """A file or another thing of the system that a stage needs is not to be had."""

    def __init__(self, stage: str, error: OSError) -> None:
        what = f"can't use {error.filename}" if error.filename else "was stopped by the system"
        super().__init__(
            f"{stage}: {what}: {error.strerror}. Finished stages are kept; the same command goes on once it is mended."
        )


class TrainingDiverged(PipelineError):
    """Loss, weights or embeddings became infinite or not a number; `what` says which, and where.

    Args:
        settings: of the stage that trains, as `teacher`, where that is known.
    """

    def __init__(self, what: str, settings: str = "") -> None:
        lr, warmup = (f"`{settings and f'{settings}.'}{name}`" for name in ("lr", "warmup_epochs"))
        super().__init__(f"{what}. The last checkpoint before it is kept; lower {lr} or lengthen {warmup}.")
        self.what = what


class LoadingFailed(PipelineError):
    """A process that reads images for training has ended, or can't hand over what it read."""

    def __init__(self, why: str) -> None:
        super().__init__(f"{why} The same command goes on from the last checkpoint.")


class LaunchError(PipelineError):
    """Processes that were started to train together can't: too few GPUs, or they do not see the same."""


class ProcessLost(LaunchError):
    """Another process of the build has ended."""

    exit_code = 3  # by which the launcher knows that the reason is still to be told

    def __init__(self) -> None:
        super().__init__(
            "another process of this build has ended. Its own message says why; if it left none it was killed, perhaps "
            "for memory. The same command goes on from the last checkpoint."
        )


class OutOfMemory(PipelineError):
    """The GPU's memory is too small; `stage` is where."""

    def __init__(self, stage: str) -> None:
        super().__init__(
            f"the GPU's memory is too small for {stage}. Lower sampling.identities or sampling.images (the batch is "
            "their product), or input.height and input.width; or train with --device cpu."
        )
        self.stage = stage


class Interrupted(PipelineError):
    """The user stopped a build; `stage` is where."""

    exit_code = 130

    def __init__(self, stage: str) -> None:
        super().__init__(
            f"interrupted in {stage}. Finished stages are kept; the same command goes on from there, training from its "
            "last checkpoint."
        )
        self.stage = stage
