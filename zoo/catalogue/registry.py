"""What zoo.yaml says of registries."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from pipeline.settings import Settings


class RegistrySettings(Settings):
    """Where releases come from, and whose. Paths are relative to the zoo.yaml that names them."""

    url: str | None = None
    mirrors: tuple[str, ...] = ()
    keys: tuple[Path, ...] = Field((), description="public keys (PEM) that are trusted")
    require_signature: bool = Field(False, description="refuse releases that none of the keys signed")
