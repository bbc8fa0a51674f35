"""A wheel that zoo knows, an empty Hugging Face cache without a network, and commands in a workshop."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.networks.wheels import Wheel
from tests.hub_cache import HubCache
from tests.wheels import make_wheel


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> HubCache:
    """An empty Hugging Face cache, without a network."""
    return HubCache.offline(tmp_path / "cache", monkeypatch)


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Wheel]:
    """A wheel that zoo knows, and its description."""
    (tmp_path / "wheel").mkdir()
    path, about, _ = make_wheel(tmp_path / "wheel", monkeypatch)
    return path, about
