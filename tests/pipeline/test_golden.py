"""Golden losses: ten steps of each method at a fixed seed equal the recorded ones.

A refactoring must not change them. After an intended change, record them again and raise the stage's VERSION:

    python -m tests.pipeline.test_golden
"""

import csv
import json
from pathlib import Path

import pytest
import torch

from pipeline.data.dataset import open_dataset
from pipeline.data.sampler import Sampling
from pipeline.engine.processes import Processes
from pipeline.engine.work import Work
from pipeline.method.compress import Compress
from pipeline.networks.factory import Network
from pipeline.progress import Silent
from pipeline.stages import distill, teacher
from pipeline.stages.teacher import Teacher
from tests.helpers import SMALL, draw_vehicles
from tests.pipeline.test_data import VERI
from zoo.catalogue import load_catalogue

GOLDEN = Path(__file__).parent.parent / "golden" / "losses.json"
NETWORK = Network(architecture="resnet10t", last_stride=2, embedding=16)
SAMPLING = Sampling(identities=4, images=2, pad=2)
TEACHER = Teacher(pretrained=False, epochs=5, lr=0.02)
WAYS = [name for name in load_catalogue().models if name.startswith("study-")]
QUICK = ("study-prune", "study-cdd-rggr")
SHORT = {"epochs": 5, "precision": "fp32", "score_steps": 2, "warmup_epochs": 1}
EQUAL, ALIKE = 1e-4, 0.1  # relative, on the CPU and torch of the recording; and in the first epoch on others, before
# differences of rounding have grown


def _work(folder):
    work = Work(folder / "out", folder / "scratch", Processes("cpu"), Silent())
    for some in (work.out, work.scratch):
        some.mkdir(parents=True)
    return work


def _rows(folder):
    rows = csv.DictReader((folder / "metrics.csv").open())
    return [{key: float(value) for key, value in row.items() if value} for row in rows]


def learn_teacher(root):
    """Draw data below a folder and train a teacher for ten steps; the data, its folder and its losses."""
    draw_vehicles(root / "veri")
    data = open_dataset("veri", VERI, root, root / "drawn")
    work = _work(root / "teacher")
    teacher.train_teacher(
        work, data=data, seed=0, input=SMALL, network=NETWORK, sampling=SAMPLING, settings=TEACHER, weights=None
    )
    return data, work.out, _rows(work.out)


def learn_student(name, data, known, root):
    """Losses of ten steps of a recipe, one row per epoch."""
    settings = load_catalogue().recipe(name).distill
    changes = {
        "learn_epochs": settings.learn_epochs and 1,
        "rggr": settings.rggr.model_copy(update={"bank": 16}),
        "compress": settings.compress and Compress(macs=0.5),  # that inner channels alone can meet
    }
    short = settings.model_copy(update=SHORT | changes)
    work = _work(root / name)
    distill.distill_student(
        work,
        data=data, seed=0, input=SMALL, network=NETWORK, sampling=SAMPLING, settings=short, weights=None, teacher=known,
    )  # fmt: skip
    return _rows(work.out)


def kind_of_machine():
    return {"torch": torch.__version__, "capability": torch.backends.cpu.get_cpu_capability()}


def record(root):
    """All losses, with CPU and versions."""
    data, known, rows = learn_teacher(root)
    found = {"teacher": rows, **{name: learn_student(name, data, known, root) for name in WAYS}}
    versions = {"teacher": teacher.VERSION, "distill": distill.VERSION}
    return {"machine": kind_of_machine(), "versions": versions, "losses": found}


def assert_recorded(name, rows):
    golden = json.loads(GOLDEN.read_text())
    same = golden["machine"] == kind_of_machine()
    tolerance = EQUAL if same else ALIKE
    assert len(rows) == len(golden["losses"][name])
    for found, expected in [*zip(rows, golden["losses"][name], strict=True)][: None if same else 1]:
        stage = "teacher" if name == "teacher" else "distill"
        assert found == pytest.approx(expected, rel=tolerance, abs=tolerance), (
            f"{name}: the result of pipeline.stages.{stage} changed: raise its VERSION or undo the change"
        )


@pytest.fixture(scope="module")
def known(tmp_path_factory):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield tmp_path_factory.mktemp("golden"), *learn_teacher(tmp_path_factory.mktemp("teacher"))
    torch.set_num_threads(threads)


def test_the_teacher_learns_as_recorded(known):
    assert_recorded("teacher", known[3])


@pytest.mark.parametrize("name", [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in WAYS])
def test_students_learn_as_recorded(name, known):
    root, data, folder, _ = known
    assert_recorded(name, learn_student(name, data, folder, root))


def test_recording_prints_a_reminder():
    golden = json.loads(GOLDEN.read_text())
    now = {"teacher": teacher.VERSION, "distill": distill.VERSION}
    assert golden["versions"] == now, "a VERSION was raised; record losses: python -m tests.pipeline.test_golden"
    assert {*golden["losses"]} == {"teacher", *WAYS}


if __name__ == "__main__":
    import tempfile

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        GOLDEN.write_text(json.dumps(record(Path(folder)), indent=1) + "\n")
