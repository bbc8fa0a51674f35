"""Finds, starts and ends a headless Chromium or Chrome that reaches the loopback interface only."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from tempfile import gettempdir, mkdtemp

from targets.errors import Unusable, first_line

VARIABLE = "ZOO_CHROMIUM"
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "microsoft-edge")
MEND = f"Run: apt install chromium; or set {VARIABLE} to the program of a Chromium or Chrome."
PREFIX = "zoo-browser-"  # of profiles, followed by the id of the process that they belong to
SOCKET = "org.chromium.Chromium.123456/SingletonSocket"  # which Chromium makes in its temporary folder
LONGEST = 107 if sys.platform == "linux" else 103  # bytes of a socket's path
FLAGS = (
    "--headless",
    "--no-first-run",
    "--no-default-browser-check",
    # no requests of its own, and none that leave the machine: no name is resolved, and the proxy does not exist
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-domain-reliability",
    "--disable-extensions",
    "--disable-sync",
    "--no-pings",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--proxy-server=127.0.0.1:9",
    # nothing is written outside of the profile
    "--disable-breakpad",
    "--password-store=basic",
    # the page computes at full speed, though nobody sees it
    "--disable-background-timer-throttling",
    "--disable-backgrounding-occluded-windows",
    "--disable-renderer-backgrounding",
    "--disable-gpu",
    "--disable-dev-shm-usage",  # containers have little of it
)


def find() -> Path:
    """The browser's program: `ZOO_CHROMIUM`, or the first of `NAMES` in PATH.

    Raises:
        Unusable: there is none.
    """
    if named := os.environ.get(VARIABLE):
        found = shutil.which(named)
        if found is None:
            raise Unusable(f"{VARIABLE} is {named[:80]!r}, which is not a program", MEND)
        return Path(found)
    for name in NAMES:
        if found := shutil.which(name):
            return Path(found)
    raise Unusable("there is no Chromium and no Chrome here", MEND)


def _room() -> str:
    """Where profiles are: the temporary folder, or /tmp where that one's path is too long for Chromium's socket."""
    own = f"{gettempdir()}/{PREFIX}{os.getpid()}-12345678/{SOCKET}"
    fits = len(os.fsencode(own)) <= LONGEST
    return gettempdir() if fits or not os.access("/tmp", os.W_OK) else "/tmp"


def _remove_abandoned() -> None:
    """Remove profiles of processes that were killed, and so could not."""
    for folder in (one for place in {gettempdir(), _room()} for one in Path(place).glob(f"{PREFIX}*-*")):
        owner = folder.name.removeprefix(PREFIX).partition("-")[0]
        if owner.isdecimal() and not Path("/proc", owner).exists() and Path("/proc/self").exists():
            shutil.rmtree(folder, ignore_errors=True)


class Chromium:
    """A browser with one page and an empty profile, which is removed at the end.

    Raises:
        Unusable: it can't be started.
    """

    def __init__(self, program: Path, url: str) -> None:
        self.program = program
        _remove_abandoned()
        self.folder = Path(mkdtemp(prefix=f"{PREFIX}{os.getpid()}-", dir=_room()))
        self._said = self.folder / "stderr"
        # Chromium refuses to sandbox itself as root, as in most containers. It opens no page but ours.
        unconfined = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
        home = {"HOME": str(self.folder), "TMPDIR": str(self.folder)}
        try:
            with self._said.open("wb") as stderr:
                self.process = subprocess.Popen(
                    [program, *FLAGS, *unconfined, f"--user-data-dir={self.folder}/profile", url],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=stderr,
                    env={**os.environ, **home},
                    start_new_session=True,
                )
        except OSError as error:
            shutil.rmtree(self.folder, ignore_errors=True)
            raise Unusable(f"{program} does not start: {first_line(error)}", MEND) from None

    @property
    def running(self) -> bool:
        """Whether its process has not ended."""
        return self.process.poll() is None

    @property
    def last_words(self) -> str:
        """Why it ended, in a line: its fatal error, otherwise its last line, otherwise its exit status."""
        lines = []
        with suppress(OSError):
            lines = self._said.read_text("utf-8", "replace").strip().splitlines()
        fatal = [line.partition("FATAL:")[2] for line in lines if "FATAL:" in line]
        told = [*lines[-1:], *fatal[:1]]
        return first_line(Exception(told[-1])) if told else f"it ended with status {self.process.returncode}"

    def close(self) -> None:
        """End all of its processes and remove its profile."""
        with suppress(OSError):
            os.killpg(self.process.pid, signal.SIGKILL)
        with suppress(subprocess.SubprocessError):
            self.process.wait(5)
        shutil.rmtree(self.folder, ignore_errors=True)
