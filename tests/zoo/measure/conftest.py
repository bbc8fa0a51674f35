"""A release measured again on this machine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from pipeline.engine.progress import Silent
from tests.conftest import Workshop
from zoo.catalogue import Catalogue, load_catalogue
from zoo.home import Home
from zoo.measure.measurable import measurable
from zoo.measure.measuring import find_data, measure_release, read_protocol
from zoo.release.local import Release, find_release
from zoo.release.measurements import Measured

Again = Callable[..., list[Measured]]


@pytest.fixture
def tiny(finished: Workshop, monkeypatch: pytest.MonkeyPatch) -> Release:
    monkeypatch.setenv("ZOO_HOME", str(finished.home))
    monkeypatch.setenv("ZOO_CATALOGUE", str(finished.catalogue))
    return find_release(Home.find(), "tiny")


@pytest.fixture
def catalogue(tiny: Release) -> Catalogue:
    return load_catalogue()


@pytest.fixture
def again(finished: Workshop, catalogue: Catalogue) -> Again:
    """Measures a release here."""

    def measure(release: Release, targets: Sequence[str], data_root: Path = finished.root / "data") -> list[Measured]:
        data = find_data(release.manifest, catalogue, Home.find(), data_root, Silent())
        protocol, plan = read_protocol(release.manifest, data), measurable(release, targets, catalogue)
        return [
            one for name, found in plan.items() for one in measure_release(release, name, found, protocol, Silent())
        ]

    return measure
