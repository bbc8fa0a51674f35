"""Training: resumes, detects divergence, and follows the phases."""

import csv

import pytest
import torch

from pipeline.data.batches import TrainingBatches
from pipeline.data.dataset import open_dataset
from pipeline.data.sampler import Sampling
from pipeline.engine.processes import Processes
from pipeline.errors import LoadingFailed, StoreError, TrainingDiverged
from pipeline.method.cdd import CapacityDynamicDistillation
from pipeline.method.compress import Compress
from pipeline.method.fixed_width import FixedStudent
from pipeline.method.removal import remove_channels
from pipeline.method.settings import Resetting
from pipeline.networks.weights import load_tensors
from pipeline.progress import Silent
from pipeline.stages.distill import Distill
from pipeline.training.checkpoint import restore_checkpoint
from pipeline.training.learner import Learner
from pipeline.training.loop import fit
from pipeline.training.supervised import Classified
from tests.helpers import SMALL, alive_network, draw_vehicles, sites_of
from tests.pipeline.test_data import VERI

SMALLEST = "test_resnet"  # of 0.4 M parameters: every step here writes a checkpoint
SETTINGS = Distill(epochs=4, learn_epochs=1, lr=0.02, sparsity_weight=0.5, rggr=Resetting(bank=24))


@pytest.fixture
def batches(tmp_path):
    draw_vehicles(tmp_path / "veri")
    data = open_dataset("veri", VERI, tmp_path, tmp_path / "drawn")
    return TrainingBatches(data.train, SMALL, Sampling(identities=4, images=2, pad=2), 0, 0)


def make_task(settings=SETTINGS):
    teacher, student = (Classified(alive_network(SMALLEST), 8) for _ in range(2))
    student.load_state_dict(teacher.state_dict())
    return CapacityDynamicDistillation(student, teacher, settings)


def train(task, batches, folder, settings=SETTINGS):
    folder.mkdir(exist_ok=True)
    fit(task, batches, settings, folder, Processes("cpu"), Silent())
    return {name: value.clone() for name, value in task.state_dict().items()}


class Stopped(Exception):
    pass


BY_NORM = {"compress": Compress(macs=0.6), "rggr": Resetting(by="norm"), "sparsity": "proximal", "sparsity_weight": 4.0}
BUDGETED = SETTINGS.model_copy(update=BY_NORM)
BANKED = SETTINGS.model_copy(update={"relations_weight": 1.0, "relations_bank": 12, "embedding_weight": 1.0})
AVERAGED = BUDGETED.model_copy(update={"ema": 0.9})


@pytest.mark.parametrize(
    ("settings", "often"),
    [(SETTINGS, False), pytest.param(BUDGETED, True, marks=pytest.mark.slow), (AVERAGED, True), (BANKED, True)],
    ids=["paper, by epoch", "budget, by step", "average, by step", "bank, by step"],
)
def test_a_resumed_run_equals_an_uninterrupted_one(settings, often, batches, tmp_path, monkeypatch):
    whole = train(make_task(settings), batches, tmp_path / "whole", settings)
    if often:
        monkeypatch.setattr("pipeline.training.loop.CHECKPOINT_SECONDS", 0.0)

    task = make_task(settings)
    step, steps = task.forward, iter(range(10**6))

    def stop_in_the_third_epoch(images, labels):
        if next(steps) == 2 * len(batches) + 1:
            raise Stopped
        return step(images, labels)

    task.forward = stop_in_the_third_epoch
    with pytest.raises(Stopped):
        train(task, batches, tmp_path / "broken", settings)
    newest = sorted((tmp_path / "broken" / "checkpoints").iterdir())[-1].name
    assert newest.startswith(f"epoch-00002-step-000000{int(often)}")
    resumed = train(make_task(settings), batches, tmp_path / "broken", settings)
    for name, value in whole.items():
        assert torch.equal(value, resumed[name]), name
    rows = [list(csv.DictReader((tmp_path / name / "metrics.csv").open())) for name in ("whole", "broken")]
    assert rows[0] == rows[1]
    assert [row["epoch"] for row in rows[0]] == ["1", "2", "3", "4"]
    assert all(None not in row and all(row.values()) for row in rows[0])  # both phases fill the same columns


def test_a_run_resumed_after_a_loading_process_ended_equals_an_uninterrupted_one(batches, tmp_path, monkeypatch):
    whole = train(make_task(), batches, tmp_path / "whole")
    loader, steps = batches.loader, iter(range(10**6))

    class Dying:
        def __iter__(self):
            for batch in loader:
                if next(steps) == 2 * len(batches) + 1:
                    raise RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed. ")
                yield batch

    monkeypatch.setattr(batches, "loader", Dying())
    with pytest.raises(LoadingFailed, match=r"ended by Killed.*to continue from the last checkpoint"):
        train(make_task(), batches, tmp_path / "parts")
    assert len((tmp_path / "parts" / "metrics.csv").read_text().splitlines()) == 3, "two epochs and the heading"
    parts = train(make_task(), batches, tmp_path / "parts")
    assert all(torch.equal(parts[name], value) for name, value in whole.items())


def test_a_truncated_newest_checkpoint_falls_back_to_the_one_before(batches, tmp_path):
    task = make_task()
    train(task, batches, tmp_path / "run")
    newest = sorted((tmp_path / "run" / "checkpoints").iterdir())[-1]
    newest.write_bytes(newest.read_bytes()[:-100])
    optimizer = torch.optim.SGD(
        [
            {"params": [p for n, p in task.named_parameters() if "classifier" not in n]},
            {"params": task.network.classifier.parameters()},
        ]
    )
    assert restore_checkpoint(tmp_path / "run" / "checkpoints", task, optimizer).epoch == 3


def test_a_checkpoint_of_another_recipe_is_refused(batches, tmp_path):
    train(make_task(), batches, tmp_path / "run")
    other = SETTINGS.model_copy(update={"rggr": Resetting(bank=12)})
    with pytest.raises(StoreError, match=r"epoch-00004-step-0000000.safetensors belongs to another recipe. Remove"):
        train(make_task(other), batches, tmp_path / "run", other)


def test_a_loss_that_is_not_finite_stops_and_keeps_the_last_good_state(batches, tmp_path):
    settings = SETTINGS.model_copy(update={"lr": 1e6})
    task = make_task(settings)
    with pytest.raises(TrainingDiverged, match=r"not finite in epoch \d, step \d.*lower `lr`"):
        train(task, batches, tmp_path / "run", settings)
    assert not list((tmp_path / "run").glob("checkpoints/*"))  # it broke in the first epoch


def test_a_last_step_that_ruins_the_weights_is_detected_before_saving(batches, tmp_path):
    task = make_task()
    after, steps = task.after_step, iter(range(1, 10**6))

    def ruin(lr):
        after(lr)
        if next(steps) == 2 * len(batches):
            task.student.classifier.weight.data[0, 0] = torch.inf

    task.after_step = ruin
    with pytest.raises(TrainingDiverged, match=r"weights are not finite after epoch 2 .*classifier.weight"):
        train(task, batches, tmp_path / "run")
    (kept,) = (tmp_path / "run" / "checkpoints").iterdir()
    assert load_tensors(kept)[1]["epoch"] == 1


def test_no_checkpoint_is_written_of_a_state_that_is_not_finite(batches, tmp_path, monkeypatch):
    monkeypatch.setattr("pipeline.training.loop.CHECKPOINT_SECONDS", 0.0)
    task = make_task()
    forward, steps = task.forward, iter(range(10**6))

    def broken_from_the_sixth_step_on(images, labels):
        losses = forward(images, labels)
        return {**losses, "loss": losses["loss"] * (torch.nan if next(steps) >= 5 else 1)}

    task.forward = broken_from_the_sixth_step_on
    with pytest.raises(TrainingDiverged, match="in epoch 2, step 2"):
        train(task, batches, tmp_path / "run")
    tensors, about = load_tensors(sorted((tmp_path / "run" / "checkpoints").iterdir())[-1])
    assert (about["epoch"], about["step"]) == (1, 1)
    assert all(value.isfinite().all() for value in tensors.values())


def test_the_first_phase_has_all_five_terms_and_the_second_resets_gradients(batches):
    task = make_task().train()
    images, labels = next(batches.epoch(0))
    task.start_step(0.0)
    losses = task(images, labels)
    assert set(losses) == {"loss", "identity", "triplet", "logits", "features", "sparsity"}
    assert torch.isclose(losses["loss"], sum(v for k, v in losses.items() if k != "loss"))
    assert all(value > 0 for name, value in losses.items() if name != "triplet")
    assert task.resetting.written == 0

    task.start_step(1.0)
    losses = task(images, labels)
    assert torch.isclose(losses["loss"], sum(losses[k] for k in ("identity", "triplet", "logits", "features")))
    assert task.resetting.written == len(images)
    losses["loss"].backward()
    name, compactor = next(iter(task._compactors.items()))
    task.resetting.mask(name)[:3] = 0
    before = compactor.weight.grad.clone()
    task.adjust_gradients()
    rows, gradient = compactor.weight.detach(), compactor.weight.grad
    penalty = SETTINGS.sparsity_weight * rows / rows.norm(dim=1, keepdim=True)
    assert torch.equal(gradient[:3], penalty[:3])
    free = task.resetting.mask(name) == 1
    assert torch.allclose(gradient[free], (before + penalty)[free])


def test_the_teacher_is_neither_trained_nor_saved(batches):
    task = make_task()
    teacher = task._teacher[0]
    assert not any(p.requires_grad for p in teacher.parameters())
    assert not teacher.training
    task.train()
    assert not teacher.training
    ids = {id(p) for p in task.parameters()}
    assert not ids & {id(p) for p in teacher.parameters()}


def test_a_teacher_with_the_statistics_of_each_batch_depends_on_it_and_does_not_change(batches):
    images, labels = next(batches.epoch(0))
    given = {}
    for norms in ("running", "batch"):
        task = make_task(SETTINGS.model_copy(update={"teacher_norms": norms})).train()
        teacher = task._teacher[0]
        before = {name: value.clone() for name, value in teacher.state_dict().items() if value.is_floating_point()}
        task(images, labels)
        given[norms] = teacher(images)
        assert all(torch.equal(value, teacher.state_dict()[name]) for name, value in before.items())
        few = teacher(images[:4]).embedding
        assert torch.allclose(few, given[norms].embedding[:4], atol=1e-4) == (norms == "running")
    assert torch.allclose(given["batch"].embedding.mean(0), teacher.embedder.head[3].bias, atol=1e-4)
    assert given["running"].embedding.mean(0).abs().max() > 1e-2


def test_bf16_trains_like_fp32_and_keeps_weights_banks_and_losses_in_fp32(batches, monkeypatch):
    monkeypatch.setattr("pipeline.training.precision.computes_in_bf16", lambda _device: True)  # or emulates it, slowly
    seen = {}
    for precision in ("fp32", "bf16"):
        settings = SETTINGS.model_copy(update={"precision": precision})
        task = make_task(settings).train()
        inside = []
        task.student.embedder.backbone.layer1[0].conv2.register_forward_hook(
            lambda *call, to=inside: to.append(call[2].dtype)
        )
        images, labels = next(batches.epoch(0))
        losses = Learner(task, settings, "cpu")(images, labels, 1.0)
        assert inside == [torch.bfloat16 if precision == "bf16" else torch.float32]
        assert {loss.dtype for loss in losses.values()} == {torch.float32}
        assert {value.dtype for value in task.state_dict().values() if value.is_floating_point()} <= {
            torch.float32,
            torch.float64,
        }
        seen[precision] = losses
    assert all(torch.isclose(seen["fp32"][name], seen["bf16"][name], rtol=0.1, atol=0.05) for name in seen["fp32"])


def test_a_small_student_is_trained_and_a_heavy_one_before_it(batches, tmp_path):
    for cut in (False, True):
        teacher, student = (Classified(alive_network(SMALLEST), 8) for _ in range(2))
        before = {name: value.clone() for name, value in student.state_dict().items()}
        sites = sites_of(student.embedder)
        kept = {site.writer: torch.arange(site.channels // 2) for site in sites} if cut else None
        if kept:
            remove_channels(student.embedder, sites, kept)
        settings = SETTINGS
        task = FixedStudent(student, teacher, settings, sites, kept)
        train(task, batches, tmp_path / str(cut), settings)
        after = student.state_dict()
        narrower = [name for name, value in after.items() if value.shape != before[name].shape]
        assert bool(narrower) == cut
        assert all(not torch.equal(value, before[name]) for name, value in after.items() if name not in narrower)


WIDE = [("tf_efficientnet_lite2", 2, True), ("test_resnet", 1, False), ("test_nfnet", 2, False)]


# the second with one: what compares is decided in `TaughtStudent`, the base of both
KINDS = [(FixedStudent, *one) for one in WIDE] + [
    pytest.param(CapacityDynamicDistillation, *one, marks=pytest.mark.slow if one[0] != "test_resnet" else ())
    for one in WIDE
]


@pytest.mark.parametrize(("kind", "wide", "stride", "compared"), KINDS)
def test_a_teacher_of_other_widths_teaches_what_compares(batches, kind, wide, stride, compared):
    student, teacher = (Classified(alive_network(*one), 8) for one in (("tf_efficientnet_lite0", 2), (wide, stride)))
    settings = SETTINGS.model_copy(update={"rggr": Resetting(by="none"), "relations_weight": 1.0})
    sites = [sites_of(student.embedder)] if kind is FixedStudent else []
    images, labels = next(batches.epoch(0))
    losses = Learner(kind(student, teacher, settings, *sites), settings, "cpu")(images, labels, 1.0)
    assert ("features" in losses) == compared
    assert losses["relations"] > 0
    assert all(loss.isfinite() for loss in losses.values())
