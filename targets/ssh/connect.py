"""A connection with OpenSSH's configuration, keys, agent and known hosts, but without its program."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncssh

from targets.errors import DeviceError, first_line
from targets.ssh.address import Address

logger = logging.getLogger("zoo.ssh")

CONNECT_SECONDS = 30  # long enough to touch a hardware key
ALIVE_SECONDS = 15  # between keep-alive requests; three without an answer mean a lost connection
SYSTEM_KNOWN_HOSTS = Path("/etc/ssh/ssh_known_hosts")
CUT = (
    asyncssh.DisconnectError,
    asyncssh.ChannelOpenError,
    asyncssh.SFTPNoConnection,
    asyncssh.SFTPConnectionLost,
    ConnectionError,
)


class Lost(Exception):
    """The connection was lost or could not be made; the message says why."""


class _Doorkeeper(asyncssh.SSHClient):
    """Records a host key that was refused, for the error message."""

    refused: asyncssh.SSHKey | None = None

    def validate_host_public_key(self, _host: str, _addr: str, _port: int, key: asyncssh.SSHKey) -> bool:
        self.refused = key
        return False


def _known_hosts(named: object) -> list[str] | bytes:
    """Existing files of known hosts; empty bytes mean none. Never None, with which asyncssh trusts any host."""
    paths = [Path(str(one)).expanduser() for one in named] if isinstance(named, list) else []
    home = Path("~/.ssh").expanduser()
    paths = paths or [home / "known_hosts", home / "known_hosts2", SYSTEM_KNOWN_HOSTS]
    return [str(path) for path in paths if os.access(path, os.R_OK)] or b""


def _host_key_error(address: Address, name: str, known: list[str] | bytes, key: asyncssh.SSHKey) -> DeviceError:
    shown = f"{key.get_algorithm()} {key.get_fingerprint()}"
    if asyncssh.match_known_hosts(known, name, "", None)[0]:
        return DeviceError(
            f"the host key of {address} has changed ({shown}): the device was reinstalled, or someone "
            f"intercepts the connection.\nOnly if you know why: ssh-keygen -R '{name}', then {address.command('ssh')}"
        )
    return DeviceError(
        f"the host key of {address} is unknown ({shown}).\n"
        f"Run once and compare the fingerprint with the device's: {address.command('ssh')}"
    )


def reason(error: Exception, port: int | None = None) -> str:
    """Why a connection was lost or not made, in a few words."""
    if not isinstance(error, OSError):
        return getattr(error, "reason", "") or str(error)
    # If a host name has several addresses, the error is one text with the errors of all.
    numbers = [error.errno] if error.errno else [int(number) for number in re.findall(r"\[Errno (\d+)\]", str(error))]
    if port and errno.ECONNREFUSED in numbers:
        return f"connection refused at port {port} (is its ssh server running?)"
    return ", ".join(dict.fromkeys(map(os.strerror, numbers))) or str(error) or "connection lost"


async def _connect(address: Address) -> asyncssh.SSHClientConnection:
    client = _Doorkeeper()
    named: dict[str, object] = {"host": address.host}
    if address.user:
        named["username"] = address.user
    if address.port:
        named["port"] = address.port
    try:
        found = await asyncssh.SSHClientConnectionOptions.construct(**named)
        known = _known_hosts(found.known_hosts)
        where, port = str(found.host), int(found.port)
        name = found.host_key_alias or where
        name = name if port == 22 else f"[{name}]:{port}"  # as in files of known hosts
        named |= {
            "client_factory": lambda: client,
            "known_hosts": known,
            "connect_timeout": found.connect_timeout or CONNECT_SECONDS,
            "keepalive_interval": found.keepalive_interval or ALIVE_SECONDS,
        }
        try:
            connection = await asyncssh.connect(**named)
        except (asyncssh.ConnectionLost, asyncssh.KeyExchangeFailed):
            # A server without a host key of the known types hangs up: find out which key it has.
            connection = await asyncssh.connect(**named, server_host_key_algs="default")
    except asyncssh.HostKeyNotVerifiable as error:
        if client.refused is None:  # revoked, or the key of a jump host
            raise DeviceError(f"{address}: {error.reason}. Check it with: {address.command('ssh')}") from None
        raise _host_key_error(address, name, known, client.refused) from None
    except asyncssh.KeyExchangeFailed as error:
        raise DeviceError(f"{address} and this machine have no cipher in common: {error.reason}.") from None
    except asyncssh.PermissionDenied:
        raise DeviceError(
            f"permission denied: {address} accepts none of your keys for {found.username}. "
            f"{address.command('ssh-copy-id')} installs one; for a key with a passphrase, run ssh-add first."
        ) from None
    except socket.gaierror:
        raise Lost(f"unknown host {where} (misspelt, or in another network?)") from None
    except (TimeoutError, asyncio.TimeoutError):  # two classes until Python 3.11
        raise Lost("no answer (is it switched on, and in this network?)") from None
    except CUT as error:
        raise Lost(reason(error, port)) from None
    except ValueError as error:  # asyncssh raises it for invalid settings and keys
        raise DeviceError(f"your ssh configuration for {address}: {first_line(error)}. Check ~/.ssh/config.") from None
    except OSError as error:
        if error.filename:
            raise DeviceError(
                f"your ssh configuration for {address}: {error.filename}: {error.strerror}. Correct that file."
            ) from None
        raise Lost(reason(error, port)) from None
    return connection


@asynccontextmanager
async def connected(address: Address) -> AsyncIterator[asyncssh.SSHClientConnection]:
    """Open a connection.

    Raises:
        DeviceError: a retry would not help: keys, host keys, configuration.
        Lost: a retry may help.
    """
    logger.debug("connecting to %s", address)
    connection = await _connect(address)
    logger.debug("connected to %s (%s)", address, connection.get_extra_info("server_version"))
    try:
        yield connection
    except CUT as error:
        raise Lost(reason(error)) from None
    finally:
        connection.abort()
        await connection.wait_closed()
