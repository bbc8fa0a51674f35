"""A build from real ImageNet weights in the weights folder."""

import hashlib

import pytest
import torch

from pipeline.networks.serialization import load_network
from tests.helpers import REAL_DATA
from zoo.release.reading import read_manifest

REAL = REAL_DATA / "weights"
ARCHITECTURE = "tf_efficientnet_lite0"


@pytest.mark.slow
@pytest.mark.skipif(not REAL.is_dir(), reason="the real weights are not here (ZOO_TEST_DATA)")
def test_a_build_from_real_weights(workshop, cache, monkeypatch):
    monkeypatch.setenv("ZOO_WEIGHTS", str(REAL))
    words = [
        f"network.architecture={ARCHITECTURE}", "network.last_stride=2", "teacher.pretrained=true", "teacher.epochs=1",
        "distill.init=pretrained", "distill.epochs=1", "distill.learn_epochs=0", "targets=[onnxruntime-cpu]",
        "precision=fp32",
    ]  # fmt: skip
    workshop.build("tiny", *(word for one in words for word in ("--set", one)))
    folder = workshop.home / "releases" / "tiny" / "1.0.0"
    manifest = read_manifest(folder / "manifest.json")
    digest = hashlib.sha256((REAL / f"{ARCHITECTURE}.safetensors").read_bytes()).hexdigest()
    given = {stage.name: (stage.files, stage.hub) for stage in manifest.stages if stage.files}
    assert given == {"teacher": ({"weights": digest}, {}), "distill": ({"weights": digest}, {})}
    assert str(REAL) not in (folder / "manifest.json").read_text()
    assert torch.equal(load_network(folder / "network").mean.flatten(), torch.full((3,), 127.5))
