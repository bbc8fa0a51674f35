"""Errors on a device are reported in one line and leave no files."""

import re
import signal
import zipfile

import pytest

from targets.bundles.archive import read_list
from targets.bundles.contents import BUNDLE_LIST
from targets.bundles.program import compile_bundle
from targets.errors import BadBundle
from targets.machine.device import this_device
from tests.targets.refusal import refusal
from tests.zoo.elsewhere.boards import altered, board_elsewhere


def test_a_machine_that_is_not_the_board_is_refused(desk, quick, tmp_path):
    settings = {**read_list(quick, BUNDLE_LIST)["settings"], "board": "Jetson Orin Nano"}
    message = desk.refused(str(altered(quick, tmp_path / "jetson.zoo", BUNDLE_LIST, settings=settings)))
    assert message == (
        f"this bundle is for a Jetson Orin Nano, but this machine is another one ({this_device().name}). Run it there, "
        "or build for this machine with another --target."
    )


def test_a_missing_runtime_is_named_with_its_install_command(desk, shop):
    """A bundle for TensorRT, of a build without it. It says which versions it runs on."""
    with board_elsewhere():
        told = shop.build("tiny", "--target", "engine", "--precision", "fp32", "--set", "measure.dense=[]").output
    assert "engine runs on TensorRT >=10.3,<10.4\nengine is pending. Copy " in told
    _, _, usage = desk.run(str(shop.home / "bundles" / "tiny-1.0.0-engine.zoo"), "--help")
    assert "\nRuns on TensorRT >=10.3,<10.4.\nCompiles and measures on this machine" in usage
    message = desk.refused(str(shop.home / "bundles" / "tiny-1.0.0-engine.zoo"))
    assert message == "tensorrt is not installed. Run: pip install tensorrt"


def test_a_damaged_bundle_is_refused(desk, quick, tmp_path):
    """Damaged where Python still finds the program."""
    content = bytearray(quick.read_bytes())
    with zipfile.ZipFile(quick) as archive:
        at = archive.getinfo("graphs/student-fp32.onnx").header_offset
    content[at + 5000] ^= 255
    (tmp_path / "damaged.zoo").write_bytes(content)
    assert "damaged.zoo is damaged" in desk.refused(str(tmp_path / "damaged.zoo"))


@pytest.mark.parametrize("changed", [{"settings": ["x"]}, {"settings": {}}, {"variants": [{"a": 1}]}, {"entry": 7},
                                     {"entry": "nothing:here"}, {"batches": 3}])  # fmt: skip
def test_an_inconsistent_list_is_refused(quick, tmp_path, monkeypatch, changed):
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    path = altered(quick, tmp_path / "other.zoo", BUNDLE_LIST, **changed)
    refusal(compile_bundle, path, tmp_path / "result", lambda _: None, of=BadBundle)
    assert not (tmp_path / "result").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_end_while_measuring_is_reported_and_leaves_nothing(desk, quick, tmp_path, number):
    process = desk.start(str(altered(quick, tmp_path / "long.zoo", BUNDLE_LIST, calls=10**7, max_seconds=90)))
    while not process.stdout.readline().startswith("measuring"):
        assert process.poll() is None
    process.send_signal(number)
    _, errors = process.communicate(timeout=30)
    assert process.returncode != 0
    assert errors.strip() == "Interrupted; nothing was written. Run the command again."
    assert not desk.left()
    assert not [*(desk.root / "cache").iterdir()]


@pytest.mark.parametrize("while_writing", ["bundle", "result"])
def test_a_full_disk_is_reported_and_leaves_nothing(desk, quick, while_writing):
    """Full for files beyond a size: the largest in the bundle, or only the result with all of them."""
    largest = max(one["size_bytes"] for one in read_list(quick, BUNDLE_LIST)["files"].values())
    message = desk.refused(str(quick), limit=largest // 2 if while_writing == "bundle" else largest + 4096)
    assert message.startswith("File too large")
    assert "Free some space" in message
    assert ": ." not in message
    assert not [*(desk.root / "cache").iterdir()]


def test_an_unwritable_result_is_reported_before_compiling(desk, quick):
    code, output, errors = desk.run(str(quick), "nowhere/result")
    assert code == 1
    assert re.match("Error: No such file or directory: .*nowhere", errors)
    assert "compiling" not in output


@pytest.mark.parametrize("words", [("--help",), ("one", "two")])
def test_wrong_arguments_print_the_usage(desk, quick, words):
    _, output, errors = desk.run(str(quick), *words)
    assert "Traceback" not in errors
    assert "python3" in output + errors
    assert not desk.left()


@pytest.mark.parametrize("out", ["nowhere/result", "/proc/result"])
def test_zoo_compile_reports_an_unwritable_result(spare, quick, out, tmp_path, monkeypatch):
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    assert "No such file or directory" in spare.refused("compile", str(quick), "--out", out)


def test_zoo_compile_of_a_file_that_is_not_a_bundle(spare, result, tmp_path, monkeypatch):
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    (tmp_path / "text.zoo").write_text("no bundle")
    for path, said in ((tmp_path / "none.zoo", "No such file"), (tmp_path / "text.zoo", "not an archive"),
                       (result, "not an archive")):  # fmt: skip
        assert said in spare.refused("compile", str(path))
