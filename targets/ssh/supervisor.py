"""The process on the device that answers: `device_side`, whose source is sent over the connection."""

from __future__ import annotations

import asyncio
import json
import logging
import shlex
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import asyncssh

from targets.errors import DeviceError
from targets.ssh.address import Address
from targets.ssh.connect import CUT, Lost, reason

logger = logging.getLogger("zoo.ssh")

SOURCE = Path(__file__).with_name("device_side.py")
MARK = "zoo-answer:"  # before an answer, since login scripts may print other lines
BEAT_SECONDS = 15  # between keep-alive requests, well below the device's patience
# This much must be valid in any Python, and in any shell in quotes: no backslash, no exclamation mark.
START = (
    'import sys; sys.version_info < (3, 10) and sys.exit("it is Python %d.%d" % sys.version_info[:2]); '
    "sys.path = [path for path in sys.path if path]; exec(sys.stdin.buffer.read({size}))"  # not modules of the home
)


def shell_word(path: str) -> str:
    """A path quoted as one word for any shell; `~/` keeps its meaning."""
    return f"~/{shlex.quote(path[2:])}" if path.startswith("~/") else shlex.quote(path)


def plain(line: str) -> str:
    """A line as a terminal would show it: after carriage returns, and without control characters."""
    return "".join(letter for letter in line.rstrip("\r").rsplit("\r")[-1] if letter.isprintable())


class Supervisor:
    """Asks one question at a time."""

    def __init__(self, address: Address, python: str, process: asyncssh.SSHClientProcess[str]) -> None:
        self._address, self._python, self._process = address, python, process
        self._turn = asyncio.Lock()
        self._number = 0

    async def ask(self, name: str, *arguments: object) -> Any:
        """Call a method of `device_side.RemoteJob`.

        Raises:
            DeviceError: the device could not do it.
            Lost: the connection is gone.
        """
        async with self._turn:
            self._number += 1
            if name != "alive":
                logger.debug("%s: %s%s", self._address, name, arguments)
            try:
                self._process.stdin.write(json.dumps([self._number, name, *arguments]) + "\n")
                answer = await self._answer()
            except CUT as error:
                raise Lost(reason(error)) from None
        if failed := answer.get("error"):
            raise DeviceError(
                f"{self._address}: {plain(failed)}. Free some space there, or check the folder's owner; "
                "or set ZOO_CACHE there."
            )
        return answer["answer"]

    def install_command(self, distribution: str) -> str:
        """The command that installs a package there."""
        command = f"{shell_word(self._python)} -m pip install {distribution}"
        return f"{self._address.command('ssh')} {shlex.quote(command)}"

    async def _answer(self) -> dict[str, Any]:
        while line := await self._process.stdout.readline():
            _, mark, text = line.partition(MARK)
            answer: dict[str, Any] = json.loads(text) if mark else {}
            if answer.get("number") == self._number:  # otherwise it answers an earlier question that was given up
                return answer
        raise await self._ended()

    async def _ended(self) -> Lost | DeviceError:
        await self._process.wait_closed()
        status, said = self._process.exit_status, await self._process.stderr.read()
        last = plain((said.strip().splitlines() or ["no output"])[-1])
        if status is None:
            return Lost("connection lost")
        if self._number > 1:
            return Lost(f"the process there ended: {last}")
        where = "Set `python:` of the target in zoo.yaml, such as ~/venv/bin/python."
        if status in {126, 127}:
            return DeviceError(f"{self._address} has no {self._python!r} on its PATH. {where}")
        if "it is Python" in last:
            return DeviceError(f"{self._python!r} on {self._address} is too old: {last}, but 3.10 is required. {where}")
        return DeviceError(f"{self._python!r} does not start on {self._address}: {last}. {where}")


async def _beat(supervisor: Supervisor) -> None:
    while True:
        await asyncio.sleep(BEAT_SECONDS)
        await supervisor.ask("alive")


@asynccontextmanager
async def supervise(
    connection: asyncssh.SSHClientConnection, address: Address, python: str, key: str, about: str
) -> AsyncIterator[Supervisor]:
    """The process of one connection, checked for the packages that the program needs.

    Args:
        key, about: identifier of the bundle, and its description for people.

    Raises:
        DeviceError: Python or numpy is missing.
    """
    source = f"{SOURCE.read_text(encoding='utf-8')}\n\nserve({key!r}, {about!r}, {MARK!r})\n"
    command = f"{shell_word(python)} -c {shlex.quote(START.format(size=len(source.encode())))}"
    logger.debug("%s: command %s", address, command)
    try:
        process = await connection.create_process(command, encoding="utf-8", errors="replace", request_pty=False)
    except asyncssh.ChannelOpenError as error:
        if connection.is_closed():
            raise
        raise DeviceError(f"{address} accepts the login, but runs no command: {error.reason}.") from None
    process.stdin.write(source)
    supervisor = Supervisor(address, python, process)
    if not (await supervisor.ask("hello"))["numpy"]:
        raise DeviceError(f"{python!r} on {address} has no numpy. Run: {supervisor.install_command('numpy')}")
    beat = asyncio.create_task(_beat(supervisor))
    try:
        yield supervisor
    finally:
        beat.cancel()
        with suppress(asyncio.CancelledError, Lost):
            await beat
