"""A registry in a repository of the Hugging Face Hub: hf://datasets/OWNER/NAME, hf://OWNER/NAME or a folder in one.

A release is one commit, blobs and index together, on the parent that was read. Token: `HF_TOKEN`, or `hf auth login`.
Source: huggingface_hub, `HfApi.create_commit`. `HfFileSystem` caches listings for ever, so it only parses the URL.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from targets.installing import install_command
from zoo.errors import RegistryError
from zoo.registry.index import INDEX
from zoo.registry.places.patience import TEMPORARY, patiently, refusal
from zoo.registry.places.place import (
    FILE_SECONDS,
    PART_SECONDS,
    Cut,
    Edit,
    GivenUp,
    check_plain,
    check_redirects,
    said,
    too_long,
    too_slow,
    unreached,
)

logger = logging.getLogger(__name__)

ATTEMPTS = 20  # of a commit that other writers overtake
LOST_RACE = (409, 412)
AT_ONCE = 500  # paths per request; the Hub accepts a thousand
TIMEOUT = 60.0  # s
REDIRECTS = 10
PIECE = 2**10  # bytes per read of requests (older huggingface_hub), which waits for them; httpx does not


def _asked(session: Any, url: str, headers: Mapping[str, str]) -> Any:
    """The response after redirects, by httpx or, in older versions of huggingface_hub, requests."""
    if not hasattr(session, "build_request"):
        answer = session.get(url, headers=headers, timeout=TIMEOUT, stream=True)
        try:
            check_redirects(str(one.url) for one in (*answer.history, answer))
        except GivenUp:
            answer.close()
            raise
        return answer
    request = session.build_request("GET", url, headers=headers, timeout=TIMEOUT)
    for _ in range(REDIRECTS + 1):  # httpx would read the bodies of redirects, whatever their length
        answer = session.send(request, stream=True, follow_redirects=False)
        if answer.next_request is None:
            return answer
        answer.close()
        before, request = request, answer.next_request
        check_redirects((str(before.url), str(request.url)))
    return answer


class Hub:
    """See `Place`."""

    def __init__(self, url: str) -> None:
        try:
            import huggingface_hub as hub
            from huggingface_hub import errors, utils
        except ModuleNotFoundError:
            raise RegistryError(f"registries on the Hub need huggingface-hub. Run: {install_command('hub')}") from None
        self.url = url.rstrip("/")
        if self.url.startswith("hf://buckets/"):
            raise RegistryError(f"{self.url} has no commits, so two publishers could lose releases. Name a repository.")
        self._hub: Any = hub
        self._utils: Any = utils
        self._api: Any = hub.HfApi()
        self._not_there: type[Exception] = errors.EntryNotFoundError
        # Network errors are those of the HTTP library: requests, httpx, httpx2. A failed upload is a RuntimeError.
        self._errors: tuple[type[BaseException], ...] = (
            OSError, ValueError, RuntimeError, *errors.HfHubHTTPError.__bases__,
        )  # fmt: skip
        try:
            where = self._patiently(lambda: hub.HfFileSystem(skip_instance_cache=True).resolve_path(self.url))
        except self._errors as error:
            raise self._failed(error) from None
        self._repository = {"repo_id": where.repo_id, "repo_type": where.repo_type}
        self._folder = f"{where.path_in_repo}/" if where.path_in_repo else ""
        self._branch = str(where.revision)
        self._seen: str | None = None  # commit of the index that was read

    def read(self, path: str, limit: int) -> bytes | None:
        """See `Place.read`."""
        commit = self._branch
        try:
            if path == INDEX:
                commit = self._seen = self._newest()
            content: bytes | None = self._patiently(lambda: self._read(path, limit, commit))
            return content
        except self._errors as error:
            raise self._failed(error) from None

    def fetch(self, path: str, start: int, end: int) -> bytes:
        """See `Place.fetch`."""
        try:
            return self._part(path, self._branch, start, end, PART_SECONDS)
        except GivenUp:
            raise
        except self._not_there:
            raise FileNotFoundError(path) from None
        except self._errors as error:
            raise self._busy(error) or OSError(None, self._why(error)) from None

    def publish(self, blobs: Mapping[str, Path], index: str, limit: int, edit: Edit) -> None:
        """See `Place.publish`."""
        add, sources = self._hub.CommitOperationAdd, {self._folder + path: source for path, source in blobs.items()}
        try:
            for attempt in range(ATTEMPTS):
                parent = self._newest()
                content = edit(self._patiently(partial(self._read, index, limit, parent)))
                if content is None:
                    return
                there = self._there(list(sources), parent)
                files = [add(name, str(source)) for name, source in sources.items() if name not in there]
                files.append(add(self._folder + index, content))
                if self._commit("zoo publish", files, parent):
                    return
                time.sleep(random.uniform(0, min(10.0, 0.2 * 2**attempt)))
        except self._errors as error:
            raise self._failed(error) from None
        raise RegistryError(f"other writers of {self.url} were faster {ATTEMPTS} times. Run the command again.")

    def listing(self, below: str) -> Iterator[tuple[str, int, float]]:
        """See `Place.listing`; as of the index that was read."""
        try:
            for found in self._api.list_repo_tree(
                path_in_repo=self._folder + below, revision=self._seen or self._branch, recursive=True, expand=True,
                **self._repository,
            ):  # fmt: skip
                if isinstance(found, self._hub.hf_api.RepoFile):
                    yield found.path.removeprefix(self._folder), found.size, found.last_commit.date.timestamp()
        except self._not_there:
            return
        except self._errors as error:
            raise self._failed(error) from None

    def remove(self, paths: list[str]) -> None:
        """See `Place.remove`. Only if nothing was published since the index was read; the Hub keeps the history."""
        gone = [self._hub.CommitOperationDelete(self._folder + path) for path in paths]
        try:
            if gone and not self._commit("zoo gc", gone, self._seen):
                raise RegistryError(f"another writer of {self.url} was faster. Run the command again.")
        except self._errors as error:
            raise self._failed(error) from None

    def _newest(self) -> str:
        """The latest commit."""
        about = partial(self._api.repo_info, revision=self._branch, timeout=TIMEOUT, **self._repository)
        return str(self._patiently(about).sha)

    def _busy(self, error: BaseException) -> OSError | None:
        """`Later` if the Hub is busy, `GivenUp` if it will be for long, otherwise None."""
        answer: Any = getattr(error, "response", None)
        if getattr(answer, "status_code", None) not in TEMPORARY:
            return None
        return refusal(answer.status_code, f"HTTP {answer.status_code} {self._why(error)}".rstrip(), answer.headers)

    def _patiently(self, call: Callable[[], Any]) -> Any:
        """Result of `call`, with retries while the Hub is busy."""

        def once() -> Any:
            try:
                return call()
            except self._errors as error:
                raise self._busy(error) or error from None

        return patiently(once)

    def _there(self, names: list[str], commit: str) -> set[str]:
        """The names that a commit has already, so that they need not be uploaded."""
        found: set[str] = set()
        for first in range(0, len(names), AT_ONCE):
            some = names[first : first + AT_ONCE]
            found |= {one.path for one in self._api.get_paths_info(paths=some, revision=commit, **self._repository)}
        return found

    def _read(self, path: str, limit: int, commit: str) -> bytes | None:
        try:
            content = self._part(path, commit, 0, limit + 1, FILE_SECONDS)
        except self._not_there:
            return None
        if len(content) > limit:
            raise too_long(path, self.url, limit)
        return content

    def _part(self, path: str, commit: str, start: int, end: int, seconds: float) -> bytes:
        """Bytes from `start` up to `end`, not decompressed; more than that is not waited for."""
        deadline = time.monotonic() + seconds
        with self._answer(path, commit, {"Range": f"bytes={start}-{end - 1}"}) as answer:
            cut = Cut(0 if answer.status_code == 206 else start, end - start)
            for piece in answer.iter_raw() if hasattr(answer, "iter_raw") else answer.iter_content(PIECE):
                if cut.add(piece):
                    break
                if time.monotonic() > deadline:
                    raise too_slow(seconds)
            return cut.content

    @contextmanager
    def _answer(self, path: str, commit: str, headers: Mapping[str, str]) -> Iterator[Any]:
        """A response whose body is not read yet."""
        url = self._hub.hf_hub_url(filename=self._folder + path, revision=commit, **self._repository)
        asked = {**self._utils.build_hf_headers(), "Accept-Encoding": "identity", **headers}
        with closing(_asked(self._utils.get_session(), url, asked)) as answer:
            logger.debug("GET %s/%s at %s: HTTP %d", self.url, path, commit, answer.status_code)
            if answer.status_code >= 400:
                answer.close()  # otherwise huggingface_hub would read the whole error body
            self._utils.hf_raise_for_status(answer)
            if answer.status_code not in (200, 206):
                raise OSError(None, f"HTTP {answer.status_code}")
            check_plain(answer.headers.get("Content-Encoding"))
            yield answer

    def _commit(self, title: str, operations: list[Any], parent: str | None) -> bool:
        """Whether the commit succeeded: neither another writer nor an unanswered attempt of ours came first."""
        commit = partial(
            self._api.create_commit,
            operations=operations, commit_message=title, revision=self._branch, parent_commit=parent,
            **self._repository,
        )  # fmt: skip
        logger.debug("commit to %s: %s, %d files, on %s", self.url, title, len(operations), parent)
        try:
            self._patiently(commit)
        except self._hub.errors.HfHubHTTPError as error:
            if error.response is not None and error.response.status_code in LOST_RACE:
                return False
            raise
        return True

    def _why(self, error: BaseException) -> str:
        """The Hub's response or the error, in a line."""
        if isinstance(error, RuntimeError) and error.__cause__:
            error = error.__cause__
        told = getattr(error, "server_message", None) or getattr(error, "strerror", None) or str(error)
        return said(told or type(error).__name__).rstrip(".")

    def _failed(self, error: BaseException) -> RegistryError:
        if getattr(getattr(error, "response", None), "status_code", None) in (401, 403):
            return RegistryError(f"the Hub refuses {self.url}: {self._why(error)}. Set HF_TOKEN, or run: hf auth login")
        return unreached(self.url, OSError(None, self._why(error)))
