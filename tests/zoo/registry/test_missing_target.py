"""A release without artifacts for a target is reported with what builds them."""

import re

import pytest

from tests.zoo.records import a_manifest, built_by
from tests.zoo.registry.pulling import another, published, pulled
from zoo.building.build import BuildRequest
from zoo.cli.registry import _request as planned_request
from zoo.errors import NothingPrebuilt, RegistryError
from zoo.registry.choice import chooser

__all__ = ["another", "published"]


def test_a_target_without_artifacts_is_reported_with_the_build_command(published, another):
    with pytest.raises(RegistryError) as caught:
        pulled(another, published.url, choose=chooser(["jetson-orin-nano"]))
    assert "nothing prebuilt for jetson-orin-nano; available: onnxruntime-cpu, openvino-cpu" in str(caught.value)
    assert re.search(r" Build it: zoo build tiny .*--target jetson-orin-nano$", str(caught.value))


@pytest.mark.parametrize(
    "command",
    [
        "zoo add big --onnx net.onnx --data cars",
        "zoo build big --student timm:lcnet_050",
        "zoo build big --from a@1.0.0",
    ],
)
def test_a_missing_target_is_built_by_the_command_of_the_release_which_is_not_planned(command):
    with pytest.raises(NothingPrebuilt) as caught:
        chooser(["jetson-orin-nano"])(a_manifest(**built_by(command)), [])
    assert str(caught.value).endswith(f" Build it: {command} --target jetson-orin-nano")
    assert planned_request(caught.value.command) is None


def test_a_model_of_the_catalogue_as_it_stands_can_be_planned():
    assert planned_request("zoo build big --target a --target b") == BuildRequest("big", ["a", "b"])
    assert planned_request("zoo build big") == BuildRequest("big", [])
    assert planned_request("zoo build big --target a --set distill.epochs=3") is None
    assert planned_request("") is None
