"""Requests to one repository of an OCI registry, by the library ORAS, with limits on what is read and waited for.

ORAS (oras-py) knows Docker's credentials and their helpers, token and basic authentication, uploads, and the rules of
addresses. Its own retries sleep for two minutes, its requests have no time limit, and it reads bodies to their end;
these parts are replaced here. Source: OCI Distribution Specification 1.1.
"""

from __future__ import annotations

import ipaddress
import json
import logging
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import oras.provider
from oras.auth.token import TokenAuth
from oras.auth.utils import parse_auth_header
from oras.logger import logger as oras_logger
from requests import PreparedRequest, Response
from requests.adapters import HTTPAdapter
from requests.exceptions import ConnectionError as NotConnected
from requests.exceptions import RequestException
from urllib3.exceptions import HTTPError, NewConnectionError

from zoo.errors import RegistryError
from zoo.registry.index import INDEX
from zoo.registry.places.oci_artifact import OCI_MANIFEST
from zoo.registry.places.patience import patiently, refusal
from zoo.registry.places.place import (
    CREDENTIALS,
    FILE_SECONDS,
    Cut,
    GivenUp,
    Later,
    check_plain,
    check_redirects,
    said,
    too_long,
    too_slow,
)

logger = logging.getLogger(__name__)
oras_logger.log_handler = []  # it would print to standard error

TIMEOUT = (20.0, 60.0)  # s: to connect, and between two bytes
REDIRECTS = 10
PIECE = 2**16  # bytes per read
SMALL = 2**20  # bytes of a token or an error
PAGE = 1000  # tags per request
MOST_TAGS = 1_000_000
WHOLE = 32 * 2**20  # bytes; larger files are uploaded in parts of `CHUNK`
CHUNK = 16 * 2**20
REPOSITORY = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*")
HOST = re.compile(r"(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")


def _is_loopback(host: str) -> bool:
    """Whether a registry is on this machine. Its traffic needs no TLS, as for Docker."""
    name = urlsplit(f"//{host}").hostname or ""
    try:
        return name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _body(answer: Response, skip: int, count: int, seconds: float) -> bytes:
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
            answer._content = _body(answer, 0, SMALL, FILE_SECONDS)
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


def _why(answer: Response) -> str:
    """The server's error, in a line."""
    told = ""
    try:
        errors = json.loads(answer.content if answer._content is not False else _body(answer, 0, SMALL, FILE_SECONDS))
        told = "; ".join(str(one.get("message") or one.get("code")) for one in errors["errors"][:3])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OSError, HTTPError):
        pass
    return said(f"HTTP {answer.status_code} {told or answer.reason or ''}".rstrip())


def _check(answer: Response, url: str) -> None:
    """Refuse a failed response.

    Raises:
        RegistryError: the registry wants other credentials.
        FileNotFoundError: it does not have what was asked for.
        OSError: it fails otherwise; `Later` if a retry may help.
    """
    if answer.status_code in (401, 403):
        host = url.partition("://")[2].partition("/")[0]
        raise RegistryError(f"{host} refuses {url}: {_why(answer)}. {CREDENTIALS['oci']}")
    if answer.status_code in (404, 410):
        raise FileNotFoundError(answer.status_code, _why(answer))
    if answer.status_code not in (200, 201, 202, 206):
        raise refusal(answer.status_code, _why(answer), answer.headers)


class _Registry(oras.provider.Registry):  # type: ignore[misc]
    """ORAS's client, with our limits."""

    def __init__(self, host: str, url: str) -> None:
        super().__init__(hostname=host, insecure=_is_loopback(host))
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
            _check(answer, self._url)
        return answer


class Client:
    """A repository of a registry.

    Raises (all methods):
        RegistryError: the registry refuses the credentials.
        OSError: another failure; `Later` if a retry may help.
    """

    def __init__(self, url: str) -> None:
        host, _, repository = url.partition("://")[2].partition("/")
        repository = repository.rstrip("/")
        if not HOST.fullmatch(host) or not REPOSITORY.fullmatch(repository):
            raise RegistryError(
                f"{said(url)} names no repository. Write oci://HOST/REPOSITORY, in lower case and without a tag."
            )
        self.url = f"oci://{host}/{repository}"
        # ORAS takes a host without dot and port for a part of the repository's name
        self._host = host if re.search("[.:]", host) else f"{host}:{80 if _is_loopback(host) else 443}"
        self._registry = _Registry(self._host, self.url)
        self._at = self._registry.get_container(f"{self._host}/{repository}")
        self._ready = False

    def fetch(self, digest: str, start: int, end: int, seconds: float) -> bytes:
        """Bytes of a blob from `start` up to `end`.

        Args:
            digest: sha256, without prefix.
        """
        path = self._at.get_blob_url(f"sha256:{digest}")
        with self._answer(path, headers={"Range": f"bytes={start}-{end - 1}"}) as answer:
            return _body(answer, 0 if answer.status_code == 206 else start, end - start, seconds)

    def blob(self, digest: str, limit: int) -> bytes:
        """A small blob.

        Raises:
            FileNotFoundError: there is none.
            RegistryError: it is longer than `limit` bytes.
        """
        content: bytes = patiently(lambda: self.fetch(digest, 0, limit + 1, FILE_SECONDS))
        if len(content) > limit:
            raise too_long(f"blob {digest[:12]}", self.url, limit)
        return content

    def manifest(self, tag: str, limit: int) -> tuple[dict[str, Any], str] | None:
        """An OCI manifest and its digest with prefix, by tag; None if there is none."""

        def get() -> tuple[bytes, str]:
            with self._answer(self._at.manifest_url(tag), headers={"Accept": OCI_MANIFEST}) as answer:
                return _body(answer, 0, limit + 1, FILE_SECONDS), answer.headers.get("Docker-Content-Digest", "")

        try:
            content, digest = patiently(get)
        except FileNotFoundError:
            return None
        if len(content) > limit:
            raise too_long(f"manifest {tag}", self.url, limit)
        try:
            found = json.loads(content)
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            raise GivenUp(None, f"its manifest {tag} is damaged")
        return found, digest

    def tags(self) -> list[str]:
        """All tags; none if the repository does not exist yet."""
        found: list[str] = []
        path: str | None = self._at.tags_url(N=PAGE)
        while path and len(found) < MOST_TAGS:
            page, path = patiently(lambda at=path: self._page(at))  # type: ignore[misc]
            found += page
        return found

    def _page(self, path: str) -> tuple[list[str], str | None]:
        try:
            with self._answer(path) as answer:
                content = _body(answer, 0, SMALL + 1, FILE_SECONDS)
                link = answer.links.get("next", {}).get("url")
        except FileNotFoundError:
            return [], None
        if len(content) > SMALL:
            raise too_long(INDEX, self.url, SMALL)
        try:
            tags = json.loads(content).get("tags") or []
        except (ValueError, RecursionError, AttributeError):
            raise GivenUp(None, "its list of tags is damaged") from None
        after = urljoin(f"{self._registry.prefix}://{path}", link) if link and tags else ""
        return [str(tag) for tag in tags], after.partition("://")[2] or None

    def has(self, digest: str) -> bool:
        """Whether a blob is there."""

        def head() -> bool:
            try:
                with self._answer(self._at.get_blob_url(f"sha256:{digest}"), "HEAD"):
                    return True
            except FileNotFoundError:
                return False

        return bool(patiently(head))

    def upload(self, source: Path, digest: str) -> None:
        """Write a blob; the registry compares it with its digest."""
        size = source.stat().st_size
        layer = {"digest": f"sha256:{digest}", "size": size}

        def put() -> None:
            with self._working():
                if size > WHOLE:
                    _check(self._registry.chunked_upload(str(source), self._at, layer, CHUNK), self.url)
                else:
                    _check(self._registry.put_upload(str(source), self._at, layer), self.url)

        patiently(put)

    def tag(self, manifest: Mapping[str, Any], tag: str, patient: bool = True) -> None:
        """Write a manifest under a tag, in place of another one.

        Args:
            patient: try again while the registry is busy.

        Raises:
            FileNotFoundError: a blob that it names is not there.
        """

        def put() -> None:
            at = self._registry.get_container(f"{self._host}/{self._at.api_prefix}:{tag}")
            with self._working():
                answer = self._registry.upload_manifest(dict(manifest), at)
                if b"BLOB_UNKNOWN" in answer.content:
                    raise FileNotFoundError(404, _why(answer))
                _check(answer, self.url)

        if patient:
            patiently(put)
        else:
            put()

    def delete(self, digest: str) -> bool:
        """Delete a manifest with its tags, by digest with prefix; return whether the registry allows it."""

        def ask() -> bool:
            with self._working():
                url = f"{self._registry.prefix}://{self._at.manifest_url(digest)}"
                answer = self._registry.do_request(url, "DELETE")
                if answer.status_code in (400, 405):
                    return False
                if answer.status_code != 404:
                    _check(answer, self.url)
                return True

        return bool(patiently(ask))

    @contextmanager
    def _answer(self, path: str, method: str = "GET", headers: Mapping[str, str] | None = None) -> Iterator[Response]:
        """A response whose body is not read yet."""
        with self._working():
            answer = self._registry.do_request(
                f"{self._registry.prefix}://{path}", method, headers=headers, stream=True
            )
            try:
                _check(answer, self.url)
                yield answer
            finally:
                answer.close()

    @contextmanager
    def _working(self) -> Iterator[None]:
        """Read the credentials once, and turn errors of the libraries into ours."""
        try:
            if not self._ready:
                folder = os.environ.get("DOCKER_CONFIG")
                own = [str(Path(folder, "config.json"))] if folder else []
                self._registry.auth.load_configs(self._at, configs=own)
                self._ready = True
            yield
        except NotConnected as error:
            cause = getattr(error.args[0] if error.args else None, "reason", None)
            if isinstance(cause, NewConnectionError):  # no server there
                raise OSError(None, said(re.sub(r"^.*: (\[Errno \S+\] )?", "", str(cause)))) from None
            raise Later("the connection was closed") from None
        except (HTTPError, RequestException) as error:
            raise Later(said(str(error)) or type(error).__name__) from None
        except (ValueError, KeyError, TypeError) as error:  # of ORAS, and of a configuration that is no JSON
            raise GivenUp(None, said(str(error)) or type(error).__name__) from None
