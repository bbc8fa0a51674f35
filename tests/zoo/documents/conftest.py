"""A release on disk with its documents."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.zoo.records import a_manifest
from tests.zoo.shelf import SIZE, a_measurement, fill
from zoo.documents import write_documents
from zoo.layout import MANIFEST
from zoo.release.manifest import Manifest
from zoo.release.record import File


@dataclass(frozen=True)
class Shelf:
    folder: Path
    manifest: Manifest
    documents: list[File]


@pytest.fixture(scope="package")
def shelf(tmp_path_factory) -> Shelf:
    """Read-only."""
    folder = tmp_path_factory.mktemp("shelf")
    manifest = fill(folder, a_manifest(), noise=0.01)
    (folder / MANIFEST).write_text(manifest.model_dump_json())
    return Shelf(folder, manifest, write_documents(folder, manifest, [a_measurement()], SIZE))
