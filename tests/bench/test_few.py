"""Few images: what is drawn, and that every start is trained on the same ones."""

import numpy as np
import pytest

from bench.few import IMAGENET, RELEASE, SCRATCH, ZERO, Run, draw_few, read_options, runs, table
from pipeline.data.dataset import open_dataset
from pipeline.errors import DataError
from pipeline.progress import Silent
from tests.helpers import draw_vehicles
from tests.pipeline.test_data import VERI


@pytest.fixture
def data(tmp_path):
    draw_vehicles(tmp_path / "veri")
    return open_dataset("veri", VERI, tmp_path, tmp_path / "drawn")


def test_each_seed_draws_other_images_of_all_cameras(data):
    one, same, other = (draw_few(data, 4, 2, seed).train for seed in (0, 0, 1))
    assert one.paths == same.paths != other.paths
    assert (len(one), one.identity_count) == (8, 4)
    for identity in np.unique(one.identities):
        assert len(np.unique(one.cameras[one.identities == identity])) == 2
    with pytest.raises(DataError, match="have 99 images or more, and 4 are asked for. Lower --identities or --images"):
        draw_few(data, 4, 99, 0)


def test_the_table_has_a_row_for_each_start_and_rate():
    found = [Run(RELEASE, lr, seed, 50.0 + seed, None, 2_000_000) for seed in (0, 1) for lr in (0.1, 0.2)]
    lines = table([Run(ZERO, None, 0, 30.0, None, 1_500_000), *found]).splitlines()
    assert lines[2] == "| release, not trained |  | 30.0 |  | 1.5 |  |"
    assert lines[3] == "| release | 0.1 | 50.5 ± 0.7 |  | 2.0 | 2 |"
    assert len(lines) == 5


@pytest.mark.slow
def test_starts_are_compared_on_few_images(built, monkeypatch):
    monkeypatch.setenv("ZOO_CATALOGUE", str(built.catalogue))
    monkeypatch.setenv("ZOO_HOME", str(built.home))
    few = ["--identities", "8", "--images", "3", "--seeds", "1", "--students", "--lr", "0.01"]
    short = {"gate.identities": 2, "sampling.identities": 4, "sampling.images": 2, "teacher.epochs": 2}
    short |= {"distill.epochs": 2, "calibrate.min_images": 8, "calibrate.images": 16}
    settings = [word for key, value in short.items() for word in ("--set", f"{key}={value}")]
    options = ["tiny", "--dataset", "squares", "--data-root", str(built.root / "data"), *few, *settings]
    found = [*runs(read_options(options), Silent())]
    assert [run.start for run in found] == [ZERO, RELEASE, SCRATCH]
    assert IMAGENET not in table(found)
    zero, release, scratch = found
    assert (zero.macs or 0) <= (release.macs or 0) < (scratch.macs or 0)
    assert release.student_map is not None
