"""A training for `test_distributed`: alone, or as one of two processes."""

import os
from pathlib import Path

import torch

from pipeline.data.batches import TrainingBatches
from pipeline.data.dataset import open_dataset
from pipeline.data.sampler import Sampling
from pipeline.engine.processes import join
from pipeline.method.cdd import CapacityDynamicDistillation
from pipeline.method.compress import Compress
from pipeline.method.settings import Resetting
from pipeline.networks.weights import save_tensors
from pipeline.progress import Silent
from pipeline.stages.distill import Distill
from pipeline.training.loop import fit
from pipeline.training.supervised import Classified
from tests.helpers import SMALL, alive_network
from tests.pipeline.test_data import VERI

WEIGHTS = Distill(epochs=3, learn_epochs=1, lr=3e-4, sparsity_weight=0.5, rggr=Resetting(bank=24, share=0.8))
# Rounding differs, and grows as training goes on, until a channel falls on the other side of a near tie: for masks that
# must be equal the student hardly moves.
MASKS = WEIGHTS.model_copy(update={"lr": 1e-7})
BUDGET = WEIGHTS.model_copy(
    update={
        "compress": Compress(macs=0.6),
        "rggr": Resetting(by="norm"),
        "sparsity": "proximal",
        "sparsity_weight": 9.0,
        "ema": 0.9,
    }
)


def train(data_root: Path, folder: Path) -> None:
    """Distil a tiny student twice; write its state, and beside it `metrics.csv`."""
    processes = join("cpu")
    data = open_dataset("veri", VERI, data_root, data_root / "drawn")
    sampling = Sampling(identities=4, images=2, pad=2)
    batches = TrainingBatches(data.train, SMALL, sampling, 0, 0, processes.index, processes.count)
    for name, settings in (("weights", WEIGHTS), ("masks", MASKS), ("budget", BUDGET)):
        torch.manual_seed(0)
        teacher, student = (Classified(alive_network(), 8) for _ in range(2))
        student.load_state_dict(teacher.state_dict())
        task = CapacityDynamicDistillation(student, teacher, settings)
        (folder / name).mkdir(exist_ok=True, parents=True)
        fit(task, batches, settings, folder / name, processes, Silent())
        save_tensors(folder / name / f"{processes.index}.safetensors", task.state_dict())
    processes.leave()


def train_as(data_root: Path, folder: Path, index: int, port: str) -> None:
    """Train as one of two processes, which torch's launcher tells by these variables."""
    os.environ |= {"RANK": str(index), "LOCAL_RANK": str(index), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    torch.set_num_threads(1)
    train(data_root, folder)
