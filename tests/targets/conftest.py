"""A machine whose commands and NVML a test defines."""

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
