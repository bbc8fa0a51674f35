"""What trained a network, in which precision: `training.json` of the stages that train."""

from __future__ import annotations

from pipeline.engine.work import Work
from pipeline.training.schedule import TrainingPrecision

TRAINING = "training.json"


def write_training(work: Work, asked: TrainingPrecision) -> None:
    """Write the name of this process's device, and the precision of its steps.

    Args:
        asked: precision of the recipe, which not every device has.
    """
    import torch

    from pipeline.training.precision import precision_on
    from targets.machine.device import this_device

    device = torch.device(work.device)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else this_device().name
    work.write_json(TRAINING, {"device": name, "precision": precision_on(device, asked)})
