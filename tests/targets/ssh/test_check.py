"""A device is checked before there is a bundle, and the check leaves nothing there."""

import subprocess
import sys
from importlib.metadata import version

import pytest

from targets.errors import DeviceError, Unusable
from targets.ssh import check_device
from tests.targets.sshd import free_port  # type: ignore[attr-defined]


def test_a_complete_device_passes(device):
    assert check_device(device.address, sys.executable, "numpy") is None
    assert not device.cache.exists()


def test_a_runtime_that_comes_with_the_bundle_is_not_asked_for(device):
    assert check_device(device.address, sys.executable, "onnxruntime-web") is None


def test_a_missing_runtime_is_reported_with_the_install_command(device):
    with pytest.raises(DeviceError) as caught:
        check_device(device.address, sys.executable, "no-such-runtime")
    assert f"'{sys.executable}' on {device.user}@127.0.0.1 has no no-such-runtime. Run: ssh -p" in str(caught.value)
    assert str(caught.value).endswith(f"'{sys.executable} -m pip install no-such-runtime'")


def test_a_python_without_numpy_is_reported(device, tmp_path):
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "bare"], check=True)
    with pytest.raises(DeviceError, match="has no numpy"):
        check_device(device.address, str(tmp_path / "bare/bin/python"), "onnxruntime")


def test_a_version_that_will_not_do_is_reported(device):
    seen = []

    def refuses(version):
        seen.append(version)
        raise Unusable(f"this target takes numpy >=99, and the device has {version}", "Install it.")

    with pytest.raises(DeviceError) as caught:
        check_device(device.address, sys.executable, "numpy", refuses)
    assert seen == [version("numpy")]
    assert str(caught.value) == (
        f"'{sys.executable}' on {device.user}@127.0.0.1: this target takes numpy >=99, and the device has {seen[0]}. "
        "Install it."
    )
    check_device(device.address, sys.executable, "numpy", print)


def test_a_device_that_is_off_is_reported(device):
    address = device.address.replace(str(device.wire.port), str(free_port()))
    with pytest.raises(DeviceError, match="can't be reached: connection refused"):
        check_device(address, sys.executable, "numpy")


def test_what_is_asked_of_a_device_is_logged(device, caplog):
    with caplog.at_level("DEBUG", "zoo.ssh"):
        check_device(device.address, sys.executable, "numpy")
    told = [record.getMessage() for record in caplog.records]
    assert f"connecting to {device.user}@127.0.0.1" in told
    assert any(line.startswith(f"{device.user}@127.0.0.1: command {sys.executable} -c ") for line in told)
    assert f"{device.user}@127.0.0.1: version('numpy',)" in told
