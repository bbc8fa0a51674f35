"""A stand-in for the Hugging Face Hub: the part of its HTTP API that huggingface_hub uses for files and commits.

Repositories are lists of commits in memory. A commit that names its parent is taken only if that is the newest one,
else refused with 412. Large files lie behind a redirect to another host, which takes no token, as the Hub's CDN.
Source: what huggingface_hub 2.4 sends and expects (`HfApi`, `_commit_api`, `lfs`, `HfFileSystem`).
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import PurePosixPath
from threading import Lock
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

LARGE = 10_000_000  # bytes; longer ones, and binary ones, go to LFS
PAGE, EXPANDED_PAGE = 1000, 50  # entries of a tree in one answer
PATHS = 1000  # that may be asked for at once
WRITER, READER = "hf_writer", "hf_reader"  # tokens


class Refused(Exception):
    def __init__(self, status: int, message: str, code: str | None = None, commit: str | None = None) -> None:
        super().__init__(message)
        self.status, self.headers = status, {"X-Error-Message": message}
        self.headers |= {"X-Error-Code": code} if code else {}
        self.headers |= {"X-Repo-Commit": commit} if commit else {}


@dataclass(frozen=True)
class File:
    content: bytes
    large: bool

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()

    @property
    def oid(self) -> str:
        """As git has it: of a large file, that of the pointer to it."""
        pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{self.sha256}\nsize {len(self.content)}\n"
        content = pointer.encode() if self.large else self.content
        return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


@dataclass(frozen=True)
class Commit:
    sha: str
    title: str
    at: datetime
    files: dict[str, File]
    changed: dict[str, Commit]  # by which commit a file is as it is


class Repository:
    def __init__(self, private: bool = False) -> None:
        self.private, self._lock, self.commits = private, Lock(), [Commit("", "", datetime.min, {}, {})]
        self.commit("initial commit", {".gitattributes": File(b"*.bin filter=lfs\n", large=False)})

    @property
    def newest(self) -> Commit:
        return self.commits[-1]

    def find(self, revision: str) -> Commit:
        found = [one for one in self.commits[1:] if one.sha == revision]
        if revision != "main" and not found:
            raise Refused(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return self.newest if revision == "main" else found[0]

    def commit(
        self, title: str, changes: dict[str, File | None], parent: str | None = None, at: datetime | None = None
    ) -> Commit:
        """On the newest one; `parent` must be that."""
        with self._lock:
            before = self.newest
            if parent is not None and parent != before.sha:
                raise Refused(412, "A commit has happened since. Please refresh and try again.")
            files, changed = dict(before.files), dict(before.changed)
            sha = hashlib.sha1(f"{before.sha} {len(self.commits)} {title}".encode()).hexdigest()
            done = Commit(sha, title, at or datetime.now(timezone.utc), files, changed)
            for path, file in changes.items():
                if file is None:
                    if path not in files:
                        raise Refused(404, "A file with this name doesn't exist", "EntryNotFound")
                    del files[path], changed[path]
                elif files.get(path) != file:
                    files[path], changed[path] = file, done
            self.commits.append(done)
            return done


class HubServer(ThreadingHTTPServer):
    """
    Attributes:
        repositories: by kind and name, such as datasets/team/nets.
        large: contents by sha256, once they are uploaded.
        asked: method, path and range of every request.
        answered: the status of every answer.
        before_commit: each is called once, before a commit is looked at.
        committed_at: what new commits are dated, instead of now.
        cut: ranges of files; once of each, half is sent before the connection is closed.
        sent_bytes: of files.
        busy: statuses that the next requests are refused with.
    """

    daemon_threads, request_queue_size = True, 64

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.cdn_url = f"http://localhost:{self.server_port}/cdn"
        self.clear()

    def clear(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.large: dict[str, bytes] = {}
        self.asked: list[tuple[str, str, str | None]] = []
        self.answered: list[int] = []
        self.before_commit: list[Callable[[], object]] = []
        self.committed_at: datetime | None = None
        self.cut: set[str] = set()
        self.sent_bytes = 0
        self.busy: list[int] = []

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignore clients that hang up."""


ROUTES: list[tuple[re.Pattern[str], str]] = []
API = r"/api/(?P<kind>models|datasets|spaces)/(?P<name>[^/]+/[^/]+)"
REPOSITORY = r"/(?:(?P<kind>datasets|spaces)/)?(?P<name>[^/]+/[^/]+?)"


def route(pattern: str) -> Callable[[Callable], Callable]:
    """Which method of the handler answers; the pattern begins with the methods of HTTP."""

    def register(method: Callable) -> Callable:
        ROUTES.append((re.compile(pattern), method.__name__))
        return method

    return register


class Handler(BaseHTTPRequestHandler):
    protocol_version, disable_nagle_algorithm, wbufsize = "HTTP/1.1", True, -1
    server: HubServer

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do(self) -> None:
        url = urlsplit(self.path)
        self.query = {key: values[0].lower() for key, values in parse_qs(url.query).items()}
        self.server.asked.append((self.command, unquote(url.path), self.headers["Range"]))
        try:
            self.body = self.rfile.read(self._length())
            if self.server.busy:
                raise Refused(self.server.busy.pop(0), "come again")
            for pattern, method in ROUTES:
                if found := pattern.fullmatch(f"{self.command} {url.path}"):
                    parts = {key: unquote(value) for key, value in found.groupdict("").items()}
                    getattr(self, method)(
                        **{**parts, **({"kind": parts["kind"] or "models"} if "kind" in parts else {})}
                    )
                    return
            raise Refused(404, f"not part of this stand-in: {self.command} {url.path}")
        except Refused as error:
            self.send(error.status, json.dumps({"error": str(error)}).encode(), error.headers)

    do_GET = do_HEAD = do_POST = do_PUT = do

    def _length(self) -> int:
        if self.command in ("POST", "PUT") and "Content-Length" not in self.headers:
            self.close_connection = True
            raise Refused(411, "Length Required")
        return int(self.headers["Content-Length"] or 0)

    def send(self, status: int, content: bytes, headers: dict[str, str], cut: bool = False) -> None:
        self.server.answered.append(status)
        self.send_response(status)
        for key, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content[: len(content) // 2] if cut else content)
        self.close_connection = self.close_connection or cut

    def send_json(self, value: object, headers: dict[str, str] | None = None) -> None:
        self.send(200, json.dumps(value).encode(), {"Content-Type": "application/json", **(headers or {})})

    def send_file(self, content: bytes, headers: dict[str, str]) -> None:
        """Send all of it, or the requested range."""
        status, part = 200, content
        if asked := self.headers["Range"]:
            first, _, last = asked.removeprefix("bytes=").partition("-")
            if int(first) >= len(content):
                raise Refused(416, "The requested range is not satisfiable")
            status, part = 206, content[int(first) : int(last) + 1 if last else None]
            headers["Content-Range"] = f"bytes {first}-{int(first) + len(part) - 1}/{len(content)}"
        cut = asked in self.server.cut
        self.server.cut.discard(asked or "")
        self.server.sent_bytes += len(part)
        self.send(status, part, {"Accept-Ranges": "bytes", **headers}, cut)

    def repository(self, kind: str, name: str, write: bool = False) -> Repository:
        token = (self.headers["Authorization"] or "").removeprefix("Bearer ")
        if token not in ("", WRITER, READER):
            raise Refused(401, "Invalid credentials in Authorization header")
        found = self.server.repositories.get(f"{kind}/{name}")
        if not token and (found is None or found.private):
            raise Refused(401, "Invalid username or password.", "RepoNotFound")
        if found is None:
            raise Refused(404, "Repository not found", "RepoNotFound")
        if write and not token:
            raise Refused(401, "Invalid username or password.")
        if write and token != WRITER:
            raise Refused(403, "Forbidden: you must use a write token to upload to a repository.")
        return found

    @route(r"GET /api/(?P<kind>models|datasets|spaces)/(?P<name>[^/]+)")
    @route(f"GET {API}(?:/revision/(?P<revision>[^/]+))?")
    def about(self, kind: str, name: str, revision: str = "") -> None:
        self.send_json({"id": name, "sha": self.repository(kind, name).find(revision or "main").sha})

    def entry(self, commit: Commit, path: str) -> dict[str, Any]:
        if (file := commit.files.get(path)) is None:
            return {"type": "directory", "oid": hashlib.sha1(path.encode()).hexdigest(), "size": 0, "path": path}
        about: dict[str, Any] = {"type": "file", "oid": file.oid, "size": len(file.content), "path": path}
        if file.large:
            about["lfs"] = {"oid": file.sha256, "size": len(file.content), "pointerSize": 134}
        if self.query.get("expand") == "true":
            by = commit.changed[path]
            about["lastCommit"] = {"id": by.sha, "title": by.title, "date": f"{by.at:%Y-%m-%dT%H:%M:%S.000Z}"}
        return about

    @route(f"GET {API}/tree/(?P<revision>[^/]+)(?:/(?P<path>.+))?")
    def tree(self, kind: str, name: str, revision: str, path: str) -> None:
        commit = self.repository(kind, name).find(revision)
        folders = {str(parent) for file in commit.files for parent in PurePosixPath(file).parents} - {"."}
        if path and path not in folders:
            raise Refused(404, f'"{path}" does not exist on "{revision}"', "EntryNotFound", commit.sha)
        found = sorted(one for one in {*commit.files, *folders} if one.startswith(f"{path}/" if path else ""))
        if self.query.get("recursive") != "true":
            found = [one for one in found if "/" not in one.removeprefix(f"{path}/")]
        first, size = int(self.query.get("cursor", 0)), EXPANDED_PAGE if self.query.get("expand") == "true" else PAGE
        base = f"{self.server.url}{self.path.split('&cursor=')[0]}"
        more = {"Link": f'<{base}&cursor={first + size}>; rel="next"'} if first + size < len(found) else {}
        self.send_json([self.entry(commit, one) for one in found[first : first + size]], more)

    @route(f"POST {API}/paths-info/(?P<revision>[^/]+)")
    def paths_info(self, kind: str, name: str, revision: str) -> None:
        commit, form = self.repository(kind, name).find(revision), parse_qs(self.body.decode())
        if len(form["paths"]) > PATHS:
            raise Refused(413, "too many parameters")
        self.query = {"expand": form["expand"][0].lower()}
        self.send_json([self.entry(commit, path) for path in form["paths"] if path in commit.files])

    @route(f"POST {API}/preupload/(?P<revision>[^/]+)")
    def preupload(self, kind: str, name: str, revision: str) -> None:
        there, files = self.repository(kind, name, write=True).find(revision).files, []
        for file in json.loads(self.body)["files"]:
            large = file["size"] > LARGE or b"\0" in base64.b64decode(file["sample"])
            about = {"path": file["path"], "uploadMode": "lfs" if large else "regular", "shouldIgnore": False}
            if before := there.get(file["path"]):
                about["oid"] = before.sha256 if before.large else before.oid
            files.append(about)
        self.send_json({"files": files})

    @route(f"POST {REPOSITORY}\\.git/info/lfs/objects/batch")
    def batch(self, kind: str, name: str) -> None:
        self.repository(kind, name, write=True)
        objects = []
        for one in json.loads(self.body)["objects"]:
            upload = {"href": f"{self.server.cdn_url}/{one['oid']}"}
            verify = {"href": f"{self.server.url}/{kind}/{name}/verify"}
            there = one["oid"] in self.server.large
            objects.append({**one, **({} if there else {"actions": {"upload": upload, "verify": verify}})})
        self.send_json({"transfer": "basic", "objects": objects})

    @route("POST /(?P<kind>models|datasets|spaces)/(?P<name>[^/]+/[^/]+)/verify")
    def verify(self, kind: str, name: str) -> None:
        self.repository(kind, name, write=True)
        asked = json.loads(self.body)
        if len(self.server.large.get(asked["oid"], b"")) != asked["size"]:
            raise Refused(422, "it was not uploaded whole")
        self.send_json({})

    @route("(?:PUT|GET|HEAD) /cdn/(?P<oid>[0-9a-f]{64})")
    def cdn(self, oid: str) -> None:
        if "Authorization" in self.headers:
            raise Refused(400, "Only one auth mechanism allowed")
        if self.command != "PUT":
            self.send_file(self.server.large[oid], {"ETag": f'"{oid}"'})
            return
        if hashlib.sha256(self.body).hexdigest() != oid:
            raise Refused(400, "other content than was announced")
        self.server.large[oid] = self.body
        self.send_json({})

    @route(f"POST {API}/commit/main")
    def commit(self, kind: str, name: str) -> None:
        repository = self.repository(kind, name, write=True)
        header, *operations = (json.loads(line) for line in self.body.splitlines())
        changes: dict[str, File | None] = {}
        for operation in operations:
            key, value = operation["key"], operation["value"]
            if key == "file":
                changes[value["path"]] = File(base64.b64decode(value["content"]), large=False)
            elif key == "lfsFile" and value["oid"] in self.server.large:
                changes[value["path"]] = File(self.server.large[value["oid"]], large=True)
            elif key == "deletedFile":
                changes[value["path"]] = None
            else:
                raise Refused(400, f"no such operation, or its content was not uploaded: {key}")
        if self.server.before_commit:
            self.server.before_commit.pop(0)()
        value = header["value"]
        done = repository.commit(value["summary"], changes, value.get("parentCommit"), self.server.committed_at)
        url = f"{self.server.url}/{kind}/{name}/commit/{done.sha}"
        self.send_json({"success": True, "commitOid": done.sha, "commitUrl": url, "hookOutput": ""})

    @route(f"(?:GET|HEAD) {REPOSITORY}/resolve/(?P<revision>[^/]+)/(?P<path>.+)")
    def resolve(self, kind: str, name: str, revision: str, path: str) -> None:
        commit = self.repository(kind, name).find(revision)
        if (file := commit.files.get(path)) is None:
            raise Refused(404, "Entry not found", "EntryNotFound", commit.sha)
        headers = {"X-Repo-Commit": commit.sha, "ETag": f'"{file.oid}"'}
        if not file.large:
            self.send_file(file.content, headers)
            return
        linked = {"X-Linked-ETag": f'"{file.sha256}"', "X-Linked-Size": str(len(file.content))}
        self.send(302, b"", {**headers, **linked, "Location": f"{self.server.cdn_url}/{file.sha256}?signed"})
