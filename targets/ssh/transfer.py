"""Transfers files to and from a device over SFTP: resumed, and verified on arrival."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import asyncssh

from targets.errors import DeviceError
from targets.files import sha256 as file_digest
from targets.ssh.address import Address
from targets.ssh.supervisor import Attendant

if TYPE_CHECKING:
    from targets.ssh import Progress

logger = logging.getLogger("zoo.ssh")

MIB = 2**20
CHUNK = 2 * MIB  # per request; SFTP splits it into blocks without waiting between them
TRIES = 2  # a partial file may belong to another one
MODE = asyncssh.FXF_WRITE | asyncssh.FXF_CREAT  # existing content stays


@dataclass(frozen=True)
class Carrier:
    """Transfers files over one connection; `moved` is called with the bytes of each step."""

    address: Address
    connection: asyncssh.SSHClientConnection
    attendant: Attendant
    progress: Progress
    moved: Callable[[int], None]

    async def send(self, file: Path, sha256: str, part: str, done: int) -> None:
        """Send a local file to `part` on the device, which has `done` bytes already.

        Raises:
            DeviceError: it can't be written.
        """
        for _ in range(TRIES):
            with file.open("rb") as source, self._bar("sending", file.stat().st_size, done) as step:
                source.seek(done)
                logger.debug("%s: sending %s to %s from byte %d", self.address, file, part, done)
                async with self._sftp() as sftp, sftp.open(part, MODE, encoding=None) as there:
                    while block := source.read(CHUNK):
                        await there.write(block, done)
                        done += len(block)
                        step(len(block))
            if await self.attendant.ask("verify", sha256):
                return
            done = 0
        raise self._damaged()

    async def fetch(self, there: str, size: int, sha256: str, file: Path) -> None:
        """Fetch a file of the device to `file`, in one rename.

        Raises:
            DeviceError: it can't be read.
        """
        part = file.with_name(f".{file.name}.part")
        for _ in range(TRIES):
            done = part.stat().st_size if part.exists() else 0
            with part.open("ab") as out, self._bar("fetching", size, done) as step:
                logger.debug("%s: fetching %s from byte %d", self.address, there, done)
                async with self._sftp() as sftp, sftp.open(there, "rb", encoding=None) as source:
                    while done < size and (block := await source.read(min(CHUNK, size - done), done)):
                        out.write(block)  # type: ignore[arg-type]  # bytes, since there is no encoding
                        done += len(block)
                        step(len(block))
            if file_digest(part) == sha256:
                part.replace(file)
                return
            part.unlink()
        raise self._damaged()

    @contextmanager
    def _bar(self, what: str, size: int, done: int) -> Iterator[Callable[[int], None]]:
        with self.progress.bar(f"{what}, MiB", size // MIB, done // MIB) as bar:

            def step(count: int) -> None:
                nonlocal done
                before, done = done, done + count
                self.moved(count)
                if steps := done // MIB - before // MIB:
                    bar.advance(steps)

            yield step

    @asynccontextmanager
    async def _sftp(self) -> AsyncIterator[asyncssh.SFTPClient]:
        try:
            sftp = await self.connection.start_sftp_client()
        except (asyncssh.ChannelOpenError, asyncssh.SFTPError) as error:
            await self.attendant.ask("alive")  # no answer: the connection is lost
            raise DeviceError(
                f"{self.address} has no SFTP ({error.reason}). Its sshd_config needs a line `Subsystem sftp …`."
            ) from None
        try:
            async with sftp:
                yield sftp
        except asyncssh.SFTPError as error:
            free = await self.attendant.ask("free")
            raise DeviceError(
                f"{self.address} can't write or read a file ({error.reason}): {free / 1e6:,.0f} MB are free there. "
                "Free some space or quota, or set ZOO_CACHE there to another folder."
            ) from None

    def _damaged(self) -> DeviceError:
        return DeviceError(
            f"{self.address}: a file arrived damaged twice (sha256). Check the device's disk: see dmesg there."
        )
