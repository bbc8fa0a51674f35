"""Documents beside the artifacts, and their entries in the manifest."""

import hashlib

from tests.zoo.shelf import SIZE, a_measurement, fill, write_graph
from zoo.documents import write_documents
from zoo.layout import MANIFEST
from zoo.release.manifest import Manifest


def test_every_document_is_listed_with_its_size_and_digest(shelf):
    listed = {file.path for file in shelf.documents}
    written = {path.relative_to(shelf.folder).as_posix() for path in shelf.folder.rglob("*") if path.is_file()}
    assert written - {artifact.path for artifact in shelf.manifest.artifacts} - {MANIFEST} == listed
    assert listed == {
        "README.md", "LICENSES.md", "run.py", "golden/input.png", "golden/embedding.json", "sbom.cdx.json",
    }  # fmt: skip
    for file in shelf.documents:
        content = (shelf.folder / file.path).read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (file.size_bytes, file.sha256)


def test_a_manifest_takes_the_documents(shelf):
    values = shelf.manifest.model_dump(mode="json") | {"documents": [file.model_dump() for file in shelf.documents]}
    assert Manifest.model_validate(values).content_sha256 == shelf.manifest.content_sha256


def test_equal_releases_have_equal_documents(shelf, tmp_path):
    fill(tmp_path, shelf.manifest, noise=0.01)
    assert write_documents(tmp_path, shelf.manifest, [a_measurement()], SIZE) == shelf.documents


def test_existing_documents_are_replaced(shelf, tmp_path):
    """As when an interrupted stage restarts in its folder."""
    fill(tmp_path, shelf.manifest, noise=0.01)
    write_graph(tmp_path / "graph/model.onnx", noise=0.5)
    first = write_documents(tmp_path, shelf.manifest, [], SIZE)
    fill(tmp_path, shelf.manifest, noise=0.01)
    again = write_documents(tmp_path, shelf.manifest, [a_measurement()], SIZE)
    assert again == shelf.documents != first
