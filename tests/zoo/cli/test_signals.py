"""Signals that end a process: nothing half-written is left."""

import os
import signal
import subprocess
import sys
from threading import Event, Thread

import pytest

from pipeline.progress import Silent
from targets.signals import SIGNALS, ending_as_by_ctrl_c
from tests.zoo.registry.conftest import Quiet
from tests.zoo.registry.samples import put_release
from zoo.home import Home
from zoo.registry.places.folder import Folder
from zoo.registry.publish import publish


@pytest.fixture
def stalling(tmp_path, serve):
    """The URL of a registry whose graph never arrives, and whether it was asked for."""
    release = put_release(Home(tmp_path / "publisher"))
    publish(release, Folder(tmp_path / "registry"), None, Silent())
    (digest,) = (one.sha256 for one in release.manifest.artifacts if one.path == "graph/model.onnx")
    asked, end = Event(), Event()

    class Stalling(Quiet):
        def do_GET(self):
            if digest in self.path:
                asked.set()
                end.wait(60)
            super().do_GET()

    yield serve(tmp_path / "registry", Stalling), asked
    end.set()


@pytest.mark.parametrize(
    ("number", "times"), [(signal.SIGTERM, 2), pytest.param(signal.SIGHUP, 1, marks=pytest.mark.slow)]
)
def test_a_command_that_is_ended_leaves_nothing_and_an_older_site_stays(stalling, tmp_path, number, times):
    url, asked = stalling
    out = tmp_path / "sites/site"
    out.mkdir(parents=True)
    (out / "data.json").write_text('{"format": "zoo site"}')
    command = [sys.executable, "-m", "zoo", "site", str(out), "--registry", url]
    environment = {**os.environ, "ZOO_HOME": str(tmp_path / "home"), "ZOO_CACHE": str(tmp_path / "cache")}
    running = subprocess.Popen(command, env=environment, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    assert asked.wait(60)
    (fresh,) = (one for one in out.parent.iterdir() if one != out)
    assert (fresh / "index.html").is_file()  # it is half-written
    for _ in range(times):  # as `timeout` does
        running.send_signal(number)
    assert running.communicate(timeout=20)[1].splitlines()[-1] == "Interrupted."
    assert running.returncode == 130
    assert [*out.parent.iterdir()] == [out]
    assert [one.name for one in out.iterdir()] == ["data.json"]


@pytest.mark.parametrize("number", SIGNALS)
def test_the_caller_has_its_signals_back(number):
    """In a process of its own, which it would end if it did not work."""
    script = (
        "import os, signal, sys, time\n"
        "from targets.signals import ending_as_by_ctrl_c\n"
        "number = int(sys.argv[1])\n"
        "try:\n"
        "    with ending_as_by_ctrl_c():\n"
        "        os.kill(os.getpid(), number)\n"
        "        time.sleep(5)\n"
        "except KeyboardInterrupt:\n"
        "    print(signal.getsignal(number) is signal.SIG_DFL)\n"
    )
    environment = {name: value for name, value in os.environ.items() if name != "LOCAL_RANK"}
    command = [sys.executable, "-c", script, str(int(number))]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "True\n", "")


def test_what_somebody_else_decides_stays(monkeypatch):
    """As nohup ignores SIGHUP; in a thread; and in one of the processes that torch's launcher started."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with ending_as_by_ctrl_c():
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
    seen = []

    def look():
        with ending_as_by_ctrl_c():
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = Thread(target=look)
    thread.start()
    thread.join()
    monkeypatch.setenv("LOCAL_RANK", "0")
    look()
    assert seen == [signal.SIG_DFL, signal.SIG_DFL]


def test_a_fork_ends_as_by_itself():
    script = (
        "import os, signal, time\n"
        "from targets.signals import ending_as_by_ctrl_c\n"
        "ready, tell = os.pipe()\n"
        "with ending_as_by_ctrl_c():\n"
        "    child = os.fork()\n"
        "    if not child:\n"
        "        os.write(tell, b'.')  # a signal that comes during the fork is lost\n"
        "        for _ in range(200): time.sleep(0.1)\n"
        "        os._exit(1)\n"
        "    os.read(ready, 1)\n"
        "    os.kill(child, signal.SIGTERM)\n"
        "    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
    )
    environment = {name: value for name, value in os.environ.items() if name != "LOCAL_RANK"}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.stdout, done.stderr) == (f"{-signal.SIGTERM}\n", "")
