"""What goes with the artifacts of a release: model card, licenses, golden input, runner, SBOM."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pipeline.data.images import Input
from zoo.manifest import File, Manifest
from zoo.measurements import Measured, Pending


def write_documents(
    folder: Path, manifest: Manifest, measurements: Sequence[Measured | Pending], size: Input
) -> list[File]:
    """Write them beside the artifacts; what the manifest lists of them.

    Args:
        folder: of the release, with all artifacts in it.
        manifest: of the release, without documents.
        size: of the images that the graph takes.
    """
    return []
