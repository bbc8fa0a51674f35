"""ONNX Runtime Web in a real headless browser."""

import gc
import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest

from calibration.quantize import write_half
from targets.browser import chromium, page
from targets.contract import Job, ProcessSession, describe_runtime, make_target
from targets.errors import ArtifactFailed, BadOption, Unusable
from targets.machine.sensors import tree_seconds
from targets.measuring.conditions import ROOT
from targets.measuring.turns import warm_up
from targets.settings import TargetSettings
from tests.helpers import assert_embeds_at_any_batch
from tests.targets.browser.conftest import TARGET

SETTINGS = TargetSettings("onnxruntime-web", threads=1)


def children(process):
    """Processes below another one, with their command lines."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(path.read_text().rpartition(")")[2].split()[1])
            found[int(path.parent.name)] = (parent, path.with_name("cmdline").read_text())
        except OSError:
            continue
    below, grown = {process}, True
    while grown:
        more = {one for one, (parent, _) in found.items() if parent in below} - below
        below, grown = below | more, bool(more)
    return {one: found[one][1] for one in below if one in found}


def test_it_embeds_as_torch_does_at_any_batch(session, exported):
    _, images, expected = exported
    assert_embeds_at_any_batch(session, images, expected)


def test_several_networks_at_once_keep_apart_one_of_them_in_fp16(session, exported, tmp_path):
    graph, images, expected = exported
    write_half(graph, tmp_path / "half.onnx")
    (tmp_path / "half").mkdir()
    TARGET.compile(tmp_path / "half.onnx", tmp_path / "half", Job(32, 32, (1, 9)))
    half = TARGET.load(tmp_path / "half")
    assert half.process == session.process
    for _ in range(2):
        assert np.abs(session.embed(images) - expected).max() < 1e-5
        found = half.embed(images)
        assert np.abs(found - expected).max() > 1e-5
        assert (found * expected).sum(1).min() > 0.999


def test_what_runs_is_told_with_the_browsers_version(browser):
    runtime = describe_runtime(TARGET, SETTINGS)
    assert (runtime.name, runtime.version, runtime.device) == ("onnxruntime-web", "1.30.0", "CPU")
    version = subprocess.run([browser, "--version"], capture_output=True, text=True, check=True).stdout.split()[1]
    assert version in runtime.environment
    assert "cross-origin isolated, clock of 5 µs" in runtime.environment
    assert TARGET.check() == f"ONNX Runtime Web 1.30.0 in {runtime.environment}"


def test_a_call_is_timed_in_the_page_without_the_way_there(session, exported, monkeypatch):
    images, server = exported[1][:1], session._page._server
    assert isinstance(session, ProcessSession)
    ask = server.ask

    def slow(*arguments):
        time.sleep(0.3)
        return ask(*arguments)

    session.embed(images)
    monkeypatch.setattr(server, "ask", slow)
    assert warm_up(session, images, 0.5).p50_ms < 200
    assert 0 < session.compute_ms <= session.call_ms


def test_its_cpu_time_is_told_apart_from_other_work(session, exported):
    images, before = np.resize(exported[1], (64, 32, 32, 3)), tree_seconds(ROOT, [session.process])
    computing = 0.0
    while computing < 300:
        session.embed(images)
        computing += session.compute_ms
    assert tree_seconds(ROOT, [session.process]) - before > 0.1


def test_the_browser_ends_with_its_last_network(own):
    session = TARGET.load(own)
    process, folder = session.process, session._page._browser.folder
    assert (folder / "profile").is_dir()
    del session
    gc.collect()
    assert not Path(f"/proc/{process}").exists()
    assert not folder.exists()


def test_it_starts_where_the_temporary_folder_is_too_long_for_its_socket(own, exported, tmp_path, monkeypatch):
    folder = tmp_path / ("long" * 20)
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    session = TARGET.load(own)
    assert len(session.embed(exported[1])) == len(exported[1])
    assert session._page._browser.folder.parent == Path("/tmp")


@pytest.mark.slow
def test_a_page_that_crashes_fails_the_call_and_not_the_next_network(own, exported):
    session, images = TARGET.load(own), exported[1]
    for process, command in children(session.process).items():
        if "--type=renderer" in command:
            os.kill(process, signal.SIGKILL)
    with pytest.raises(ArtifactFailed, match="the browser ended in the middle of a call"):
        session.embed(images)
    assert len(TARGET.load(own).embed(images)) == len(images)


def test_a_damaged_artifact_is_refused(session, tmp_path):
    (tmp_path / "model.onnx").write_bytes(b"nonsense")
    with pytest.raises(ArtifactFailed, match=r"can't load .*model.onnx: .*protobuf"):
        TARGET.load(tmp_path)


def test_images_of_another_size_are_refused_and_the_next_call_works(session, exported):
    with pytest.raises(ArtifactFailed, match="can't run on uint8 1×31×32×3: .*invalid dimensions"):
        session.embed(np.zeros((1, 31, 32, 3), np.uint8))
    assert len(session.embed(exported[1])) == 9


def test_the_page_computes_with_as_many_threads_as_it_is_told(session, artifact):
    two = make_target(TargetSettings("onnxruntime-web", threads=2)).load(artifact)
    assert two.embed(np.zeros((2, 32, 32, 3), np.uint8)).shape == (2, 16)


@pytest.mark.slow
def test_the_browser_ends_when_python_is_killed(artifact):
    code = (
        "import sys, time; from pathlib import Path; from targets.contract import make_target\n"
        "from targets.settings import TargetSettings\n"
        f"session = make_target(TargetSettings('onnxruntime-web', threads=1)).load(Path({str(artifact)!r}))\n"
        "print(session.process, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as python:
        process = int(python.stdout.readline())
        python.kill()
    until = time.monotonic() + 30
    while Path(f"/proc/{process}").exists() and "Z" not in Path(f"/proc/{process}/stat").read_text().split()[2]:
        assert time.monotonic() < until
        time.sleep(0.1)


def test_the_profile_of_a_process_that_was_killed_is_removed(monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with subprocess.Popen(["true"]) as ended:
        pass
    abandoned, used = (tmp_path / f"zoo-browser-{process}-x" for process in (ended.pid, os.getpid()))
    abandoned.mkdir()
    used.mkdir()
    monkeypatch.setenv("ZOO_CHROMIUM", program(tmp_path / "browser", "exit 0"))
    chromium.Chromium(chromium.find(), "http://127.0.0.1:1/").close()
    assert not abandoned.exists()
    assert used.exists()


def test_another_device_or_an_option_is_refused(browser):
    with pytest.raises(Unusable, match="runs on CPU here, not on GPU"):
        make_target(TargetSettings("onnxruntime-web", "GPU")).check()
    with pytest.raises(BadOption, match="no option 'simd'"):
        make_target(TargetSettings("onnxruntime-web", options={"simd": True}))


def test_without_a_browser_the_error_says_how_to_get_one(monkeypatch, tmp_path):
    monkeypatch.delenv("ZOO_CHROMIUM", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(
        Unusable, match="no Chromium and no Chrome here. Run: apt install chromium; or set ZOO_CHROMIUM"
    ):
        TARGET.check()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ZOO_CHROMIUM", "./none")
    with pytest.raises(Unusable, match="ZOO_CHROMIUM is './none', which is not a program"):
        TARGET.check()


def program(path, script):
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("echo noise >&2; echo '[1:FATAL:zygote.cc(1)] No usable sandbox!' >&2; exit 1", "No usable sandbox!"),
        ("echo 'error while loading shared libraries' >&2; exit 127", "error while loading shared libraries"),
        ("exit 3", "it ended with status 3"),
        ("exec sleep 60", "opens no page of this machine within 1 s"),
    ],
    ids=["sandbox", "library", "silent", "stays"],
)  # fmt: skip
def test_a_browser_that_does_not_start_is_unusable_and_leaves_nothing(monkeypatch, tmp_path, script, why):
    monkeypatch.setenv("ZOO_CHROMIUM", program(tmp_path / "browser", script))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setattr(page, "START_SECONDS", 1.0)
    monkeypatch.setattr(page, "_shared", None)
    with pytest.raises(Unusable) as caught:
        TARGET.check()
    assert why in caught.value.why
    assert [path.name for path in tmp_path.iterdir()] == ["browser"]


@pytest.mark.parametrize("user", [0, 1000])
def test_only_as_root_it_runs_without_its_sandbox(monkeypatch, tmp_path, user):
    said = tmp_path / "said"
    monkeypatch.setenv("ZOO_CHROMIUM", program(tmp_path / "browser", f'echo "$@" > {said}'))
    monkeypatch.setattr("os.geteuid", lambda: user)
    started = chromium.Chromium(chromium.find(), "http://127.0.0.1:1/")
    started.process.wait(10)
    started.close()
    assert ("--no-sandbox" in said.read_text()) == (user == 0)


def test_it_connects_to_this_machine_only(monkeypatch, tmp_path, own, exported):
    log = tmp_path / "net.log"
    monkeypatch.setattr(chromium, "FLAGS", (*chromium.FLAGS, f"--log-net-log={log}"))
    session = TARGET.load(own)
    session.embed(exported[1])
    constants, *lines = log.read_text(errors="replace").splitlines()
    del session
    types = json.loads(constants.rstrip(",") + "}")["constants"]["logEventTypes"]
    events = [json.loads(line.rstrip(",")) for line in lines if line.startswith("{") and line.endswith("},")]
    tries = [one["params"] for one in events if one["type"] == types["TCP_CONNECT_ATTEMPT"] and "params" in one]
    assert {one["address"].rpartition(":")[0] for one in tries if "address" in one} == {"127.0.0.1"}
    # It opens a UDP socket to see whether there is IPv6, and sends nothing through it.
    assert not [one for one in events if one["type"] == types["UDP_BYTES_SENT"]]


@pytest.mark.slow
def test_a_bundle_runs_it_from_its_archive_with_numpy_alone(artifact, tmp_path):
    from pipeline.stages.bundle import device_code

    with zipfile.ZipFile(tmp_path / "bundle.zip", "w") as archive:
        for name, path in device_code("onnxruntime-web").items():
            archive.write(path, name)
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "for name in ('zoo', 'pipeline', 'onnxruntime', 'torch', 'PIL'): sys.modules[name] = None\n"
        "from pathlib import Path; import numpy; import targets\n"
        "assert '.zip' in targets.__file__\n"
        "from targets.browser.target import OnnxRuntimeWeb; from targets.settings import TargetSettings\n"
        "target = OnnxRuntimeWeb(TargetSettings('onnxruntime-web', threads=1)); print(target.check())\n"
        "print(target.load(Path(sys.argv[2])).embed(numpy.zeros((3, 32, 32, 3), numpy.uint8)).shape)"
    )
    command = [sys.executable, "-c", code, tmp_path / "bundle.zip", artifact]
    told = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path).stdout
    assert told.startswith("ONNX Runtime Web 1.30.0 in Chrom")
    assert told.endswith("(3, 16)\n")
