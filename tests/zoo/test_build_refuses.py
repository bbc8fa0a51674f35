"""What goes wrong in a build, as a user sees it: reported in a line or two, before anything is trained."""

import json
import re

import pytest

MANIFEST = "releases/tiny/1.0.0/manifest.json"


def test_a_budget_that_cannot_be_met_is_refused_before_a_teacher_is_trained(workshop):
    for method in ("prune", "cdd"):
        settings = ("distill.compress={macs: 0.01}", "distill.sites=spatial", f"distill.method={method}")
        message = workshop.refused("build", "tiny", *[part for s in settings for part in ("--set", s)])
        assert "distill.compress.macs 0.01 can't be met" in message
        assert "distill.sites: coupled" in message
    assert not (workshop.home / "store" / "teacher").exists()


def refusals():
    yield ["build", "tny"], "no model 'tny' in the catalogue. Did you mean 'tiny'?"
    yield (
        ["build", "-t", "openvino"],
        "no target 'openvino' in the catalogue. Did you mean 'openvino-cpu' or 'openvino-gpu'",
    )
    yield ["build", "--set", "distil.epochs=1"], "models.tiny.distil: unknown key. Did you mean 'distill'?"
    yield ["build", "--data-root", "/nowhere"], "no folder /nowhere/squares for data set 'squares'"
    yield ["show", "tiny"], "Build it: zoo build tiny"
    yield ["build", "--set", "network.architecture=resnet10"], "timm has no model 'resnet10'. Did you mean"
    yield (
        ["build", "--set", "sampling.identities=9"],
        "10 identities, 10 of them seen by two cameras, and training needs 9",
    )
    yield ["build", "--set", "gate.identities=7"], "gate.identities (7) can't be held out"
    yield ["build", "--set", "teacher.weights=none.safetensors"], "can't read weights none.safetensors"
    vit = ["--set", "network.architecture=vit_tiny_patch16_224", "--set", "network.last_stride=2"]
    yield ["build", *vit, "--set", "input.height=40"], "Change input.height 40 to 32 or 48"
    yield (
        ["build", "--set", "network.architecture=vgg11_bn", "--set", "teacher.epochs=1"],
        "set `network.last_stride: 2`",
    )


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("network.architecture=resnet10", "timm has no model 'resnet10'. Did you mean"),
        ("network.architecture=vgg11_bn", "set `network.last_stride: 2`"),
        ("distill.compress={macs: 0.0001}", "distill.compress.macs 0.0001 can't be met"),
        ("sampling.identities=9", "gate.identities (2) can't be held out: the training split has 10 identities"),
        ("calibrate={images: 64, min_images: 64}", "int8 calibration needs calibrate.min_images (64)"),
    ],
)
def test_a_plan_refuses_what_a_build_would(workshop, setting, expected):
    assert expected in workshop.refused("build", "--plan", "--set", setting)
    assert expected in workshop.refused("build", "--plan", "--json", "--set", setting)


def test_a_plan_lists_channels_that_can_not_be_removed(workshop):
    settings = ("network={architecture: ghostnet_050, last_stride: 2}", "distill.compress={macs: 0.7}")
    plan = workshop.zoo("build", "--plan", *[part for s in settings for part in ("--set", s)])
    assert plan.exit_code == 0, plan.output
    assert "channels can't be removed where cat does not keep channels apart" in plan.output


@pytest.mark.parametrize(
    ("arguments", "expected"), list(refusals()), ids=lambda value: " ".join(value) if isinstance(value, list) else ""
)
def test_errors(workshop, arguments, expected):
    message = workshop.refused(*arguments)
    assert expected in message
    assert len(message.splitlines()) <= 2


def test_an_image_that_cannot_be_decoded(workshop):
    path = next((workshop.root / "data" / "squares" / "image_train").iterdir())
    path.write_bytes(b"no image")
    assert f"can't decode image {path}" in workshop.refused("build")
    assert not (workshop.home / MANIFEST).exists()


def test_a_broken_test_image_is_found_before_the_teacher_is_trained(workshop):
    path = next((workshop.root / "data" / "squares" / "image_test").iterdir())
    path.write_bytes(path.read_bytes()[:300])
    assert f"can't decode image {path}" in workshop.refused("build")
    assert not list(workshop.home.glob("store/unfinished/*"))


def test_an_identity_with_one_image(workshop):
    for path in sorted((workshop.root / "data" / "squares" / "image_train").glob("0003_*"))[1:]:
        path.unlink()
    message = workshop.refused("build")
    assert "identity 0003 has one training image" in message
    assert "singletons: drop" in message


def test_a_query_without_right_answers(workshop):
    for path in (workshop.root / "data" / "squares" / "image_test").glob("0011_*"):
        path.unlink()
    assert re.search(r"query image_query/0011_\S+ has no correct answer.*unanswerable: skip", workshop.refused("build"))


def test_a_target_whose_runtime_is_not_installed(workshop, monkeypatch):
    from importlib.metadata import PackageNotFoundError

    def missing(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr("targets.carried.version", missing)
    message = workshop.refused("build", "-t", "openvino-cpu")
    assert message.startswith("openvino is not installed. Run: pip install")
    assert "[openvino]" in message


def test_an_unreadable_store(workshop):
    workshop.home.write_text("a file where a folder should be")
    assert re.search(r"can't use .*\.zoo.*ZOO_HOME", workshop.refused("build"))


def test_a_manifest_of_a_newer_schema(built):
    path = built.home / MANIFEST
    content = json.loads(path.read_text())
    path.unlink()  # a hard link would change the finished one too
    path.write_text(json.dumps({**content, "schema_version": 4}))
    message = built.refused("show", "tiny")
    assert "has schema 4; this version reads 3. Upgrade" in message
    path.write_text(json.dumps({**content, "name": 7}))
    assert "is not valid: name" in built.refused("show", "tiny")
    path.write_text("{")
    assert "is damaged" in built.refused("compare", "tiny")


def test_pretrained_without_a_network_names_the_remedies(workshop, monkeypatch):
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(workshop.root / "cache"))
    message = workshop.refused("build", "--set", "teacher.pretrained=true")
    for way in ("teacher.weights", "HF_HUB_OFFLINE=1", "teacher.pretrained: false"):
        assert way in message


def test_a_gpu_without_enough_memory_says_what_to_lower(workshop, monkeypatch):
    import torch

    def step(*_):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    monkeypatch.setattr("pipeline.training.learner.Learner.__call__", step)
    message = workshop.refused("build")
    assert message.startswith("the GPU's memory is too small for teacher. Lower sampling.identities or sampling.images")


def test_inconsistent_methods_are_refused(workshop):
    assert "set compress" in workshop.refused("build", "--set", "distill.method=prune")
    settings = ("distill.init=random", "distill.learn_epochs=0", "distill.compress={macs: 0.6}")
    message = workshop.refused("build", *[part for s in settings for part in ("--set", s)])
    with_budget = ("--set", "distill.method=fixed", "--set", "distill.compress={macs: 0.6}")
    assert "method: fixed keeps all channels: leave compress out" in workshop.refused("build", *with_budget)
    assert "needs a trained student: set init to teacher, pretrained or release" in message
