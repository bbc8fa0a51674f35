"""Where the files of a release are in its folder."""

from __future__ import annotations

from pathlib import PurePosixPath

SCHEMA = 3  # of the manifests that this version writes
OLDEST = 2  # of those that it reads
MANIFEST = "manifest.json"
MEASUREMENTS = "measurements"  # folder of records
NETWORK = "network"  # folder of the student's weights and its description
GRAPH = "graph/model.onnx"  # the student in fp32, from which targets are compiled
GOLDEN_INPUT, GOLDEN_EMBEDDING = "golden/input.png", "golden/embedding.json"
CARD, LICENSES, RUNNER, SBOM = "README.md", "LICENSES.md", "run.py", "sbom.cdx.json"
KEPT = {schema: f"manifest.schema-{schema}.json" for schema in range(OLDEST, SCHEMA)}  # what `zoo migrate` replaced
STAGE = "stage.json"  # of the store, where the folder is a result in it

RESERVED = (MANIFEST, MEASUREMENTS, STAGE, *KEPT.values())  # names beside the files that a manifest lists
_FILES = (*RESERVED, NETWORK, GRAPH, GOLDEN_INPUT, CARD, LICENSES, RUNNER, SBOM)
OWN_NAMES = tuple(PurePosixPath(path.casefold()).parts[0] for path in _FILES)  # no target may be called like these
