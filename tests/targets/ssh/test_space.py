"""A device without space, or with another file in the place of one."""

from __future__ import annotations

import json
import sys
import zipfile
from pathlib import Path

import pytest

from targets.bundles.bundle import BUNDLE_LIST
from targets.errors import DeviceError
from targets.ssh import run_on_device
from tests.targets.ssh.errand import Heard, make_bundle, once, refused, runs
from tests.targets.sshd import Device


def rewrite_sizes(bundle: Path, size_bytes: int) -> None:
    """Claim in a bundle's list that a file is so large."""
    with zipfile.ZipFile(bundle) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    about = json.loads(files[BUNDLE_LIST])
    about["files"]["graphs/ballast"]["size_bytes"] = size_bytes
    with zipfile.ZipFile(bundle, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, json.dumps(about) if name == BUNDLE_LIST else content)


def test_disk_too_small(device: Device, tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "tiny")
    rewrite_sizes(bundle, 10**15)
    error = refused(device, bundle, tmp_path / "result")
    assert f"{device.cache / 'ssh'}" in error
    assert "MB free, but 4,000,000,000 MB are needed. Free some, or set ZOO_CACHE there to a folder" in error
    assert device.left == []


def test_disk_that_fills_up(device: Device, tmp_path: Path) -> None:
    """The kernel says that there is no space, as /dev/full does."""

    def fill() -> None:
        for folder in (device.cache / "ssh").glob("*/"):
            (folder / "bundle.part").symlink_to("/dev/full")

    bundle, heard = make_bundle(tmp_path / "tiny", mib=3), Heard(once("sending", fill))
    with pytest.raises(DeviceError) as caught:
        run_on_device(device.address, sys.executable, bundle, tmp_path / "result", heard)
    assert "can't write or read a file (Failure)" in str(caught.value)
    assert "Free some space or quota" in str(caught.value)
    assert device.left == []


def test_cache_that_can_not_be_made(device: Device, tmp_path: Path) -> None:
    device.cache.parent.write_text("no folder")
    error = refused(device, make_bundle(tmp_path / "tiny"), tmp_path / "result")
    assert f"Not a directory: {device.cache}" in error


def test_part_of_something_else(device: Device, tmp_path: Path) -> None:
    """Existing partial files are not trusted, on either side."""

    def spoil() -> None:
        for folder in (device.cache / "ssh").glob("*/"):
            (folder / "bundle.part").write_bytes(b"x" * 5000)

    bundle, result = make_bundle(tmp_path / "tiny", mib=3), tmp_path / "result"
    (tmp_path / ".result.part").write_bytes(b"y" * 100)
    run_on_device(device.address, sys.executable, bundle, result, Heard(once("sending", spoil)))
    assert result.read_bytes() == b"measured" * 1000
    assert len(runs(device)) == 2
