"""A machine of which a test says what commands and which NVML it has."""

import sys

import pytest

from tests.targets.boards import Library


@pytest.fixture
def commands(tmp_path, monkeypatch):
    """The only folder where commands are found."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


@pytest.fixture
def nvml(monkeypatch):
    """An NVML that answers for a GPU."""
    library = Library()
    monkeypatch.setitem(sys.modules, "pynvml", library)
    return library
