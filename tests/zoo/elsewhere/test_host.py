"""A device over ssh, simulated by an existing result."""

import shutil

import pytest

from tests.zoo.elsewhere.boards import NAME, board_elsewhere, build, measured_on, ships_on


@pytest.fixture
def over_ssh(result, monkeypatch):
    asked = []

    def run_on_device(host, python, bundle, out, progress):
        asked.append((host, python, bundle.name))
        shutil.copyfile(result, out)

    monkeypatch.setattr("targets.ssh.run_on_device", run_on_device)
    monkeypatch.setattr("pipeline.planning.deployment.check_device", lambda *_: None)
    return asked


def test_over_ssh_the_figures_come_back_at_once_and_stay(shop, over_ssh):
    """A later build for another target keeps the row, like rows measured here."""
    printed = build(shop, "--host", "ssh://me@there:22")
    assert over_ssh == [("ssh://me@there:22", "python3", f"{NAME}.zoo")]
    assert printed.stdout.splitlines()[-1].startswith("manifest: ")
    board = measured_on(shop)
    with board_elsewhere():
        shop.build("tiny", "--target", "onnxruntime-cpu")
    assert measured_on(shop) == board
    assert len(over_ssh) == 1


def test_another_device_is_measured_again(shop, over_ssh):
    for host in ("ssh://one", "ssh://two", "ssh://two"):
        build(shop, "--host", host)
    assert [host for host, _, _ in over_ssh] == ["ssh://one", "ssh://two"]


def test_a_device_with_a_host_takes_precedence_over_a_received_result(shop, over_ssh, foreign):
    shop.zoo("receive", str(foreign))
    build(shop, "--host", "ssh://there")
    assert len(over_ssh) == 1
    assert ships_on(shop).precision == "int8"
