"""A release that was built here, and its exports."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Workshop
from zoo.home import Home
from zoo.release.local import Release, find_release
from zoo.views.export import Wanted, export_release
from zoo.views.record import ViewRecord

Export = Callable[..., tuple[Path, ViewRecord]]


@pytest.fixture
def home(finished: Workshop) -> Home:
    return Home(finished.home)


@pytest.fixture
def tiny(home: Home) -> Release:
    return find_release(home, "tiny")


@pytest.fixture
def export(home: Home, tiny: Release, tmp_path: Path) -> Export:
    """Exports `tiny`; gives the folder and the record."""

    def run(consumer: str, precision: Any = "fp32", backend: Any = None, **options: Any) -> tuple[Path, ViewRecord]:
        out = tmp_path / f"out{len([*tmp_path.glob('out*')])}"
        most = options.pop("max_batch", None)
        return out, export_release(tiny, home, Wanted(consumer, precision, backend, most, options), out)

    return run
