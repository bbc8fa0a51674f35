"""One run on a device, over any number of connections."""

from __future__ import annotations

import asyncio
import getpass
import logging
import os
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncssh

from targets.bundles.archive import read_list
from targets.bundles.contents import BUNDLE_LIST
from targets.carried import carried_version
from targets.errors import DeviceError, Unusable
from targets.files import sha256
from targets.measuring.quiet import VARIABLE
from targets.ssh.address import Address
from targets.ssh.connect import Lost, connected
from targets.ssh.supervisor import Supervisor, plain, supervise
from targets.ssh.transfer import FileTransfer

if TYPE_CHECKING:
    from targets.ssh import Progress

logger = logging.getLogger("zoo.ssh")

WAITS = (1, 2, 4, 8, 15, 30)  # seconds before a reconnection; a board boots within the last
BUSY_SECONDS = 2  # between checks whether the device is free
FOLLOW_SECONDS = 2.0  # between reads of the program's output; the first ones come sooner
STOP_SECONDS = 20
CheckVersion = Callable[[str], None]


def needed_bytes(about: dict[str, Any], packed: int) -> int:
    """Bytes that a bundle needs on a device: packed and unpacked, and three times the graphs for artifacts, caches and
    the result."""
    sizes: dict[str, int] = {name: entry["size_bytes"] for name, entry in about["files"].items()}
    return packed + sum(sizes.values()) + 3 * sum(size for name, size in sizes.items() if name.startswith("graphs/"))


def unreached(address: Address, lost: Lost) -> DeviceError:
    """The error of a first connection that fails."""
    return DeviceError(f"{address} can't be reached: {lost}.")


class RemoteJob:
    """A bundle, its result, and the progress of the run; outlives connections."""

    def __init__(self, address: Address, python: str, bundle: Path, result: Path, progress: Progress) -> None:
        self.about = read_list(bundle, BUNDLE_LIST)
        self.address, self.python, self.bundle, self.result, self.progress = address, python, bundle, result, progress
        self.sha256 = sha256(bundle)
        self.moved = 0  # bytes transferred so far: shows whether a connection made progress
        self.offset = 0  # of the program's log
        self.last = "it printed nothing"  # last line of its log that was printed
        self.error: list[str] = []
        self.fetched = False
        self.reached = False

    async def run(self) -> None:
        """The whole run, over as many connections as necessary; see `targets.ssh.run_on_device`."""
        failures = 0
        while True:
            before = self.moved
            try:
                async with connected(self.address) as connection:
                    await self._visit(connection)
                return
            except Lost as lost:
                if not self.reached:
                    raise unreached(self.address, lost) from None
                failures = 0 if self.moved > before else failures + 1
                logger.info("lost %s (%s), attempt %d of %d", self.address, lost, failures, len(WAITS))
                if failures == len(WAITS) and self.fetched:
                    self.progress.say(f"{self.address} was lost before the clean-up; a run there after a week does it")
                    return
                if failures == len(WAITS):
                    raise DeviceError(
                        f"the connection to {self.address} is lost: {lost}.\n"
                        "The run continues there; run the same command again to rejoin it."
                    ) from None
                self.progress.say(f"lost the connection to {self.address} ({lost}); retrying in {WAITS[failures]} s")
                await asyncio.sleep(WAITS[failures])

    async def _visit(self, connection: asyncssh.SSHClientConnection) -> None:
        user = f"{getpass.getuser()}@{socket.gethostname()}"
        about = f"{self.about.get('release', self.bundle.name)}, from {user}"
        async with supervise(connection, self.address, self.python, self.about["key"], about) as supervisor:
            self.reached = True
            state = await self._enter(supervisor)
            try:
                await self._work(FileTransfer(self.address, connection, supervisor, self.progress, self._moved), state)
            except DeviceError:
                with suppress(DeviceError, Lost):
                    await supervisor.ask("clean")
                raise
            except (asyncio.CancelledError, KeyboardInterrupt):  # Python 3.10 raises the second one here
                await self._stop(supervisor)
                raise
            await supervisor.ask("clean")

    async def _enter(self, supervisor: Supervisor) -> dict[str, Any]:
        told = None
        while (state := await supervisor.ask("enter"))["busy"]:
            if told != state["busy"]:
                told = state["busy"]
                self.progress.say(f"{self.address} is in use ({plain(told)}); waiting for it")
            await asyncio.sleep(BUSY_SECONDS)
        return dict(state)

    async def _work(self, transfer: FileTransfer, state: dict[str, Any]) -> None:
        if self.fetched:
            return
        ask = transfer.supervisor.ask
        if not state["started"]:
            await self._send(transfer, state)
            await ask("start", os.environ.get(VARIABLE))  # the same wait applies there
            self.progress.say(f"running on {self.address}")
        elif not self.offset:
            self.progress.say(f"resuming the run on {self.address}")
        self._check_exit(await self._follow(transfer.supervisor))
        outcome = await ask("outcome")
        if outcome is None:
            raise DeviceError(f"{self.address}: the program succeeded, but wrote no result. Build the bundle again.")
        self.progress.say(f"fetching {outcome['size'] / 1e6:.1f} MB from {self.address}")
        await transfer.fetch(f"{state['folder']}/result", outcome["size"], outcome["sha256"], self.result)
        self.fetched = True

    async def _send(self, transfer: FileTransfer, state: dict[str, Any]) -> None:
        size, sent = self.bundle.stat().st_size, min(state["sent"], self.bundle.stat().st_size)
        needed = needed_bytes(self.about, size) - sent
        if needed > state["free"]:
            raise DeviceError(
                f"{self.address}: {state['folder']} has {state['free'] / 1e6:,.0f} MB free, but {needed / 1e6:,.0f} MB "
                "are needed. Free some, or set ZOO_CACHE there to a folder on a larger disk."
            )
        if state["whole"]:
            return
        self.progress.say(f"sending {(size - sent) / 1e6:.1f} MB to {self.address}")
        await transfer.send(self.bundle, self.sha256, f"{state['folder']}/bundle.part", sent)

    def _moved(self, size: int) -> None:
        self.moved += size

    async def _follow(self, supervisor: Supervisor) -> int | None:
        """Print the program's output until it ends; return its exit code, or None if it is unknown."""
        wait = 0.05
        while True:
            seen = await supervisor.ask("follow", self.offset)
            for line in map(plain, seen["text"].split("\n")):
                if line:
                    self._hear(line)
            self.moved += len(seen["text"])
            self.offset = seen["offset"]
            if seen["running"]:
                await asyncio.sleep(wait)
                wait = min(1.5 * wait, FOLLOW_SECONDS)
            elif not seen["more"]:
                code: int | None = seen["code"]
                return code

    def _hear(self, line: str) -> None:
        """Print a line, unless it belongs to an error that will be raised."""
        if self.error or line.startswith("Error: "):
            self.error.append(line)
        else:
            self.last = line
            self.progress.say(line)

    def _check_exit(self, code: int | None) -> None:
        if code is None:
            why = (
                "the program ended without a message: the device was restarted, or ran out of memory or disk. "
                "Run the same command again to start anew."
            )
        elif code < 0:
            why = f"the program was killed (signal {-code}), perhaps for lack of memory; see dmesg there."
        elif code:
            why = "\n".join(self.error).removeprefix("Error: ") or f"the program failed: {self.last}"
        else:
            for line in self.error:  # not errors, since it succeeded
                self.progress.say(line)
            return
        raise DeviceError(f"{self.address}: {why}")

    async def _stop(self, supervisor: Supervisor) -> None:
        try:
            await asyncio.wait_for(supervisor.ask("stop"), STOP_SECONDS)
        except (DeviceError, Lost, asyncio.TimeoutError):
            self.progress.say(f"{self.address} could not be stopped; run the same command again to rejoin the run")
        else:
            self.progress.say(f"stopped on {self.address}; the bundle stays there for a week, for the same command")


def run(address: Address, python: str, bundle: Path, result: Path, progress: Progress) -> None:
    """See `targets.ssh.run_on_device`."""
    asyncio.run(RemoteJob(address, python, bundle, result, progress).run())


async def _check(address: Address, python: str, distribution: str, check_version: CheckVersion | None) -> None:
    try:
        async with (
            connected(address) as connection,
            supervise(connection, address, python, "check", "") as supervisor,
        ):
            if carried_version(distribution) is None:
                version = await supervisor.ask("version", distribution)
                if version is None:
                    install = supervisor.install_command(distribution)
                    raise DeviceError(f"{python!r} on {address} has no {distribution}. Run: {install}")
                if check_version:
                    check_version(str(version))
    except Unusable as error:
        raise DeviceError(f"{python!r} on {address}: {error}") from None
    except Lost as lost:
        raise unreached(address, lost) from None


def check(address: Address, python: str, distribution: str, check_version: CheckVersion | None) -> None:
    """See `targets.ssh.check_device`."""
    asyncio.run(_check(address, python, distribution, check_version))
