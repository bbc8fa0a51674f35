"""sbom.cdx.json: the software bill of materials of a release, in CycloneDX 1.6.

The subject is the model. Its components are its artifacts with their digests, the data set that it was trained on (a
foreign network: tested on), and the libraries that built it; a compiled artifact depends on the runtime that compiled
it. Its pedigree is the release that training started from, with the digest of that manifest, or the file of a foreign
network. Everything comes from the manifest and the measurements of
its build: equal ones give equal bytes, including serial number (UUIDv5) and time.

Source: https://cyclonedx.org/docs/1.6/json/. cyclonedx-python-lib 11 has no class for the format's model card (a
comment in its `Component` marks the place), so it is added to the JSON that the library wrote
(`zoo.documents.sbom_card`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import NAMESPACE_URL, uuid5

from pipeline.data.images import Input
from pipeline.files import write_text
from zoo.documents.sbom_card import model_card
from zoo.layout import SBOM
from zoo.release.licensing import stated
from zoo.release.lineage import Ancestor, ForeignFile
from zoo.release.manifest import Manifest
from zoo.release.measurements import Measurement, to_bytes

if TYPE_CHECKING:
    from cyclonedx.model.bom import Bom
    from cyclonedx.model.component import Component, Pedigree
    from cyclonedx.model.license import License

TOOL = "edge-model-zoo"


def _licenses(text: str) -> list[License]:
    from cyclonedx.contrib.license.factories import LicenseFactory

    terms = stated(text)
    return [LicenseFactory().make_from_string(terms)] if terms else []


def _library(name: str, version: str, licenses: list[License] | None = None) -> Component:
    from cyclonedx.model.component import Component, ComponentType
    from packageurl import PackageURL

    purl = PackageURL("pypi", name=name, version=version)
    return Component(
        name=name, version=version, type=ComponentType.LIBRARY, purl=purl, bom_ref=str(purl), licenses=licenses
    )


def _artifacts(manifest: Manifest) -> dict[str, Component]:
    from cyclonedx.model import HashAlgorithm, HashType
    from cyclonedx.model.component import Component, ComponentType

    return {
        artifact.path: Component(
            name=artifact.path,
            type=ComponentType.FILE,
            bom_ref=f"file:{artifact.path}",
            hashes=[HashType(alg=HashAlgorithm.SHA_256, content=artifact.sha256)],
            licenses=_licenses(manifest.licenses.weights),
        )
        for artifact in manifest.artifacts
    }


def _data_ref(manifest: Manifest) -> str:
    return f"data:{manifest.data.name}"


def _pedigree(ancestors: Sequence[Ancestor]) -> Pedigree | None:
    """The release that training started from, with the one that this started from in its own pedigree, and so on."""
    from cyclonedx.model import HashAlgorithm, HashType, Property
    from cyclonedx.model.component import Component, ComponentType, Pedigree

    if not ancestors:
        return None
    nearest, *others = ancestors
    component = Component(
        name=nearest.name,
        version=nearest.version,
        type=ComponentType.MACHINE_LEARNING_MODEL,
        bom_ref=f"model:{nearest.label}",
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=nearest.manifest_sha256)],
        licenses=_licenses(nearest.licenses.weights),
        properties=[
            Property(name="zoo:data:name", value=nearest.data),
            Property(name="zoo:data:fingerprint", value=nearest.data_fingerprint),
        ],
        pedigree=_pedigree(others),
    )
    return Pedigree(ancestors=[component])


def _file_pedigree(file: ForeignFile) -> Pedigree:
    """The file that a foreign network came from."""
    from cyclonedx.model import HashAlgorithm, HashType
    from cyclonedx.model.component import Component, ComponentType, Pedigree

    component = Component(
        name=file.file,
        type=ComponentType.FILE,
        bom_ref=f"foreign:{file.sha256}",
        description=file.source or None,
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=file.sha256)],
    )
    return Pedigree(ancestors=[component], notes="zoo did not train this network.")


def bill(manifest: Manifest, measurements: Sequence[Measurement]) -> Bom:
    """The bill of materials of a release, without the model card."""
    from cyclonedx.model import Property
    from cyclonedx.model.bom import Bom, BomMetaData
    from cyclonedx.model.component import Component, ComponentType
    from cyclonedx.model.tool import ToolRepository

    made_by = manifest.provenance
    files = _artifacts(manifest)
    libraries = {name: _library(name, version) for name, version in made_by.libraries.items()}
    data = Component(
        name=manifest.data.name,
        type=ComponentType.DATA,
        bom_ref=_data_ref(manifest),
        licenses=[] if manifest.foreign else _licenses(manifest.licenses.data),  # of what it was trained on, see there
        properties=[Property(name="zoo:data:fingerprint", value=manifest.data.fingerprint)],
    )
    model = Component(
        name=manifest.name,
        version=manifest.version,
        type=ComponentType.MACHINE_LEARNING_MODEL,
        bom_ref=f"model:{manifest.label}",
        description=manifest.description or None,
        licenses=_licenses(manifest.licenses.weights),
        pedigree=_file_pedigree(manifest.foreign) if manifest.foreign else _pedigree(manifest.ancestors),
    )
    tool = _library(TOOL, made_by.zoo, _licenses(manifest.licenses.code))
    content = hashlib.sha256(b"".join(map(to_bytes, measurements))).hexdigest()
    result = Bom(
        serial_number=uuid5(NAMESPACE_URL, manifest.model_dump_json(exclude={"documents"}) + content),
        metadata=BomMetaData(
            component=model,
            tools=ToolRepository(components=[tool]),
            timestamp=datetime.fromisoformat(manifest.created_at),
        ),
        components=[data, *files.values(), *libraries.values()],
    )
    result.register_dependency(model, [data, *files.values(), *libraries.values()])
    for artifact in manifest.artifacts:
        if artifact.runtime in libraries:
            result.register_dependency(files[artifact.path], [libraries[artifact.runtime]])
    return result


def write_sbom(folder: Path, manifest: Manifest, measurements: Sequence[Measurement], size: Input) -> str:
    """Write it, and return its path in the release.

    Args:
        size: input size of the graph.
    """
    from cyclonedx.output import make_outputter
    from cyclonedx.schema import OutputFormat, SchemaVersion

    outputter = make_outputter(bill(manifest, measurements), OutputFormat.JSON, SchemaVersion.V1_6)
    document = json.loads(outputter.output_as_string())
    document["metadata"]["component"]["modelCard"] = model_card(manifest, measurements, size, _data_ref(manifest))
    write_text(folder / SBOM, json.dumps(document, indent=1, ensure_ascii=False) + "\n")
    return SBOM
