"""A Hugging Face cache as huggingface_hub lays it out: contents by sha256, and a folder of links for each commit."""

from __future__ import annotations

import hashlib
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import huggingface_hub.constants
import pytest

COMMIT = "c0" * 20


@dataclass(frozen=True)
class HubCache:
    """The cache in a folder."""

    root: Path

    @classmethod
    def offline(cls, root: Path, patch: pytest.MonkeyPatch) -> HubCache:
        """An empty cache that huggingface_hub uses from now on, without a network."""
        patch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
        patch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(root))
        return cls(root)

    def fill(self, name: str, file: Path, commit: str = COMMIT, ref: str = "main") -> Path:
        """Add a file as the weights of timm/NAME at a commit; the path of its link."""
        folder = self.root / f"models--timm--{name}"
        blob = folder / "blobs" / hashlib.sha256(file.read_bytes()).hexdigest()
        link = folder / "snapshots" / commit / "model.safetensors"
        for path in (blob, link, folder / "refs" / ref):
            path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, blob)
        link.symlink_to(os.path.relpath(blob, link.parent))
        (folder / "refs" / ref).write_text(commit)
        return link
