"""The device's side of a run. Its source is sent there: standard library only, and nothing of this project.

One process per connection reads one request per line from its input and answers with one line. While it lives it holds
the device's turn, a lock that the kernel releases with it. The program itself runs in a session of its own, which no
connection can terminate, and holds a second lock; whoever wants the device needs both.

    CACHE/ssh/turn, running    the locks, each with a description of its holder
    CACHE/ssh/KEY/bundle       the bundle; `bundle.part` until its sha256 is verified
    CACHE/ssh/KEY/log          output of the program
    CACHE/ssh/KEY/pid, exit    its process, and its exit status
    CACHE/ssh/KEY/result       its result
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import IO, Any

PATIENCE = 60  # seconds without a request after which the host counts as lost
KEPT = 7 * 86400  # seconds that the folder of an interrupted run is kept
LOG_CHUNK = 2**16
GRACE = 8.0  # seconds that the program has to terminate


def cache_folder() -> Path:
    """Equal to `targets.machine.device.cache_folder`."""
    if named := os.environ.get("ZOO_CACHE"):
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "zoo"


def _lock(path: Path) -> IO[str] | None:
    file = path.open("a+", encoding="utf-8")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    return file


def _describe(lock: IO[str], words: dict[str, Any]) -> None:
    lock.truncate(0)
    lock.write(json.dumps(words))
    lock.flush()


def _described(turn: Path) -> str:
    """Name of the holder of the turn, who describes itself right after it took it."""
    for _ in range(20):
        if about := _holder(turn).get("about"):
            return str(about)
        time.sleep(0.05)
    return "another run"


def _holder(path: Path) -> dict[str, Any]:
    try:
        words: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:  # it is just being written
        return {}
    return words


class RemoteJob:
    """Requests of the host; each method returns what JSON can represent."""

    def __init__(self, key: str, about: str) -> None:
        self.key, self.about = key, about
        self.cache = cache_folder().absolute()
        self.root = self.cache / "ssh"
        self.folder = self.root / key[:16]
        self.turn: IO[str] | None = None

    def hello(self) -> dict[str, Any]:
        """Whether Python has the packages that the program needs."""
        return {"numpy": importlib.util.find_spec("numpy") is not None}

    def version(self, distribution: str) -> str | None:
        """Version of a package; None if it is not installed."""
        try:
            return importlib.metadata.version(distribution)
        except importlib.metadata.PackageNotFoundError:
            return None

    def alive(self) -> None:
        """Do nothing: the request itself shows that the host is alive."""

    def enter(self) -> dict[str, Any]:
        """Take the device's turn; `busy` names the holder if it is taken."""
        self.root.mkdir(parents=True, exist_ok=True)
        turn, running = self.root / "turn", self.root / "running"
        if self.turn is None:
            lock = _lock(turn)
            if lock is None:
                return {"busy": _described(turn)}
            if self.is_running() and _holder(running).get("key", self.key) != self.key:
                lock.close()
                return {"busy": _holder(running).get("about", "another run")}
            self.turn = lock
            _describe(lock, {"about": self.about})
        for old in self.root.iterdir():
            if old.is_dir() and old != self.folder and old.stat().st_mtime < time.time() - KEPT:
                shutil.rmtree(old, ignore_errors=True)
        self.folder.mkdir(mode=0o700, exist_ok=True)
        return {"busy": None, **self.state()}

    def state(self) -> dict[str, Any]:
        """Progress of the run: bytes received, whether they are verified, whether the program was started."""
        whole, part = self.folder / "bundle", self.folder / "bundle.part"
        here = whole if whole.exists() else part
        return {
            "folder": str(self.folder),
            "sent": here.stat().st_size if here.exists() else 0,
            "whole": whole.exists(),
            "started": (self.folder / "log").exists(),
            "free": self.free(),
        }

    def free(self) -> int:
        """Bytes of free space here."""
        return shutil.disk_usage(self.folder).free

    def verify(self, sha256: str) -> bool:
        """Verify what was sent; remove it if it is damaged."""
        part = self.folder / "bundle.part"
        if _digest(part) != sha256:
            part.unlink()
            return False
        part.rename(self.folder / "bundle")
        return True

    def is_running(self) -> bool:
        """Whether any program runs."""
        lock = _lock(self.root / "running")
        if lock is None:
            return True
        lock.close()
        return False

    def start(self, quiet: str | None = None) -> None:
        """Start the program, unless it was started before.

        Args:
            quiet: how long it may wait for an idle machine: the host's `ZOO_QUIET_SECONDS`.
        """
        log = self.folder / "log"
        lock = None if log.exists() else _lock(self.root / "running")
        if lock is None:
            return
        _describe(lock, {"key": self.key, "about": self.about})
        with log.open("wb") as out:
            if os.fork() == 0:
                self._supervise(lock, out, {} if quiet is None else {"ZOO_QUIET_SECONDS": quiet})
        lock.close()

    def _supervise(self, lock: IO[str], out: IO[bytes], more: dict[str, str]) -> None:
        """In a child process: run the program and record its exit. The lock is released when both are gone."""
        code = 1
        try:
            os.setsid()
            if self.turn:
                self.turn.close()
            nothing = os.open(os.devnull, os.O_RDWR)
            os.dup2(nothing, 0)
            os.dup2(out.fileno(), 1)
            os.dup2(out.fileno(), 2)
            program = subprocess.Popen(
                [sys.executable, "bundle", "result"],
                cwd=self.folder,
                env={**os.environ, "ZOO_CACHE": str(self.cache), "PYTHONUNBUFFERED": "1", **more},
                pass_fds=[lock.fileno()],
                start_new_session=True,
            )
            (self.folder / "pid").write_text(str(program.pid), encoding="utf-8")
            code = program.wait()
        except BaseException as error:  # noqa: BLE001 - there is no caller
            os.write(1, f"Error: the program did not start: {error}\n".encode())
        try:
            fresh = self.folder / "exit.new"
            fresh.write_text(str(code), encoding="utf-8")
            fresh.rename(self.folder / "exit")
        finally:
            os._exit(0)

    def follow(self, offset: int) -> dict[str, Any]:
        """Output of the program after `offset` bytes, in whole lines while it runs; and its exit status."""
        running = self.is_running()  # first: once it is false, the output read afterwards is complete
        end = self.folder / "exit"
        code = int(end.read_text(encoding="utf-8")) if end.exists() else None
        running = running and code is None
        with (self.folder / "log").open("rb") as log:
            size = log.seek(0, os.SEEK_END)
            log.seek(offset if offset <= size else 0)
            text = log.read(LOG_CHUNK)
        if running or len(text) == LOG_CHUNK:
            whole = text[: text.rfind(b"\n") + 1]
            text = whole or (text if len(text) == LOG_CHUNK else b"")
        after = (offset if offset <= size else 0) + len(text)
        return {
            "text": text.decode(errors="replace"),
            "offset": after,
            "running": running,
            "more": not running and after < size,
            "code": code,
        }

    def outcome(self) -> dict[str, Any] | None:
        """Size and sha256 of the result, if there is one."""
        result = self.folder / "result"
        return {"size": result.stat().st_size, "sha256": _digest(result)} if result.exists() else None

    def stop(self) -> None:
        """Stop the program if it runs, and forget that it was started; the bundle stays."""
        pid = self._pid()
        for sign in (signal.SIGINT, signal.SIGKILL):
            waited = time.monotonic() + GRACE
            if pid and self.is_running():
                os.killpg(pid, sign)
                while self.is_running() and time.monotonic() < waited:
                    time.sleep(0.05)
        self._forget_scratch()
        for name in ("log", "pid", "exit", "result"):
            (self.folder / name).unlink(missing_ok=True)

    def clean(self) -> None:
        """Remove all files of this run."""
        self._forget_scratch()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _pid(self) -> int | None:
        pid = self.folder / "pid"
        return int(pid.read_text(encoding="utf-8")) if pid.exists() else None

    def _forget_scratch(self) -> None:
        """Remove what a killed program could not (see `targets.bundles.program.compile_bundle`)."""
        if pid := self._pid():
            for scratch in self.cache.glob(f"bundle-{pid}-*"):
                shutil.rmtree(scratch, ignore_errors=True)


def _digest(path: Path) -> str:
    found = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(2**20):
            found.update(block)
    return found.hexdigest()


def serve(key: str, about: str, mark: str) -> None:
    """Answer until the host is gone; an answer begins with `mark`."""
    job = RemoteJob(key, about)
    while True:
        signal.alarm(PATIENCE)
        line = sys.stdin.readline()
        signal.alarm(0)
        if not line:
            return
        number, name, *arguments = json.loads(line)
        answer: dict[str, Any] = {"number": number}
        try:
            answer["answer"] = getattr(job, name)(*arguments)
        except OSError as error:
            answer["error"] = f"{error.strerror or error}: {error.filename or job.folder}"
        print(mark + json.dumps(answer), flush=True)
