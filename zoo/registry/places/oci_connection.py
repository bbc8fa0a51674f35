"""ORAS's client of a registry, with limits on what is read and waited for.

ORAS (oras-py) knows Docker's credentials and their helpers, token and basic authentication, uploads, and the rules of
addresses. Its own retries sleep for two minutes, its requests have no time limit, and it reads bodies to their end;
these parts are replaced here.
"""

from __future__ import annotations

import ipaddress
import json
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urljoin, urlsplit

import oras.provider
from oras.auth.token import TokenAuth
from oras.auth.utils import parse_auth_header
from oras.logger import logger as oras_logger
from requests import PreparedRequest, Response
from requests.adapters import HTTPAdapter
from urllib3.exceptions import HTTPError

from zoo.errors import RegistryError
from zoo.registry.places.patience import refusal
from zoo.registry.places.place import CREDENTIALS, FILE_SECONDS, Cut, check_plain, check_redirects, said, too_slow

logger = logging.getLogger(__name__)
oras_logger.log_handler = []  # it would print to standard error

TIMEOUT = (20.0, 60.0)  # s: to connect, and between two bytes
REDIRECTS = 10
PIECE = 2**16  # bytes per read
SMALL = 2**20  # bytes of a token or an error


def is_loopback(host: str) -> bool:
    """Whether a registry is on this machine. Its traffic needs no TLS, as for Docker."""
    name = urlsplit(f"//{host}").hostname or ""
    try:
        return name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def read_body(answer: Response, skip: int, count: int, seconds: float) -> bytes:
    """At most `count` bytes of a body, after `skip` others; no more is read than that, and nothing is decompressed."""
    check_plain(answer.headers.get("Content-Encoding"))
    cut, deadline, raw = Cut(skip, count), time.monotonic() + seconds, answer.raw
    read: Callable[..., bytes] = getattr(raw, "read1", raw.read)  # urllib3 1 has no read1
    try:
        while piece := read(PIECE, decode_content=False):
            if cut.add(piece):
                break
            if time.monotonic() > deadline:
                raise too_slow(seconds)
    finally:
        answer.close()
    return cut.content


class _Limited(HTTPAdapter):
    """Waits no longer than `TIMEOUT`, reads no body of a redirect, and of others that nobody reads piece by piece at
    most `SMALL` bytes.
    """

    def send(
        self,
        request: PreparedRequest,
        stream: bool = False,
        timeout: Any = None,  # noqa: ARG002 - ORAS sets none
        verify: bool | str = True,
        cert: Any = None,
        proxies: Any = None,
    ) -> Response:
        answer = super().send(request, True, TIMEOUT, verify, cert, proxies)
        if answer.is_redirect:
            check_redirects((str(request.url), urljoin(str(request.url), answer.headers["Location"])))
            answer._content = b""
            answer.close()
        elif not stream:
            answer._content = read_body(answer, 0, SMALL, FILE_SECONDS)
        return answer


class _Auth(TokenAuth):  # type: ignore[misc]
    """Token or basic authentication, as the registry asks; without credentials, an anonymous token."""

    basic = False

    def get_auth_header(self) -> dict[str, str]:
        if self.basic and self.token:
            return {"Authorization": f"Basic {self.token}"}
        header: dict[str, str] = super().get_auth_header()
        return header

    def authenticate_request(
        self, original: Response, headers: dict[str, str], refresh: bool = False
    ) -> tuple[dict[str, str], bool]:
        asked = original.headers.get("Www-Authenticate", "")
        if asked.lower().startswith("basic"):
            self.basic, self.token = True, getattr(self, "_basic_auth", None)
            return headers, bool(self.token)
        realm = parse_auth_header(asked).realm
        check_redirects((str(original.url), realm or str(original.url)))  # the password goes there
        changed: bool
        headers, changed = super().authenticate_request(original, headers, refresh)
        return headers, changed


def why(answer: Response) -> str:
    """The server's error, in a line."""
    told = ""
    try:
        unread = answer._content is False
        errors = json.loads(read_body(answer, 0, SMALL, FILE_SECONDS) if unread else answer.content)
        told = "; ".join(str(one.get("message") or one.get("code")) for one in errors["errors"][:3])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OSError, HTTPError):
        pass
    return said(f"HTTP {answer.status_code} {told or answer.reason or ''}".rstrip())


def check_answer(answer: Response, url: str) -> None:
    """Refuse a failed response.

    Raises:
        RegistryError: the registry wants other credentials.
        FileNotFoundError: it does not have what was asked for.
        OSError: it fails otherwise; `Later` if a retry may help.
    """
    if answer.status_code in (401, 403):
        host = url.partition("://")[2].partition("/")[0]
        raise RegistryError(f"{host} refuses {url}: {why(answer)}. {CREDENTIALS['oci']}")
    if answer.status_code in (404, 410):
        raise FileNotFoundError(answer.status_code, why(answer))
    if answer.status_code not in (200, 201, 202, 206):
        raise refusal(answer.status_code, why(answer), answer.headers)


class Connection(oras.provider.Registry):  # type: ignore[misc]
    """ORAS's client, with our limits."""

    def __init__(self, host: str, url: str) -> None:
        super().__init__(hostname=host, insecure=is_loopback(host))
        self._url = url
        for scheme in ("http://", "https://"):
            self.session.mount(scheme, _Limited())
        self.session.max_redirects = REDIRECTS
        self.auth = _Auth()
        self.auth.session, self.auth.prefix, self.auth._tls_verify = self.session, self.prefix, True

    def do_request(
        self,
        url: str,
        method: str = "GET",
        data: Any = None,
        headers: Mapping[str, str] | None = None,
        json: Any = None,
        stream: bool = False,
    ) -> Response:
        """One request, and a second one if the registry asks for other credentials: a token expires, and one for
        reading does not allow to write. Credentials go to the registry's own host only.
        """
        check_redirects((f"{self.prefix}://", url))  # an upload's address comes from the server
        sent = {"Accept-Encoding": "identity", **(headers or {})}
        ours = urlsplit(url).netloc == self.hostname
        for last in (False, True):
            given = self.auth.get_auth_header() if ours else {}
            answer: Response = self.session.request(
                method, url, data=data, json=json, headers={**sent, **given}, stream=stream
            )
            logger.debug("%s %s: HTTP %d", method, url.partition("?")[0], answer.status_code)
            if answer.status_code not in (401, 403) or last or not ours:
                break
            if not self.auth.authenticate_request(answer, {}, refresh=True)[1]:
                break
            answer.close()
        if method in ("POST", "PATCH"):  # ORAS does not look at the reason why an upload fails
            check_answer(answer, self._url)
        return answer
