"""Requests to one repository of an OCI registry, by the library ORAS (`zoo.registry.places.oci_connection`).

Source: OCI Distribution Specification 1.1.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

from requests import Response
from requests.exceptions import ConnectionError as NotConnected
from requests.exceptions import RequestException
from urllib3.exceptions import HTTPError, NewConnectionError

from zoo.errors import RegistryError
from zoo.registry.index import INDEX
from zoo.registry.places.oci_artifact import OCI_MANIFEST
from zoo.registry.places.oci_connection import SMALL, Connection, check_answer, is_loopback, read_body, why
from zoo.registry.places.patience import patiently
from zoo.registry.places.place import FILE_SECONDS, GivenUp, Later, said, too_long

PAGE = 1000  # tags per request
MOST_TAGS = 1_000_000
WHOLE = 32 * 2**20  # bytes; larger files are uploaded in parts of `CHUNK`
CHUNK = 16 * 2**20
REPOSITORY = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*")
HOST = re.compile(r"(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")


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
        self._host = host if re.search("[.:]", host) else f"{host}:{80 if is_loopback(host) else 443}"
        self._registry = Connection(self._host, self.url)
        self._at = self._registry.get_container(f"{self._host}/{repository}")
        self._ready = False

    def fetch(self, digest: str, start: int, end: int, seconds: float) -> bytes:
        """Bytes of a blob from `start` up to `end`.

        Args:
            digest: sha256, without prefix.
        """
        path = self._at.get_blob_url(f"sha256:{digest}")
        with self._answer(path, headers={"Range": f"bytes={start}-{end - 1}"}) as answer:
            return read_body(answer, 0 if answer.status_code == 206 else start, end - start, seconds)

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
                return read_body(answer, 0, limit + 1, FILE_SECONDS), answer.headers.get("Docker-Content-Digest", "")

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
                content = read_body(answer, 0, SMALL + 1, FILE_SECONDS)
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
                    check_answer(self._registry.chunked_upload(str(source), self._at, layer, CHUNK), self.url)
                else:
                    check_answer(self._registry.put_upload(str(source), self._at, layer), self.url)

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
                    raise FileNotFoundError(404, why(answer))
                check_answer(answer, self.url)

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
                    check_answer(answer, self.url)
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
                check_answer(answer, self.url)
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
