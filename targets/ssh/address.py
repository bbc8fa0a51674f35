"""Where a device is: ssh://user@host:port."""

from __future__ import annotations

import re
from dataclasses import dataclass

from targets.errors import DeviceError

NAME = r"[A-Za-z0-9_][\w.%-]*"  # never an option of a program, never something a shell reads otherwise
ADDRESS = re.compile(
    rf"ssh://(?:(?P<user>{NAME})@)?(?:\[(?P<v6>[\da-fA-F:.]+)\]|(?P<host>{NAME}))(?::(?P<port>\d+))?/?"
)


@dataclass(frozen=True)
class Address:
    """A device; what is None is for `~/.ssh/config` to say."""

    host: str
    user: str | None = None
    port: int | None = None

    def __str__(self) -> str:
        return f"{self.user}@{self.host}" if self.user else self.host

    def command(self, program: str) -> str:
        """How OpenSSH's `ssh` or `ssh-copy-id` is called for it."""
        return f"{program} -p {self.port} {self}" if self.port else f"{program} {self}"


def read_address(text: str) -> Address:
    """The parts of `ssh://user@host:port`; user and port may be left out.

    Raises:
        DeviceError: it is something else.
    """
    shown, secrets = re.subn(r"(//[^/@:]*):.*@", r"\1:…@", text)
    found = ADDRESS.fullmatch(text)
    port = int(found["port"]) if found and found["port"] else None
    if not found or (port is not None and not 0 < port < 2**16):
        raise DeviceError(
            f"{shown!r} is no device. Write ssh://USER@HOST:PORT; USER and PORT may be left out."
            + " A password has no place in it: use a key." * secrets
        )
    return Address(found["v6"] or found["host"], found["user"], port)
