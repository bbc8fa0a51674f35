"""Errors of a build that a user can fix.

PipelineError               what, why, what next: one or two lines, shown without a traceback
├── DataError               the data set: missing folder, unreadable image, unusable identities
├── WeightsError            pretrained weights that are missing or do not match
├── ForeignError            an ONNX file of somebody else that can't become a release
├── MissingLibrary          an extra is not installed
├── StoreError              the store can't be read or written
├── BudgetError             a budget that the network can't meet
├── NeedsDevice             a budget of a target whose device was not measured yet
├── CheckFailed             a stage's result failed the stage's own check
├── StageFailed             the system refused a file or another resource outside the store
├── TrainingDiverged        the loss, weights or embeddings are not finite
├── OutOfMemory             the GPU's memory is too small for the batch
├── LoadingFailed           a process that reads images ended, or shared memory is too small for batches
├── LaunchError             several processes can't train together
│   └── ProcessLost         one of them ended
└── Interrupted             Ctrl-C during a stage
"""

from targets.errors import ZooError


class PipelineError(ZooError):
    """Root of the build errors that a user can fix."""


class DataError(PipelineError):
    """A data set is missing, unreadable or unusable as described."""


class WeightsError(PipelineError):
    """Weights can't be found or do not match the network."""


class ForeignError(PipelineError):
    """A network in an ONNX file can't be read, described, or given zoo's input and output."""


class MissingLibrary(PipelineError):
    """A library that a stage needs is not installed."""


class StoreError(PipelineError):
    """The store of stage results can't be read or written."""


class BudgetError(PipelineError):
    """A recipe's budget is smaller than what the network's sites can reach."""


class NeedsDevice(PipelineError):
    """A budget needs measurements of a device first; `bundle` is the archive's file name."""

    def __init__(self, bundle: str, target: str) -> None:
        super().__init__(
            f"distill.compress limits a figure of {target}, which is not measured yet. Copy {bundle} there and run: "
            f"python3 {bundle}\nReceive the result with zoo receive, then run this command again."
        )
        self.bundle = bundle


class CheckFailed(PipelineError):
    """A stage's result does not have the promised properties."""


class StageFailed(PipelineError):
    """The system refused a file or another resource that a stage needs."""

    def __init__(self, stage: str, error: OSError) -> None:
        what = f"can't use {error.filename}" if error.filename else "was stopped by the system"
        super().__init__(
            f"{stage}: {what}: {error.strerror}. Finished stages are kept; fix this and run the command again."
        )


class TrainingDiverged(PipelineError):
    """Loss, weights or embeddings are not finite; `what` says which, and where.

    Args:
        settings: name of the stage that trains, such as `teacher`, if known.
    """

    def __init__(self, what: str, settings: str = "") -> None:
        lr, warmup = (f"`{settings and f'{settings}.'}{name}`" for name in ("lr", "warmup_epochs"))
        super().__init__(f"{what}. The last good checkpoint is kept; lower {lr} or lengthen {warmup}.")
        self.what = what


class LoadingFailed(PipelineError):
    """A process that reads images for training ended, or can't hand over its images."""

    def __init__(self, why: str) -> None:
        super().__init__(f"{why} Run the command again to continue from the last checkpoint.")


class LaunchError(PipelineError):
    """Processes can't train together: too few GPUs, or different data or settings."""


class ProcessLost(LaunchError):
    """Another process of the build ended."""

    exit_code = 3  # tells the launcher that the reason is not printed yet

    def __init__(self) -> None:
        super().__init__(
            "another process of this build ended. Its message says why; without one it was killed, perhaps for lack of "
            "memory. Run the command again to continue from the last checkpoint."
        )


class OutOfMemory(PipelineError):
    """The GPU's memory is too small; `stage` says where."""

    def __init__(self, stage: str) -> None:
        super().__init__(
            f"the GPU's memory is too small for {stage}. Lower sampling.identities or sampling.images (the batch is "
            "their product), or input.height and input.width; or train with --device cpu."
        )
        self.stage = stage


class Interrupted(PipelineError):
    """The user stopped a build; `stage` says where."""

    exit_code = 130

    def __init__(self, stage: str) -> None:
        super().__init__(
            f"interrupted in {stage}. Finished stages are kept; run the command again to continue, training from its "
            "last checkpoint."
        )
        self.stage = stage
