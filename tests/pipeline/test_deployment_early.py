"""Targets, aliases and hosts of a build, and what is wrong with them: reported before training."""

import pytest

from tests.conftest import make_workshop
from tests.pipeline.deployments import idle, limited, more_targets, planned, untouched

__all__ = ["idle", "limited", "untouched"]


def test_an_unsupported_precision_is_reported_before_training(untouched, limited):
    shop = more_targets(untouched, mine={"runtime": "limited"})
    message = shop.refused("build", "tiny", "--target", "mine", "--precision", "int8")
    assert (
        message == "limited on CPU can't compute in int8, only in fp32, fp16. Use precision: auto, or another target."
    )


def test_a_missing_device_is_reported_before_training(untouched):
    shop = more_targets(untouched, mine={"runtime": "openvino", "device": "GPU"})
    message = shop.refused("build", "tiny", "--target", "mine")
    assert message.startswith("OpenVINO")
    assert "sees no device GPU here" in message


def test_an_unreachable_device_over_ssh_is_reported_before_training(untouched):
    message = untouched.refused("build", "tiny", "--target", "openvino-cpu", "--host", "ssh://127.0.0.1:9")
    assert message == "127.0.0.1 can't be reached: connection refused at port 9 (is its ssh server running?)."


def test_another_version_on_a_device_over_ssh_is_reported_before_training(untouched, monkeypatch):
    def check(host, python, distribution, check_version):
        assert (host, distribution) == ("ssh://there", "tensorrt")
        check_version("10.3.0.26")
        check_version("10.16.2.10")

    monkeypatch.setattr("pipeline.planning.deployment.check_device", check)
    message = untouched.refused("build", "tiny", "--target", "jetson", "--host", "ssh://there")
    assert message == (
        "this target takes TensorRT >=10.3,<10.4 (JetPack 6.1 to 6.2), and the device has 10.16.2.10. "
        "10.16.2.10 belongs to JetPack 7.2: build for --target jetson-orin-nano-jp72."
    )


def test_a_dla_that_is_not_possible_is_reported_before_anything_is_built(untouched):
    shop = more_targets(untouched, mine={"runtime": "tensorrt", "device": "DLA", "board": "Jetson AGX Thor"})
    message = shop.refused("build", "tiny", "--target", "mine", "--plan")
    assert message == "device: DLA is not possible for this target: a Jetson Thor has no DLA. Set `device: GPU`."
    assert planned(untouched, "--target", "jetson-orin-agx-dla")[-2:] == ["bundle/jetson-orin-agx-dla", "record"]


def test_an_alias_is_its_target(untouched):
    steps = planned(untouched, "--target", "jetson", "--target", "jetson-orin-nano")
    assert steps == planned(untouched, "--target", "jetson-orin-nano")
    assert steps[-2:] == ["bundle/jetson-orin-nano", "record"]


def test_an_alias_of_ones_own_serves_recipes_too(untouched):
    shop = more_targets(untouched, mine="onnxruntime-cpu")
    shop.catalogue.write_text(shop.catalogue.read_text().replace("[onnxruntime-cpu, openvino-cpu]", "[mine]"))
    assert planned(shop)[-2:] == ["measure/onnxruntime-cpu", "record"]


@pytest.mark.parametrize(("to", "hint"), [("onnxruntime-cup", "'onnxruntime-cpu'"), ("jetson", "'jetson-orin-agx' or")])
def test_an_alias_of_an_unknown_target_is_reported_with_its_line(untouched, to, hint):
    shop = more_targets(untouched, mine=to)
    line = shop.catalogue.read_text().splitlines().index(f'  mine: "{to}"') + 1
    message = shop.refused("build", "tiny", "--target", "mine", "--plan")
    assert f"more.yaml:{line}: targets.mine: is an alias of the unknown target {to!r}. Did you mean {hint}" in message
    assert len(message.splitlines()) == 1
    assert planned(shop)  # it does not matter unless it is used


@pytest.mark.parametrize("targets", [[], ["openvino-cpu", "onnxruntime-cpu"]])
def test_a_host_needs_exactly_one_target(untouched, targets):
    options = [word for target in targets for word in ("--target", target)]
    result = untouched.zoo("build", "tiny", "--host", "ssh://there", *options)
    assert result.exit_code == 2
    assert "--host is for one target: name it with --target" in result.stderr


def test_a_host_makes_any_target_one_over_ssh(untouched):
    steps = planned(untouched, "--target", "openvino-cpu", "--host", "ssh://there")
    assert steps[-3:] == ["bundle/openvino-cpu", "device/openvino-cpu", "record"]
    assert not [step for step in steps if step.startswith(("compile/", "measure/"))]


def test_an_invalid_host_is_reported_before_training(untouched, monkeypatch):
    monkeypatch.setattr("zoo.building.build.check_student", lambda *_: pytest.fail("it is about to train"))
    message = untouched.refused("build", "tiny", "--target", "openvino-cpu", "--host", "user@there")
    assert "'user@there' is not a device address. Write ssh://USER@HOST:PORT" in message


def test_too_few_calibration_images_are_reported_before_training(untouched):
    settings = ("--set", "calibrate.images=64", "--set", "calibrate.min_images=33")
    message = untouched.refused("build", "tiny", *settings)
    assert message == (
        "the data set has 32 training images, but int8 calibration needs calibrate.min_images (33). Add images, "
        "lower that setting, or build with --precision fp16."
    )


def test_images_below_the_minimum_are_refused(untouched):
    message = untouched.refused("build", "tiny", "--set", "calibrate.images=7")
    assert "images (7) is below min_images (8)" in message
    assert len(message.splitlines()) == 1


def test_an_empty_folder_of_training_images_is_reported_in_one_line(tmp_path):
    shop = make_workshop(tmp_path)
    folder = shop.root / "data" / "squares" / "image_train"
    for path in folder.iterdir():
        path.unlink()
    message = shop.refused("build", "tiny")
    assert message.startswith(f"no images below {folder}")
    assert len(message.splitlines()) == 1
