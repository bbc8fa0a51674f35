"""Ranges of versions, and the table of boards and JetPacks."""

from itertools import combinations
from pathlib import Path

import pytest

from targets.contract import make_target
from targets.errors import BadOption, ForeignEngine, Unusable
from targets.nvidia.engine import Place, write_engine
from targets.nvidia.jetpacks import (
    AGX_ORIN,
    AGX_THOR,
    ORIN_NANO,
    ORIN_NX,
    STACKS,
    board_of,
    installed_l4t,
    needs_words,
    same_board,
    stack_with,
    stacks_of,
    stacks_with,
)  # fmt: skip
from targets.nvidia.ranges import VersionRange
from targets.nvidia.tensorrt import TensorRt
from targets.settings import TargetSettings
from tests.targets.boards import jetson_here
from tests.targets.refusal import refusal

NANO = "NVIDIA Jetson Orin Nano Developer Kit Super"


@pytest.mark.parametrize(
    ("text", "inside", "outside"),
    [
        (">=10.3,<10.4", ["10.3", "10.3.0", "10.3.0.26", "10.3.5.post1"], ["10.2.9", "10.4", "10.4.0", "10.30", "11"]),
        (">=11.4.1,<12", ["11.4.1", "11.4.1.5", "11.10"], ["11.4", "11.4.0.106", "12.0"]),
        (">=10.3", ["10.3", "99"], ["10.2"]),
        ("<12", ["1", "11.99"], ["12", "12.0.0"]),
        (" >= 10.3 , < 10.4 ", ["10.3.1"], ["10.4"]),
        ("", ["0.1", "99"], []),
    ],
)
def test_a_range_holds_its_versions(text, inside, outside):
    versions = VersionRange.parse(text)
    assert [version for version in inside if version not in versions] == []
    assert [version for version in outside if version in versions] == []
    assert VersionRange.parse(str(versions)) == versions


@pytest.mark.parametrize(
    "text",
    ["10.3", "==10.3", ">10.3", ">=10.3,>=10.4", ">=10.4,<10.3", ">=10.3,<10.3.0", ">=a", "~=10.3", ">=10.3;<10.4"],
)
def test_a_range_that_is_none_is_refused_where_the_target_is_made(text):
    settings = TargetSettings("tensorrt", "GPU", options={"versions": text})
    message = refusal(make_target, settings, of=BadOption)
    assert message.startswith("options of a tensorrt target: versions: ")
    assert repr(text) in message


def test_ranges_that_overlap_or_contain():
    wide, narrow, other = (VersionRange.parse(text) for text in (">=10,<12", ">=10.3,<10.4", ">=10.4,<11"))
    assert wide.overlaps(narrow)
    assert narrow.overlaps(wide)
    assert not narrow.overlaps(other)
    assert wide.covers(narrow)
    assert not narrow.covers(wide)
    assert VersionRange().covers(wide)
    assert not wide.covers(VersionRange())


def test_the_table_tells_the_jetpacks_of_a_board_apart():
    """By TensorRT, since L4T is the same in 7.2 and 7.2.2."""
    for one, other in combinations(STACKS, 2):
        ranges = [VersionRange.parse(stack.tensorrt) for stack in (one, other)]
        assert one.board != other.board or not ranges[0].overlaps(ranges[1]), (one, other)
    assert len({stack.target for stack in STACKS}) == len(STACKS)
    assert {stack.board for stack in STACKS} == {ORIN_NANO, ORIN_NX, AGX_ORIN, AGX_THOR}


def test_the_table_is_what_jetpacks_bring():
    """NVIDIA's pages, as of November 2026; `targets.nvidia.jetpacks` names them."""
    found = {(stack.board, stack.jetpack): stack for stack in STACKS}
    assert (found[ORIN_NANO, "6.1 to 6.2"].tensorrt, found[ORIN_NANO, "6.1 to 6.2"].python) == (">=10.3,<10.4", "3.10")
    for board in (ORIN_NANO, ORIN_NX, AGX_ORIN, AGX_THOR):
        row = found[board, "7.2"]
        assert (row.tensorrt, row.python, row.cuda, row.l4t) == (">=10.16,<10.17", "3.12", "13.2", ">=39.2,<40")
    assert {board for board, jetpack in found if jetpack == "7.2.2 or later"} == {AGX_ORIN, AGX_THOR}
    assert [stack.target for stack in STACKS if stack.no_dla is None] == ["jetson-orin-agx-jp722"]
    for stack in STACKS:
        assert stack.bindings.startswith(f"cuda-bindings>={'12.8' if stack.cuda.startswith('12') else '13'},")
        if stack.has_wheel:
            assert VersionRange.parse(stack.tensorrt).covers(VersionRange.parse(stack.wheel.removeprefix("tensorrt")))


@pytest.mark.parametrize(
    ("name", "board"),
    [
        (NANO, ORIN_NANO),
        ("NVIDIA Jetson Orin NX Engineering Reference Developer Kit", ORIN_NX),
        ("NVIDIA Jetson AGX Orin Developer Kit", AGX_ORIN),
        ("NVIDIA Jetson AGX Thor Developer Kit", AGX_THOR),
        ("NVIDIA Jetson AGX Xavier", None),
        ("AMD EPYC", None),
    ],
)
def test_a_machines_name_says_its_board(name, board):
    assert board_of(name) == board
    assert {stack.board for stack in STACKS if same_board(name, stack)} == {board} - {None}


@pytest.mark.parametrize(
    ("text", "l4t"),
    [
        ("# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64\n", "36.4.3"),
        ("# R39 (release), REVISION: 2.0, GCID: 1\n", "39.2.0"),
        ("# R38 (release), REVISION: 2., GCID: 1\n", "38.2"),
        ("something else\n", None),
        ("", None),
    ],
)
def test_l4t_is_read_from_the_machine(text, l4t, tmp_path, monkeypatch):
    monkeypatch.setattr("targets.nvidia.jetpacks.TEGRA", tmp_path / "release")
    assert installed_l4t() is None
    (tmp_path / "release").write_text(text)
    assert installed_l4t() == l4t


def test_rows_are_found_by_l4t_and_by_tensorrt():
    assert [stack.target for stack in stacks_with(NANO, "36.4.3")] == ["jetson-orin-nano"]
    both = ["jetson-orin-agx-jp72", "jetson-orin-agx-jp722"]
    assert [stack.target for stack in stacks_with("NVIDIA Jetson AGX Orin", "39.2.0")] == both
    assert stacks_with(NANO, "35.4.1") == stacks_with("AMD EPYC", "36.4") == []
    assert stack_with(NANO, "10.16.2.10").target == "jetson-orin-nano-jp72"
    assert stack_with(NANO, "11.4.1") is stack_with("AMD EPYC", "10.3") is None
    assert len(stacks_of(None, VersionRange.parse(">=10.16,<10.17"))) == 4


def test_what_a_device_needs_is_told_in_words():
    assert needs_words(ORIN_NANO, ">=10.3,<10.4") == (
        "a Jetson Orin Nano with JetPack 6.1 to 6.2 (TensorRT >=10.3,<10.4, Python 3.10)"
    )
    assert needs_words(AGX_THOR, ">=10.13,<12") == (
        "a Jetson AGX Thor with JetPack 7.0 to 7.1, or 7.2, or 7.2.2 or later (TensorRT >=10.13,<12, Python 3.12)"
    )
    assert needs_words("Acme X1", ">=10.3") == needs_words(None, ">=10.3") == "TensorRT >=10.3"
    assert needs_words(ORIN_NANO, "") == ""


def a_target(versions, board=ORIN_NANO):
    return TensorRt(TargetSettings("tensorrt", "GPU", board=board, options={"versions": versions}))


def test_a_jetson_with_another_jetpack_is_refused_with_the_target_to_build_for(monkeypatch, tmp_path):
    jetson_here(monkeypatch, tmp_path, NANO, "39.2.0")
    monkeypatch.setattr("targets.carried.version", lambda _: "10.16.2.10")
    target = a_target(">=10.3,<10.4")
    expected = (
        "this target takes TensorRT >=10.3,<10.4 (JetPack 6.1 to 6.2), and the device has 10.16.2.10. "
        "10.16.2.10 belongs to JetPack 7.2: build for --target jetson-orin-nano-jp72."
    )
    for refused in (target.check, target.check_compiler, lambda: target.check_version("10.16.2.10")):
        assert refusal(refused, of=Unusable) == expected
    assert "Install one of these, or change `versions`" in refusal(a_target("<9", "Acme X1").check, of=Unusable)
    target.check_version("10.3.0.26")
    a_target("").check_version("10.16.2.10")


def test_an_engine_of_another_jetpack_is_refused_though_nothing_is_installed(tmp_path):
    write_engine(tmp_path, b"plan", Place("tensorrt", "10.16.2.10"), (87,), (), (1, 1, 8))
    message = refusal(a_target(">=10.3,<10.4").load, tmp_path, of=ForeignEngine)
    assert "built by tensorrt 10.16.2.10, but this target takes >=10.3,<10.4 (JetPack 6.1 to 6.2)" in message


@pytest.mark.parametrize("version", ["", "ten"])
def test_a_side_file_without_a_version_is_damaged(version, tmp_path):
    write_engine(tmp_path, b"plan", Place("tensorrt", version), (87,), (), (1, 1, 8))
    assert "engine.json is damaged" in refusal(a_target(">=10.3,<10.4").load, tmp_path)


@pytest.mark.parametrize(
    ("name", "l4t", "versions", "told"),
    [
        (NANO, "36.4.3", ">=10.3,<10.4", "Run: sudo apt install python3-libnvinfer (a virtual environment needs"),
        ("NVIDIA Jetson AGX Orin", "39.2.0", ">=10.16,<10.17", "Run: sudo apt install python3-libnvinfer (a virtual"),
        (
            "NVIDIA Jetson AGX Orin", "39.2.1", ">=11.4.1,<12",
            "Add NVIDIA's Debian repository of TensorRT 11.4.1 or later (Ubuntu 24.04, ARM SBSA), then run: sudo apt",
        ),
        (
            "NVIDIA Jetson AGX Orin", "39.2.1", "",
            "installed. For JetPack 7.2: Run: sudo apt install python3-libnvinfer. For JetPack 7.2.2 or later: Add "
            "NVIDIA's Debian repository",
        ),
        ("NVIDIA Jetson AGX Xavier", "35.4.1", "", "Run: sudo apt install python3-libnvinfer (a virtual environment"),
    ],
)  # fmt: skip
def test_how_to_install_tensorrt_is_what_the_jetpack_asks_for(name, l4t, versions, told, monkeypatch, tmp_path):
    jetson_here(monkeypatch, tmp_path, name, l4t)
    message = refusal(a_target(versions, board_of(name)).check, of=Unusable)
    assert message.startswith("tensorrt is not installed. ")
    assert told in message


def test_the_table_names_its_sources():
    text = (Path(__file__).parents[2] / "targets" / "nvidia" / "jetpacks.py").read_text()
    sources = text[: text.index('"""', 3)]
    for source in ("NVIDIA TensorRT 11.4.1 documentation", "JetPack archive", "PyPI"):
        assert source in sources
