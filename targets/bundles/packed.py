"""What stands in a bundle for each variant: its graph, which the device compiles; or its artifact, already compiled and
packed into one file, if the runtime's artifacts are the same on every board (`targets.contract.is_portable`).
"""

from __future__ import annotations

import zipfile
from pathlib import Path

from targets.bundles.archive import DAMAGED, MOMENT, MOST_BYTES, safe_name
from targets.contract import Job, Target, is_portable
from targets.errors import BadBundle, first_line

MAGIC = b"PK\x03\x04"  # of a ZIP file; no ONNX graph begins so


def pack(folder: Path, path: Path) -> None:
    """Write the files of an artifact's folder into one; equal files give equal bytes."""
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.iterdir()):
            archive.writestr(zipfile.ZipInfo(file.name, MOMENT), file.read_bytes())


def is_packed(path: Path) -> bool:
    """Whether a file is an artifact and not a graph."""
    with path.open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC


def make_artifact(target: Target, source: Path, folder: Path, job: Job) -> None:
    """Compile a graph into `folder`, or unpack the artifact there. Nothing in `source` is trusted.

    Raises:
        ArtifactFailed: the runtime refuses the graph.
        BadBundle: the artifact is damaged, or the runtime does not take artifacts of other machines.
    """
    if not is_packed(source):
        target.compile(source, folder, job)
        return
    if not is_portable(target):
        raise BadBundle(f"{source.name} is an artifact, but its runtime takes a graph. Build the bundle again.")
    try:
        with zipfile.ZipFile(source) as archive:
            files = archive.infolist()
            if sum(one.file_size for one in files) > MOST_BYTES:
                raise ValueError("it is too large")
            for one in files:
                if not safe_name(one.filename) or "/" in one.filename or one.compress_type != zipfile.ZIP_STORED:
                    raise ValueError(f"it holds {one.filename!r:.60}")
                (folder / one.filename).write_bytes(archive.read(one))
    except DAMAGED as error:
        why = first_line(error)
        raise BadBundle(f"the artifact {source.name} is damaged ({why}). Build the bundle again.") from None
