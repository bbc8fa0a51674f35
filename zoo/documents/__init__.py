"""Documents of a release: model card, licenses, golden input, runner, SBOM."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pipeline.data.images import Input
from targets.files import sha256
from zoo.release.manifest import Manifest
from zoo.release.measurements import Measurement
from zoo.release.record import File


def write_documents(folder: Path, manifest: Manifest, measurements: Sequence[Measurement], size: Input) -> list[File]:
    """Write them beside the artifacts; return their entries for the manifest.

    Args:
        folder: of the release, with all artifacts in it.
        manifest: of the release, without documents.
        size: input size of the graph.

    Raises:
        ArtifactFailed: ONNX Runtime refuses a graph of the release.
    """
    # Imported here: a reader of records needs neither huggingface_hub nor tables, and run.py is not part of a program.
    from zoo.documents.card import write_card
    from zoo.documents.golden import write_golden
    from zoo.documents.licenses import write_licenses
    from zoo.documents.runner import write_runner
    from zoo.documents.sbom import write_sbom

    paths = [
        write_card(folder, manifest, measurements, size),
        write_licenses(folder, manifest),
        write_runner(folder),
        *write_golden(folder, manifest, measurements, size),
        write_sbom(folder, manifest, measurements, size),
    ]
    return [File(path=path, size_bytes=(folder / path).stat().st_size, sha256=sha256(folder / path)) for path in paths]
