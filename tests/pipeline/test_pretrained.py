"""Where initial weights are looked up, and whether they are those of the network."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import load_file, save_file

from pipeline.data.images import Input
from pipeline.data.samples import Index, Samples
from pipeline.engine.plan import make_plan
from pipeline.engine.store import Store
from pipeline.errors import WeightsError
from pipeline.networks.factory import build_backbone
from pipeline.networks.hub import HubFile
from pipeline.networks.pretrained import Places, Start, default_tag
from pipeline.planning.training import check_weights, training_steps
from pipeline.recipe import Recipe
from tests.helpers import REAL_DATA, enliven
from tests.hub_cache import COMMIT, HubCache

NAME = "resnet10t"
TAGGED = f"{NAME}.{timm.get_pretrained_cfg(NAME).tag}"
REAL = REAL_DATA / "weights"
LITES = ("tf_efficientnet_lite0", "tf_efficientnet_lite1", "tf_efficientnet_lite2")


@pytest.fixture(scope="module")
def state():
    """A state dict as timm publishes it."""
    network = timm.create_model(NAME)
    enliven(network)
    return network.state_dict()


@pytest.fixture
def weights(state, tmp_path):
    """A function that saves some version of it."""

    def save(name="model.safetensors", changes=None, without=(), **about):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        kept = {key: value for key, value in {**state, **(changes or {})}.items() if not key.startswith(without or "?")}
        save_file(kept, path, about)
        return path

    return save


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty Hugging Face cache, without a network."""
    return HubCache.offline(tmp_path / "cache", monkeypatch)


def is_loaded(backbone, published):
    return all(torch.equal(value, published[name].to(value.dtype)) for name, value in backbone.state_dict().items())


def recipe(architecture=NAME, **more):
    content = {"dataset": "d", "targets": ["t"], "network": {"architecture": architecture, "last_stride": 2}, **more}
    return Recipe.model_validate(content).settled()


def planned(some, places, tmp_path):
    none = Samples(tmp_path, (), np.empty(0, np.int64), np.empty(0, np.int64))
    steps = training_steps(some, Index(none, none, none, "fingerprint"), places)
    return make_plan(steps, Store(tmp_path / "store"), {})


# --- where


def test_the_weights_folder_comes_before_the_hub(weights, cache, tmp_path):
    cache.fill(TAGGED, weights("published.safetensors"))
    places = Places(tmp_path / "weights")
    assert isinstance(places.find(Start(NAME)), HubFile)
    path = weights(f"weights/{NAME}.safetensors")
    assert places.find(Start(NAME)) == path
    assert isinstance(places.find(Start(NAME, revision=COMMIT)), HubFile)  # a pinned revision is one of the Hub
    assert places.find(Start(NAME, file=tmp_path / "published.safetensors")) == tmp_path / "published.safetensors"


@pytest.mark.parametrize(("asked", "kept"), [(NAME, TAGGED), (TAGGED, NAME), (NAME, NAME), (TAGGED, TAGGED)])
def test_a_name_with_timms_default_tag_is_the_name_without(asked, kept, weights, tmp_path):
    path = weights(f"weights/{kept}.safetensors")
    assert Places(tmp_path / "weights").find(Start(asked)) == path


def test_another_tag_is_another_file(weights, tmp_path, cache):
    assert default_tag("vit_tiny_patch16_224.augreg_in21k") == "augreg_in21k_ft_in1k"
    weights("weights/vit_tiny_patch16_224.safetensors")
    assert Places(tmp_path / "weights").kept("vit_tiny_patch16_224.augreg_in21k") is None
    assert Places(tmp_path / "nowhere").kept(NAME) is None
    assert default_tag("nothing") is None


def test_a_relative_path_starts_at_three_folders(weights, tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    places = Places(tmp_path / "weights", tmp_path / "catalogue")
    for folder in ("weights", "catalogue", "here"):  # the later ones come first
        path = weights(f"{folder}/own.safetensors")
        assert places.named(Path("own.safetensors")).samefile(path)
    assert places.named(tmp_path / "weights/own.safetensors") == tmp_path / "weights/own.safetensors"


def test_the_current_folder_comes_first_even_if_it_is_the_weights_folder(weights, tmp_path, monkeypatch):
    for folder in ("weights", "catalogue"):
        weights(f"{folder}/own.safetensors")
    monkeypatch.chdir(tmp_path / "weights")
    places = Places(tmp_path / "weights", tmp_path / "catalogue")
    assert places.named(Path("own.safetensors")).samefile(tmp_path / "weights/own.safetensors")
    assert len(places.candidates(Path("own.safetensors"))) == 2


@pytest.mark.parametrize(
    ("file", "mend"),
    [
        ("tf_efficientnet_lite0.safetensors", r"Run: zoo weights fetch tf_efficientnet_lite0$"),
        (
            "w/tf_efficientnet_lite0.safetensors",
            r"fetch tf_efficientnet_lite0, and name the file `tf_efficientnet",
        ),
        ("own.safetensors", r"Correct the path in the recipe; zoo weights lists what is here"),
    ],
)
def test_a_named_file_that_is_nowhere(file, mend, tmp_path):
    told = rf"can't read weights {file}: there is no such file in {Path.cwd()}.*, {tmp_path}/weights.*\n.*{mend}"
    with pytest.raises(WeightsError, match=told):
        Places(tmp_path / "weights").named(Path(file))


def test_the_key_holds_the_digest_of_the_file_wherever_it_is(weights, tmp_path):
    path = weights(f"weights/{NAME}.safetensors")
    by_folder = planned(recipe(distill={"init": "teacher"}), Places(path.parent), tmp_path)[0]
    by_name = planned(recipe(distill={"init": "teacher"}, teacher={"weights": path}), Places(), tmp_path)[0]
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert by_folder.ingredients["files"] == {"weights": digest}
    assert "hub" not in by_folder.ingredients
    assert by_folder.key == by_name.key
    path.write_bytes(b"other")
    assert planned(recipe(distill={"init": "teacher"}), Places(path.parent), tmp_path)[0].key != by_folder.key


def test_a_wrong_file_is_refused_before_the_teacher_trains(weights, tmp_path):
    right, wrong = weights(), weights("wrong.safetensors", without=("layer4",))
    some = recipe(teacher={"weights": right}, distill={"weights": wrong})
    with pytest.raises(
        WeightsError, match=r"wrong\.safetensors do not match resnet10t: of its \d+ tensors \d+ are missing"
    ):
        check_weights(planned(some, Places(), tmp_path), some)
    check_weights(planned(recipe(teacher={"weights": right}), Places(), tmp_path), recipe(teacher={"weights": right}))


# --- what


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_any_floating_type_is_accepted(kind, state, weights):
    changes = {name: value.to(kind) for name, value in state.items() if value.is_floating_point()}
    backbone = build_backbone(NAME, Input(), weights(changes=changes))
    assert is_loaded(backbone, changes | {n: v for n, v in state.items() if n not in changes})
    assert {value.dtype for value in backbone.parameters()} == {torch.float32}


def test_classifier_and_counters_are_optional(state, weights):
    assert is_loaded(build_backbone(NAME, Input(), weights(without=("fc.",))), state)
    assert is_loaded(build_backbone(NAME, Input(), weights(changes={"fc.weight": torch.zeros(7, 512)})), state)
    counters = tuple(name for name in state if name.endswith("num_batches_tracked"))
    assert is_loaded(build_backbone(NAME, Input(), weights(without=counters)), state)


@pytest.mark.parametrize(
    ("changes", "without", "told"),
    [
        ({"extra.a": torch.zeros(1), "extra.b": torch.zeros(1), "extra.c": torch.zeros(1)}, (),
         r"tensors none is missing, and 3 of the file are unexpected \(extra\.a, extra\.b, …\)"),
        ({}, ("bn1.weight",), r"of its \d+ tensors 1 are missing \(bn1\.weight\)\."),
        ({"bn1.weight": torch.zeros(3)}, (), r"1 have another shape \(bn1\.weight 3, expected 64\)"),
        ({"bn1.weight": torch.zeros(64, dtype=torch.int8)}, (), r"1 are integers \(bn1\.weight\)"),
        ({"bn1.weight": torch.full((64,), torch.nan)}, (), r"in 1 of their tensors, such as bn1.*Use other weights"),
        ({"bn1.bias": torch.full((64,), 1e6).half()}, (), r"infinite or not numbers, in 1 of their tensors"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_counted_and_named(changes, without, told, weights):
    with pytest.raises(WeightsError, match=told) as caught:
        build_backbone(NAME, Input(), weights(changes=changes, without=without))
    assert len(str(caught.value).splitlines()) <= 2


def test_a_file_that_says_what_it_is(weights):
    path = weights(without=("bn1.",), about='{"architecture": "resnet18"}')
    with pytest.raises(
        WeightsError, match=r"The file says that it holds resnet18\.\nUse a file with the weights of resnet10t"
    ):
        build_backbone(NAME, Input(), path)
    assert build_backbone(NAME, Input(), weights(about="no JSON"))


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (lambda whole: whole[: len(whole) // 2], "damaged, cut off or no safetensors file"),
        (lambda whole: whole[:4], "damaged, cut off"),
        (lambda _: b"", "damaged, cut off"),
        (lambda whole: whole + b"x", "damaged, cut off"),
        (lambda _: b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "a pointer of Git LFS"),
    ],
)
def test_a_damaged_file(content, told, weights, tmp_path, cache):
    path = weights()
    path.write_bytes(content(path.read_bytes()))
    with pytest.raises(WeightsError, match=rf"can't read weights .*: it is {told}.*Get the file again\.$"):
        build_backbone(NAME, Input(), path)
    found = Places().find(Start(NAME)) if cache.fill(TAGGED, path) else None
    with pytest.raises(WeightsError, match=rf"it is {told}.*Remove it, so that it is downloaded again\.$"):
        build_backbone(NAME, Input(), found)


@pytest.mark.parametrize("name", ["tf_efficientnet_lite0", "tf_efficientnet_lite0.in1k"])
def test_a_named_architecture_that_is_damaged_says_how_to_get_it_again(name, tmp_path):
    path = tmp_path / f"{name}.safetensors"
    path.touch()
    with pytest.raises(WeightsError, match=r"Remove it and run: zoo weights fetch tf_efficientnet_lite0$"):
        build_backbone("tf_efficientnet_lite0", Input(), path)
    with pytest.raises(WeightsError, match=r"can't read weights .*: Is a directory"):
        build_backbone(NAME, Input(), tmp_path)


def test_a_cached_file_whose_content_changed(weights, cache):
    blob = cache.fill(TAGGED, weights()).resolve()
    content = bytearray(blob.read_bytes())
    content[-1] ^= 1
    blob.write_bytes(content)
    with pytest.raises(
        WeightsError, match=rf"{blob} is damaged: timm/{TAGGED} at main had the sha256 {blob.name[:12]}"
    ):
        Places().find(Start(NAME))


def test_weights_of_another_network_on_the_hub(weights, cache):
    cache.fill(TAGGED, weights(without=("layer4.",)))
    with pytest.raises(WeightsError, match=r"do not match resnet10t: of its \d+ tensors \d+ are missing \(layer4"):
        build_backbone(NAME, Input(), Places().find(Start(NAME)))


@pytest.mark.parametrize("classes", [1000, 7, 0])
def test_a_local_file_is_adapted_to_the_image_size_like_the_hubs(classes, tmp_path, cache):
    """Whatever its classifier is, since that is not used."""
    name, size = "vit_tiny_patch16_224", Input(height=32, width=64)
    torch.manual_seed(0)
    state = timm.create_model(name).state_dict()
    save_file(state, tmp_path / "published.safetensors")
    cache.fill(f"{name}.{default_tag(name)}", tmp_path / "published.safetensors")
    own = {key: value[:classes].clone() if key.startswith("head.") else value for key, value in state.items()}
    save_file({key: value for key, value in own.items() if value.numel()}, tmp_path / f"{name}.safetensors")
    hub = build_backbone(name, size, Places().find(Start(name))).state_dict()
    local = build_backbone(name, size, Places(tmp_path).find(Start(name))).state_dict()
    assert hub["pos_embed"].shape == (1, 1 + 2 * 4, 192)
    assert local.keys() == hub.keys()
    assert all(torch.equal(value, hub[key]) for key, value in local.items())


# --- real weights


@pytest.mark.skipif(not REAL.is_dir(), reason="the real weights are not here (ZOO_TEST_DATA)")
@pytest.mark.parametrize("architecture", LITES)
def test_real_weights_by_all_three_ways(architecture, tmp_path, cache):
    """`teacher.weights`, the weights folder, and `HF_HUB_OFFLINE` with a filled cache give the same network."""
    file = REAL / f"{architecture}.safetensors"
    commit = cache.fill(f"{architecture}.in1k", file).parent.name
    hub = Places(tmp_path / "none").find(Start(architecture))
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    assert hub == HubFile(f"timm/{architecture}.in1k", commit, digest)
    folder, named = Places(REAL).find(Start(architecture)), Places(REAL).find(Start(architecture, Path(file.name)))
    assert folder == named == file
    published, images = load_file(file), torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    maps = []
    for found in (hub, folder):
        backbone = build_backbone(architecture, Input(height=64, width=64), found).eval()
        assert is_loaded(backbone, published)
        with torch.no_grad():
            maps.append(backbone(images))
    assert torch.equal(*maps)
    assert maps[0].shape == (1, 1280, 2, 2)
    settled = recipe(architecture)
    assert (settled.input.mean, settled.input.std) == ((0.5,) * 3, (0.5,) * 3)


@pytest.mark.skipif(not REAL.is_dir(), reason="the real weights are not here (ZOO_TEST_DATA)")
def test_real_weights_of_another_network(cache):
    with pytest.raises(WeightsError, match=r"of its 294 tensors 186 have another shape .*, 90 of the file are"):
        build_backbone("tf_efficientnet_lite0", Input(), REAL / "tf_efficientnet_lite2.safetensors")
