"""The settings of registries in zoo.yaml."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from pipeline.settings import Settings


class RegistrySettings(Settings):
    """Where releases come from, and who signs them. Paths are relative to the zoo.yaml that names them."""

    url: str | None = None
    mirrors: tuple[str, ...] = ()
    keys: tuple[Path, ...] = Field((), description="trusted public keys (PEM)")
    require_signature: bool = Field(False, description="refuse releases without a signature by one of the keys")
