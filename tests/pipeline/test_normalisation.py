"""Mean and deviation: the recipe's own, or those that pretrained weights were trained with."""

from typing import Any

import pytest
import torch
from pydantic import ValidationError

from pipeline.data.images import IMAGENET_MEAN, IMAGENET_STD, Input
from pipeline.data.samples import Index, Samples
from pipeline.errors import WeightsError
from pipeline.networks.factory import Network, build_network
from pipeline.networks.serialization import load_network, save_network
from pipeline.planning.training import training_steps
from pipeline.recipe import Recipe
from pipeline.stages.export import deployed
from tests.helpers import random_images

HALF = (0.5, 0.5, 0.5)
IMAGENET = (IMAGENET_MEAN, IMAGENET_STD)


def settled(architecture, **changes):
    content = {"dataset": "d", "targets": ["t"], "network": {"architecture": architecture, "last_stride": 2}, **changes}
    return Recipe.model_validate(content).settled()


def said(recipe):
    return recipe.input.mean, recipe.input.std


@pytest.mark.parametrize(
    ("architecture", "expected"),
    [
        ("resnet50", IMAGENET),
        ("vit_base_patch16_224.augreg_in21k", (HALF, HALF)),
        ("vit_tiny_patch16_224.augreg_in21k_ft_in1k", (HALF, HALF)),
        ("tf_efficientnet_lite0.in1k", (HALF, HALF)),
        ("tf_efficientnetv2_s.in21k_ft_in1k", (HALF, HALF)),
        ("tf_efficientnet_b0.aa_in1k", IMAGENET),  # the tag decides, not the name's beginning
        ("mobilenetv3_large_100.ra_in1k", IMAGENET),
    ],
)
def test_pretrained_weights_define_the_normalisation(architecture, expected):
    assert said(settled(architecture)) == expected


def test_the_recipes_normalisation_takes_precedence():
    own = {"mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6]}
    vit = "vit_tiny_patch16_224.augreg_in21k_ft_in1k"
    assert said(settled(vit, input=own)) == ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    assert said(settled(vit, input={"mean": own["mean"]})) == ((0.1, 0.2, 0.3), HALF)
    assert said(settled(vit, input={"std": own["std"], "mean": None})) == (HALF, (0.4, 0.5, 0.6))
    assert settled(vit, input={"mean": None, "std": None}) == settled(vit)


def test_from_scratch_it_is_imagenets(tmp_path):
    scratch = {"teacher": {"pretrained": False}, "distill": {"init": "teacher"}}
    vit = "vit_tiny_patch16_224.augreg_in21k_ft_in1k"
    assert said(settled(vit, **scratch)) == IMAGENET
    local = {"teacher": {"pretrained": False, "weights": tmp_path / "x.safetensors"}, "distill": {"init": "teacher"}}
    assert said(settled(vit, **local)) == (HALF, HALF)


def test_a_random_student_uses_its_pretrained_teachers_normalisation():
    random = {"init": "random", "importance": "position", "features_weight": 0, "compress": {"macs": 0.5}}
    teacher = {"architecture": "tf_efficientnet_lite4.in1k"}
    assert said(settled("tf_efficientnet_lite0.in1k", teacher=teacher, distill=random)) == (HALF, HALF)
    assert said(settled("efficientnet_lite0", teacher=teacher, distill=random)) == (HALF, HALF)


def test_a_teacher_and_a_student_that_want_different_ones_are_refused():
    teacher = {"architecture": "tf_efficientnet_lite4.in1k"}
    with pytest.raises(WeightsError, match=r"different normalisations \(efficientnet_lite0: mean .*Set input.mean"):
        settled("efficientnet_lite0", teacher=teacher)
    both = {"mean": list(HALF), "std": list(HALF)}
    assert said(settled("efficientnet_lite0", teacher=teacher, input=both)) == (HALF, HALF)


def test_an_unknown_architecture_is_not_refused_here():
    assert said(settled("resnet51")) == IMAGENET


def test_imagenets_normalisation_equals_the_default():
    """So that keys do not depend on which of both is written."""
    explicit = {"mean": list(IMAGENET_MEAN), "std": list(IMAGENET_STD)}
    plain, own = settled("resnet50"), settled("resnet50", input=explicit)
    assert plain.model_dump_json() == own.model_dump_json()
    assert '"mean":[0.485,0.456,0.406],"std":[0.229,0.224,0.225]' in plain.model_dump_json()


def test_every_step_is_given_it(tmp_path):
    some = Samples(tmp_path, (), torch.empty(0, dtype=torch.long).numpy(), torch.empty(0, dtype=torch.long).numpy())
    vit = {"teacher": {"pretrained": False, "weights": tmp_path / "x.safetensors"}, "distill": {"init": "teacher"}}
    (tmp_path / "x.safetensors").touch()
    recipe = settled("vit_tiny_patch16_224.augreg_in21k_ft_in1k", **vit)
    seen: list[Any] = [step.settings["input"] for step in training_steps(recipe, Index(some, some, some, ""))]
    assert len(seen) == 7
    assert {(one.mean, one.std) for one in seen} == {(HALF, HALF)}


def test_the_normalisation_is_in_the_network_its_file_and_its_graph(tmp_path):
    """What is exported is `deployed`: uint8 in, normalised inside."""
    size = Input(height=32, width=32, mean=HALF, std=(0.25, 0.5, 1))
    network = Network(architecture="resnet10t", embedding=16)
    torch.manual_seed(0)
    embedder = build_network(network, size).eval()
    save_network(tmp_path, embedder, network, size)
    assert '"mean": [\n' in (tmp_path / "network.json").read_text()
    images = torch.from_numpy(random_images(2))
    with torch.no_grad():
        found = deployed(load_network(tmp_path))(images)
        plain = (images.permute(0, 3, 1, 2) / 255 - 0.5) / torch.tensor(size.std).view(1, 3, 1, 1)
        expected = embedder.head(embedder.pool(embedder.backbone(plain)))
    assert torch.allclose(found, torch.nn.functional.normalize(expected), atol=1e-5)


def test_a_deviation_of_zero_is_refused():
    with pytest.raises(ValidationError, match="greater than 0"):
        Input(std=(0.5, 0, 0.5))
