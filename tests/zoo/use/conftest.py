"""The finished workshop as the current home."""

from __future__ import annotations

from pathlib import Path

import pytest

import zoo
from tests.conftest import Workshop


@pytest.fixture
def shop(finished: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workshop:
    """A release to use, from an empty folder."""
    monkeypatch.setenv("ZOO_HOME", str(finished.home))
    monkeypatch.setenv("ZOO_CATALOGUE", str(finished.catalogue))
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return finished


@pytest.fixture
def model(shop: Workshop) -> zoo.use.embedder.Embedder:
    return zoo.load("tiny")


@pytest.fixture
def folder(shop: Workshop) -> Path:
    """Eight images."""
    return shop.root / "data" / "squares" / "image_query"


@pytest.fixture
def images(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.jpg"))
