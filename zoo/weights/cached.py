"""Weights in the Hugging Face cache, read from its folders: neither its library nor a network is needed.

Layout: https://huggingface.co/docs/huggingface_hub/guides/manage-cache
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from pipeline.networks.hub import FILE, SHA256


@dataclass(frozen=True)
class Cached:
    """`model.safetensors` of a repository at a commit.

    Attributes:
        refs: branches and tags that were at this commit when they were last asked for.
        sha256: of the content as downloaded; None if the cache does not tell.
    """

    repository: str
    revision: str
    refs: tuple[str, ...]
    path: Path
    sha256: str | None

    def is_at(self, revision: str) -> bool:
        """Whether a branch, a tag or a commit names it."""
        return revision == self.revision or revision in self.refs


def cache_folder() -> Path:
    """The cache's folder: `HF_HUB_CACHE`, or `hub` in `HF_HOME`, which is `~/.cache/huggingface` by default."""
    if find_spec("huggingface_hub"):
        from huggingface_hub import constants

        return Path(constants.HF_HUB_CACHE)
    if named := os.environ.get("HF_HUB_CACHE"):
        return Path(named).expanduser()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache")
    return (Path(os.environ.get("HF_HOME") or cache / "huggingface") / "hub").expanduser()


def _refs(repository: Path) -> dict[str, tuple[str, ...]]:
    """Names of branches and tags, by commit."""
    found = defaultdict(list)
    for path in sorted((repository / "refs").rglob("*")):
        if path.is_file():
            found[path.read_text(encoding="utf-8").strip()].append(path.relative_to(repository / "refs").as_posix())
    return {commit: tuple(names) for commit, names in found.items()}


def cached_weights(folder: Path) -> Iterator[Cached]:
    """All weights in a cache, by repository and commit."""
    for repository in sorted(folder.glob("models--*--*")):
        _, owner, name = repository.name.split("--", 2)
        refs = _refs(repository)
        for path in sorted(repository.glob(f"snapshots/*/{FILE}")):
            if path.is_file():
                stored = path.resolve().name
                digest = stored if SHA256.fullmatch(stored) else None
                commit = path.parent.name
                yield Cached(f"{owner}/{name}", commit, refs.get(commit, ()), path, digest)
