"""bf16 is for devices that compute in it; others train in fp32."""

import pytest
import torch

from pipeline.data.batches import TrainingBatches
from pipeline.data.dataset import open_dataset
from pipeline.data.sampler import Sampling
from pipeline.engine.processes import Processes
from pipeline.engine.work import Work, read_json
from pipeline.progress import Silent
from pipeline.stages.trained import TRAINING, write_training
from pipeline.training.loop import fit
from pipeline.training.precision import computes_in_bf16
from pipeline.training.schedule import Supervision
from pipeline.training.supervised import Classified, SupervisedTask
from targets.machine.device import this_device
from tests.helpers import SMALL, alive_network, draw_vehicles
from tests.pipeline.test_data import VERI

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("instructions", "computes"),
    [
        ({"architecture": "x86_64", "avx2": True, "avx512_f": True, "avx512_bf16": False, "amx_bf16": False}, False),
        ({"architecture": "x86_64", "avx512_bf16": True, "amx_bf16": False}, True),
        ({"architecture": "x86_64", "avx512_bf16": False, "amx_bf16": True}, True),
        ({"architecture": "aarch64", "neon": True, "bf16": False}, False),
        ({"architecture": "aarch64", "neon": True, "bf16": True}, True),
    ],
)
def test_a_cpu_computes_in_bf16_if_it_has_instructions_for_it(instructions, computes, monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: instructions, raising=False)
    assert computes_in_bf16(CPU) is computes


def test_a_cpu_of_which_torch_knows_nothing_trains_in_bf16_as_asked(monkeypatch):
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert computes_in_bf16(CPU)


def test_a_gpu_that_emulates_bf16_does_not_compute_in_it(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation)
    assert not computes_in_bf16(torch.device("cuda"))


@pytest.mark.parametrize("has_bf16", [False, True])
def test_a_stage_records_the_precision_that_it_trained_in(has_bf16, tmp_path, monkeypatch):
    monkeypatch.setattr("pipeline.training.precision.computes_in_bf16", lambda _device: has_bf16)
    work = Work(tmp_path, tmp_path, Processes("cpu"), Silent())
    write_training(work, "bf16")
    told = read_json(tmp_path / TRAINING)
    assert told == {"device": this_device().name, "precision": "bf16" if has_bf16 else "fp32"}


class Said(Silent):
    def __init__(self):
        self.lines = []

    def say(self, text, /):
        self.lines.append(text)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("has_bf16", [False, True])
def test_a_build_trains_in_fp32_where_bf16_is_emulated_and_says_so(has_bf16, precision, tmp_path, monkeypatch):
    monkeypatch.setattr("pipeline.training.precision.computes_in_bf16", lambda _device: has_bf16)
    draw_vehicles(tmp_path / "veri")
    data = open_dataset("veri", VERI, tmp_path, tmp_path / "drawn")
    batches = TrainingBatches(data.train, SMALL, Sampling(identities=4, images=2, pad=2), 0, 0)
    network = Classified(alive_network("test_resnet"), 8)
    seen, progress = set(), Said()
    network.embedder.backbone.layer1[0].conv2.register_forward_hook(lambda _module, _given, out: seen.add(out.dtype))
    schedule = Supervision(epochs=1, precision=precision)
    fit(SupervisedTask(network, schedule), batches, schedule, tmp_path, Processes("cpu"), progress)
    assert seen == {torch.bfloat16 if precision == "bf16" and has_bf16 else torch.float32}
    said = ["training in fp32" in line for line in progress.lines]
    assert said == ([True] if precision == "bf16" and not has_bf16 else [])
