"""Widths measured on another machine: over a real sshd, or by copying a bundle."""

import json
import shlex
import sys

import pytest

from pipeline.stages.latency_budget import LATENCY
from targets.bundles.archive import read_list, write_archive
from targets.bundles.contents import BUNDLE_LIST, RESULT_LIST
from targets.bundles.widths import open_widths
from targets.errors import BadBundle
from targets.machine.device import this_device
from tests.targets.sshd import running_device
from tests.zoo.elsewhere.boards import altered, board_elsewhere
from tests.zoo.latency.conftest import before_training, budget

ASKED = [budget(p50_ms=0.3, target="board")]


@pytest.fixture
def shop(workshop):
    """A workshop with a target whose board is this machine, which the build can be made to ignore."""
    board = {"runtime": "onnxruntime", "board": this_device().name, "python": sys.executable}
    text = workshop.catalogue.read_text()
    workshop.catalogue.write_text(f"{text}\ntargets:\n  board: {json.dumps(board)}\n")
    return workshop


@pytest.fixture
def device(tmp_path, monkeypatch):
    pytest.importorskip("asyncssh")
    with running_device(tmp_path / "device") as device:
        monkeypatch.setenv("HOME", str(device.here))
        monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
        yield device


@pytest.fixture
def any_budget(monkeypatch):
    """Accept any budget; other tests cover that check."""
    monkeypatch.setattr("pipeline.stages.latency_budget.check_budget", lambda *_: None)


def predicted(build):
    (step,) = (planned for planned in build.plan if planned.step.stage == "latency_budget")
    return json.loads((build.store.folder("latency_budget", step.key) / LATENCY).read_text())


@pytest.mark.slow  # some tens of networks are exported and timed
def test_over_ssh_widths_are_measured_there_and_so_are_those_near_the_budget(shop, device, any_budget):
    lines, build = before_training(shop, ASKED, host=device.address, target="board")
    assert sum(line.startswith("running on ") for line in lines) == 2  # the table, and what is near the budget
    content = predicted(build)
    assert content["near"]
    assert content["device"]["name"] == this_device().name
    assert content["even"]


def test_an_unreachable_device_over_ssh_is_refused_before_exporting(shop):
    told = shop.refused("build", "tiny", "--target", "board", "--host", "ssh://me@127.0.0.1:9", "--set", *ASKED)
    assert "can't be reached" in told
    assert not [*shop.home.glob("store/latency_*/*")]


@pytest.mark.slow  # some tens of networks are exported and timed
def test_a_bundle_is_copied_there_and_its_result_received(shop, any_budget, tmp_path):
    with board_elsewhere():
        told = shop.refused("build", "tiny", "--target", "board", "--set", *ASKED)
        name = "tiny-1.0.0-board-widths.zoo"
        assert f"Copy {name} there and run: python3 {name}" in told
        assert len(told.splitlines()) == 2
        bundle = shop.home / "bundles" / name
        result = tmp_path / "widths.result"
        ran = shop.zoo("compile", str(bundle), "--out", str(result), "--json")
        assert ran.exit_code == 0, ran.output
        figures = json.loads(ran.stdout)
        assert figures["rows"] == []
        assert all(one["p50_ms"] >= one["low_ms"] > 0 for one in figures["widths"])
        assert [row["name"] for row in read_list(result, RESULT_LIST)["rows"]] == read_list(bundle, BUNDLE_LIST)[
            "graphs"
        ]
        taken = shop.zoo("receive", str(result))
        assert (taken.exit_code, taken.output) == (
            0,
            "received: widths of tiny@1.0.0 on board. Run the build again: zoo build tiny --target board --set "
            f"{shlex.quote(*ASKED)}\n",
        )
        _, build = before_training(shop, ASKED, target="board")
        content = predicted(build)
        assert content["near"] == []  # that would need another trip
        assert content["dense"] > content["least"] > 0
        stray = altered(result, tmp_path / "stray.result", RESULT_LIST, bundle="0" * 64)
        assert shop.zoo("receive", str(stray)).exit_code == 0
        told = shop.refused("build", "tiny", "--target", "board", "--set", *ASKED)
        assert "which is not measured yet" in told
        with pytest.raises(BadBundle, match="not a bundle this version can read"):
            open_widths(altered(bundle, tmp_path / "bad.zoo", BUNDLE_LIST, calls=0), tmp_path / "bad")


@pytest.fixture
def result(tmp_path):
    """A result of widths without figures."""
    path, about = tmp_path / "x.result", {"kind": "widths", "release": "tiny@1.0.0", "target": "board"}
    write_archive(path, RESULT_LIST, about, {})
    return path


def test_an_unrequested_result_is_refused(shop, result):
    assert "tiny-1.0.0-board-widths.zoo, which was not built here" in shop.refused("receive", str(result))


def test_a_result_is_taken_in_by_the_command_that_asked_for_it(shop, result):
    bundle = shop.home / "bundles/tiny-1.0.0-board-widths.zoo"
    bundle.parent.mkdir(parents=True)
    bundle.touch()
    assert json.loads(shop.zoo("receive", str(result), "--json").stdout)["command"] == "zoo build tiny"
    command = "zoo build tiny --target board --from big@1.0.0"
    bundle.with_suffix(".command").write_text(f"{command}\n")
    assert json.loads(shop.zoo("receive", str(result), "--json").stdout)["command"] == command
    assert shop.zoo("receive", str(result)).stdout.endswith(f"Run the build again: {command}\n")
