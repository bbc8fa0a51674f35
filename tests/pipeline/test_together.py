"""Several processes on parts of a batch learn what one learns on the whole."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.data.sampler import IdentitySampler, Sampling
from pipeline.errors import DataError
from pipeline.networks.weights import load_tensors
from tests.helpers import draw_vehicles
from tests.pipeline.train_together import train

TOP = Path(__file__).parents[2]


def test_two_processes_end_in_the_masks_losses_and_weights_of_one(tmp_path):
    draw_vehicles(tmp_path / "veri")
    train(tmp_path, tmp_path / "one")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    script = TOP / "tests" / "pipeline" / "train_together.py"
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(TOP)}
    subprocess.run([*command, script, tmp_path, tmp_path / "two"], check=True, env=environment, timeout=200)

    names = ("one/0.safetensors", "two/0.safetensors", "two/1.safetensors")
    one, first, second = (load_tensors(tmp_path / name)[0] for name in names)
    masks = [name for name in one if name.endswith("mask")]
    assert sum(int((one[name] == 0).sum()) for name in masks) > 0
    for name, value in one.items():
        assert torch.equal(first[name], second[name]), name  # ranks agree to the bit
        if name in masks:
            assert torch.equal(value, first[name]), name
        else:
            assert torch.allclose(value.float(), first[name].float(), rtol=1e-3, atol=1e-4), name
    rows = [[*csv.DictReader((tmp_path / name / "metrics.csv").open())] for name in ("one", "two")]
    figures = [[{name: float(value) for name, value in row.items()} for row in some] for some in rows]
    for ours, theirs in zip(*figures, strict=True):
        assert ours == pytest.approx(theirs, rel=2e-3)  # the hardest of a batch's images may swap places


def test_parts_of_a_batch_make_up_the_batch():
    labels, sampling = np.arange(40) // 4, Sampling(identities=4, images=3)
    whole = [*IdentitySampler(labels, sampling, 1)]
    parts = [[*IdentitySampler(labels, sampling, 1, part, 3)] for part in range(3)]
    assert whole == [[draw for part in some for draw in part] for some in zip(*parts, strict=True)]


def test_a_batch_that_cannot_be_parted_is_refused():
    with pytest.raises(DataError, match=r"4 × 3 = 12 images can't be parted among 5 processes. Set sampling"):
        IdentitySampler(np.arange(40) // 4, Sampling(identities=4, images=3), 1, 0, 5)


def test_an_epoch_is_entered_anywhere():
    sampler = IdentitySampler(np.arange(40) // 4, Sampling(identities=2, images=2), 1)
    whole = [*sampler]
    sampler.start = 3
    assert [*sampler] == whole[3:]
