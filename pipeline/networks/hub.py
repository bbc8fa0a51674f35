"""Pretrained weights on the Hugging Face Hub: identified before the download, then downloaded.

`main` moves, so a result depends on the commit that it names when a build is planned, and on the file's sha256. Both
are part of a stage's key and of the manifest.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import WeightsError
from pipeline.files import write_text
from pipeline.networks.wheels import ways_out
from targets.errors import first_line
from targets.files import sha256

FILE = "model.safetensors"
BRANCH = "main"
SHA256 = re.compile(r"[0-9a-f]{64}")
COMMIT = re.compile(r"[0-9a-f]{40}")


@contextmanager
def _quiet() -> Iterator[None]:
    """Suppress a line for every retry."""
    logger = logging.getLogger("huggingface_hub")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _failed(repository: str, revision: str, error: Exception) -> WeightsError:
    cause = first_line(error).split(". ")[0].rstrip(".")
    owner, _, name = repository.partition("/")
    architecture = name if owner == "timm" else "ARCHITECTURE"  # others have names of their own
    return WeightsError(f"can't get pretrained weights {repository} at {revision}: {cause}.\n{ways_out(architecture)}")


@dataclass(frozen=True)
class HubFile:
    """`model.safetensors` of a repository at a commit, and the sha256 of its content."""

    repository: str
    revision: str
    sha256: str

    def fetch(self) -> Path:
        """Path in the Hugging Face cache, downloaded if it is missing.

        Raises:
            WeightsError: it is not available, or its content differs.
        """
        import huggingface_hub

        what = f"{self.repository} at {self.revision[:12]}"
        try:
            with _quiet():
                path = Path(huggingface_hub.hf_hub_download(self.repository, FILE, revision=self.revision))
        except (OSError, ValueError, RuntimeError) as error:  # huggingface_hub's errors derive from these
            raise _failed(self.repository, self.revision[:12], error) from None
        if sha256(path) != self.sha256:
            raise WeightsError(
                f"{path.resolve()} differs from {what}: its sha256 is not the Hub's. Remove it and build again."
            )
        return path


def _cached(repository: str, revision: str) -> HubFile | None:
    import huggingface_hub

    path = huggingface_hub.try_to_load_from_cache(repository, FILE, revision=revision)
    if not isinstance(path, str):
        return None
    digest, stored = sha256(Path(path)), Path(path).resolve().name  # the cache names contents by their sha256
    if SHA256.fullmatch(stored) and stored != digest:
        raise WeightsError(
            f"{Path(path).resolve()} is damaged: {repository} at {revision} had the sha256 {stored[:12]}… when it was "
            f"downloaded, and has {digest[:12]}… now. Remove it, and build again with a network."
        )
    return HubFile(repository, Path(path).parent.name, digest)  # …/snapshots/COMMIT/FILE


def _asked(repository: str, revision: str) -> HubFile:
    """The file of a revision, according to the Hub."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url

    about = get_hf_file_metadata(hf_hub_url(repository, FILE, revision=revision))
    if not about.commit_hash:
        raise ValueError("the server does not return a commit")
    if about.etag and SHA256.fullmatch(about.etag):  # for large files
        return HubFile(repository, about.commit_hash, about.etag)
    path = Path(hf_hub_download(repository, FILE, revision=about.commit_hash))
    return HubFile(repository, about.commit_hash, sha256(path))


class Memory:
    """Last known files of revisions, so that a build with all results in the store needs neither Hub nor cache.

    Args:
        folder: where they are kept; None: nowhere.
    """

    def __init__(self, folder: Path | None) -> None:
        self._path = folder / "hub.json" if folder else None

    def _all(self) -> dict[str, list[str]]:
        try:
            content = json.loads(self._path.read_text(encoding="utf-8")) if self._path else {}
        except (OSError, ValueError):
            return {}
        return content if isinstance(content, dict) else {}

    def recall(self, repository: str, revision: str) -> HubFile | None:
        """The last known file; None if unknown."""
        match self._all().get(f"{repository}@{revision}"):
            case [str(commit), str(digest)]:
                return HubFile(repository, commit, digest)
        return None

    def keep(self, file: HubFile, revision: str) -> None:
        """Remember a file for the next build, if the folder can be written."""
        if self._path and self.recall(file.repository, revision) != file:
            known = self._all() | {f"{file.repository}@{revision}": [file.revision, file.sha256]}
            with suppress(OSError):
                write_text(self._path, json.dumps(known, indent=1, sort_keys=True) + "\n")


def find_hub_file(repository: str, revision: str | None, memory: Memory) -> HubFile:
    """Find the file of a revision: on the Hub, otherwise in the Hugging Face cache, otherwise as last known.

    No large file is downloaded. A commit in the cache is not looked up on the Hub.

    Args:
        revision: commit, tag or branch; None: `main`.

    Raises:
        WeightsError: it is unknown, or the repository has no such revision or no safetensors.
    """
    from huggingface_hub import constants
    from huggingface_hub.errors import EntryNotFoundError, RepositoryNotFoundError, RevisionNotFoundError

    wanted = revision or BRANCH
    if (constants.HF_HUB_OFFLINE or COMMIT.fullmatch(wanted)) and (known := _cached(repository, wanted)):
        return known
    try:
        with _quiet():
            found = _asked(repository, wanted)
    except (EntryNotFoundError, RepositoryNotFoundError, RevisionNotFoundError) as error:
        raise _failed(repository, wanted, error) from None
    except Exception as error:  # noqa: BLE001 - no connection: errors of requests, httpx or the system, by version
        known = _cached(repository, wanted) or memory.recall(repository, wanted)
        if known is None:
            raise _failed(repository, wanted, error) from None
        return known
    memory.keep(found, wanted)
    return found
