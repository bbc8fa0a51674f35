"""Address of a device: ssh://user@host:port."""

from __future__ import annotations

import re
from dataclasses import dataclass

from targets.errors import DeviceError

NAME = r"[A-Za-z0-9_][\w.%-]*"  # never an option of a program, never special to a shell
ADDRESS = re.compile(
    rf"ssh://(?:(?P<user>{NAME})@)?(?:\[(?P<v6>[\da-fA-F:.]+)\]|(?P<host>{NAME}))(?::(?P<port>\d+))?/?"
)


@dataclass(frozen=True)
class Address:
    """A device; parts that are None come from `~/.ssh/config`."""

    host: str
    user: str | None = None
    port: int | None = None

    def __str__(self) -> str:
        return f"{self.user}@{self.host}" if self.user else self.host

    def command(self, program: str) -> str:
        """Command line of OpenSSH's `ssh` or `ssh-copy-id` for it."""
        return f"{program} -p {self.port} {self}" if self.port else f"{program} {self}"


def read_address(text: str) -> Address:
    """Parse `ssh://user@host:port`; user and port are optional.

    Raises:
        DeviceError: it is not such an address.
    """
    shown, secrets = re.subn(r"(//[^/@:]*):.*@", r"\1:…@", text)
    found = ADDRESS.fullmatch(text)
    port = int(found["port"]) if found and found["port"] else None
    if not found or (port is not None and not 0 < port < 2**16):
        raise DeviceError(
            f"{shown!r} is not a device address. Write ssh://USER@HOST:PORT; USER and PORT are optional."
            + " It must not hold a password: use a key." * secrets
        )
    return Address(found["v6"] or found["host"], found["user"], port)
