"""A registry in a repository of the Hugging Face Hub: hf://datasets/OWNER/NAME, hf://OWNER/NAME or a folder in one.

A release is one commit, blobs and index together, on the parent that was read. Token: `HF_TOKEN`, or `hf auth login`.
Source: huggingface_hub, `HfApi.create_commit` and `HfFileSystem`.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from targets.installing import install_command
from zoo.errors import RegistryError
from zoo.registry.places import Edit, too_long, unreached

ATTEMPTS = 20  # of a commit that others come before
LOST_RACE = (409, 412)


class Hub:
    """See `Place`."""

    def __init__(self, url: str) -> None:
        try:
            import huggingface_hub as hub
        except ModuleNotFoundError:
            raise RegistryError(f"registries on the Hub need huggingface-hub. {install_command('hub')}") from None
        self.url, self._hub = url.rstrip("/"), hub
        self._files: Any = hub.HfFileSystem(use_listings_cache=False)
        try:
            where: Any = self._files.resolve_path(self.url)
        except (OSError, ValueError, hub.errors.HfHubHTTPError) as error:
            raise unreached(self.url, error) from None
        self._kind, self._repository = where.repo_type, where.repo_id
        self._folder = f"{where.path_in_repo}/" if where.path_in_repo else ""
        self._revision = str(where.revision)

    def read(self, path: str, limit: int) -> bytes | None:
        """See `Place.read`."""
        try:
            return self._read(path, limit, self._revision)
        except (OSError, self._hub.errors.HfHubHTTPError) as error:
            raise unreached(self.url, error) from None

    def fetch(self, path: str, start: int, end: int) -> bytes:
        """See `Place.fetch`."""
        content: bytes = self._files.cat_file(self._at(path, self._revision), start=start, end=end)
        return content

    def publish(self, blobs: Mapping[str, Path], index: str, limit: int, edit: Edit) -> None:
        """See `Place.publish`."""
        api, add = self._hub.HfApi(), self._hub.CommitOperationAdd
        try:
            for attempt in range(ATTEMPTS):
                parent = str(api.repo_info(self._repository, repo_type=self._kind, revision=self._revision).sha)
                content = edit(self._read(index, limit, parent))
                if content is None:
                    return
                files = [
                    add(self._folder + path, str(source))
                    for path, source in blobs.items()
                    if not self._files.exists(self._at(path, parent))
                ]
                files.append(add(self._folder + index, content))
                if self._commit(api, files, parent):
                    return
                time.sleep(random.uniform(0, min(10.0, 0.2 * 2**attempt)))
        except (OSError, self._hub.errors.HfHubHTTPError) as error:
            raise unreached(self.url, error) from None
        raise RegistryError(f"other writers of {self.url} came first {ATTEMPTS} times. Run the same command again.")

    def listing(self, below: str) -> Iterator[tuple[str, int, float]]:
        """See `Place.listing`."""
        root = self._at("", self._revision)
        found = self._files.find(self._at(below, self._revision), detail=True, expand_info=True)
        for name, about in found.items():
            yield name.removeprefix(root), about["size"], about["last_commit"].date.timestamp()

    def remove(self, paths: list[str]) -> None:
        """See `Place.remove`. The Hub keeps them in its history."""
        if paths:
            gone = [self._hub.CommitOperationDelete(self._folder + path) for path in paths]
            self._hub.HfApi().create_commit(
                self._repository, gone, commit_message="zoo gc", repo_type=self._kind, revision=self._revision
            )

    def _at(self, path: str, revision: str) -> str:
        kind = "" if self._kind == "model" else f"{self._kind}s/"
        return f"{kind}{self._repository}@{revision}/{self._folder}{path}"

    def _read(self, path: str, limit: int, revision: str) -> bytes | None:
        try:
            with self._files.open(self._at(path, revision), "rb", block_size=2**20) as file:
                content: bytes = file.read(limit + 1)
        except FileNotFoundError:
            return None
        if len(content) > limit:
            raise too_long(path, self.url, limit)
        return content

    def _commit(self, api: Any, files: list[Any], parent: str) -> bool:
        """Whether nobody came first."""
        try:
            api.create_commit(
                self._repository, files, commit_message="zoo publish", repo_type=self._kind, revision=self._revision,
                parent_commit=parent,
            )  # fmt: skip
        except self._hub.errors.HfHubHTTPError as error:
            if error.response is not None and error.response.status_code in LOST_RACE:
                return False
            raise
        return True
