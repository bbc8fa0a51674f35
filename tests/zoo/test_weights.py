"""A build from pretrained weights: their record in the release, and when they count as changed."""

import hashlib
import json

import huggingface_hub.constants
import pytest
import timm
import torch
from safetensors.torch import save

from pipeline.engine.step import TEACHER
from pipeline.files import write_text
from pipeline.networks.serialization import load_network
from zoo.building.record import _stage
from zoo.release.lineage import StageRecord
from zoo.release.reading import read_manifest

ARCHITECTURE = "test_resnet"  # timm's smallest, whose weights were trained with 0.5
REPOSITORY = timm.get_pretrained_cfg(ARCHITECTURE).hf_hub_id
FIRST, SECOND = "a1" * 20, "b2" * 20  # no YAML takes them for numbers


@pytest.fixture
def publish(workshop, monkeypatch):
    """Put weights into the offline Hugging Face cache as the latest commit of `main`."""
    cache = workshop.root / "cache"
    folder = cache / f"models--{REPOSITORY.replace('/', '--')}"
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(cache))

    def put(commit, seed):
        torch.manual_seed(seed)
        content = save(timm.create_model(ARCHITECTURE).state_dict())
        (folder / "snapshots" / commit).mkdir(parents=True)
        (folder / "snapshots" / commit / "model.safetensors").write_bytes(content)
        (folder / "refs").mkdir(exist_ok=True)
        (folder / "refs" / "main").write_text(commit)
        return hashlib.sha256(content).hexdigest()

    return put


def test_the_manifest_records_commit_and_content(tmp_path):
    record = {
        "version": 5, "inputs": {}, "files": {"weights": "a" * 64}, "libraries": {}, "finished_at": "", "seconds": 1.0,
        "hub": {"weights": {"repository": REPOSITORY, "revision": FIRST}},
    }  # fmt: skip
    write_text(tmp_path / "stage.json", json.dumps(record))
    stage = StageRecord.model_validate(_stage(TEACHER, tmp_path))
    assert (stage.files["weights"], stage.hub["weights"].revision) == ("a" * 64, FIRST)
    write_text(tmp_path / "stage.json", json.dumps({**record, "hub": {}} | {"files": {}}))
    assert StageRecord.model_validate(_stage(TEACHER, tmp_path)).hub == {}
    del record["hub"]  # as in a result of an earlier version
    write_text(tmp_path / "stage.json", json.dumps(record))
    assert StageRecord.model_validate(_stage(TEACHER, tmp_path)).hub == {}


def test_a_plan_says_that_main_moved_and_a_pin_holds(workshop, publish):
    """Without building: keys show it."""

    def planned(*words):
        result = workshop.zoo(
            "build", "tiny", "--set", f"network.architecture={ARCHITECTURE}", "--set", "teacher.pretrained=true",
            "--plan", "--json", *words,
        )  # fmt: skip
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)["steps"][0]["key"]

    publish(FIRST, 0)
    first = planned()
    pinned = planned("--set", f"teacher.revision={FIRST}")
    publish(SECOND, 1)
    assert pinned == first
    assert planned() != first
    assert planned("--set", f"teacher.revision={FIRST}") == first


@pytest.mark.slow
def test_a_release_records_its_initial_weights_and_normalisation(workshop, publish):
    digest = publish(FIRST, 0)
    words = [f"network.architecture={ARCHITECTURE}", "teacher.pretrained=true", "targets=[onnxruntime-cpu]"]
    sets = [word for one in (*words, "precision=fp32") for word in ("--set", one)]
    workshop.build("tiny", *sets)
    folder = workshop.home / "releases" / "tiny" / "1.0.0"
    manifest = read_manifest(folder / "manifest.json")
    (teacher,) = [stage for stage in manifest.stages if stage.name == "teacher"]
    assert teacher.files == {"weights": digest}
    assert teacher.hub["weights"].model_dump() == {"repository": REPOSITORY, "revision": FIRST}
    assert manifest.recipe["input"] == {"height": 32, "width": 32, "mean": [0.5] * 3, "std": [0.5] * 3}
    network = load_network(folder / "network")
    assert torch.equal(network.mean.flatten(), torch.full((3,), 127.5))
    publish(SECOND, 1)
    reason = json.loads(workshop.zoo("build", "tiny", *sets, "--plan", "--json").stdout)["steps"][0]["reason"]
    assert "the file of weights changed" in reason
    assert f"the weights' revision on the Hub {FIRST[:12]} → {SECOND[:12]}" in reason
