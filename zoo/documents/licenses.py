"""LICENSES.md: licenses of the code, the weights and the data of a release, and of those that it started from."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from pipeline.files import write_text
from zoo.layout import LICENSES
from zoo.markdown import escaped
from zoo.release.licensing import stated
from zoo.release.lineage import Ancestor
from zoo.release.manifest import Manifest

UNKNOWN = (
    "**Not stated.** Without a license nobody may copy, change or distribute it, except as the law permits. Ask its "
    "authors."
)


def spdx_ids(terms: str) -> list[str]:
    """Identifiers of the SPDX license list in a license: a single one, those of an expression, or none in free text."""
    from cyclonedx.spdx import fixup_id, is_expression

    if single := fixup_id(terms):
        return [single]
    if not terms or not is_expression(terms):
        return []
    words = re.findall(r"[\w.+-]+", terms)
    return list(dict.fromkeys(known for word in words if (known := fixup_id(word))))


def _section(heading: str, terms: str, covers: str) -> str:
    text = stated(terms)
    if text is None:
        return f"## {heading}\n\n{covers}\n\n{UNKNOWN}\n"
    links = "".join(f"\n- [{name}](https://spdx.org/licenses/{name}.html)" for name in spdx_ids(text))
    return f"## {heading}\n\n{covers}\n\n{escaped(text)}\n{links}" + "\n" * bool(links)


def _inherited(ancestor: Ancestor) -> Iterator[str]:
    """Licenses of a release that training started from."""
    yield _section(
        f"Weights of {ancestor.label}",
        ancestor.licenses.weights,
        "Training started from the network of this release: the weights of the new one are derived from it.",
    )
    covers = f"The data set {escaped(ancestor.data)}, on which it was trained."
    yield _section(f"Data of {ancestor.label}", ancestor.licenses.data, covers)


def licenses_text(manifest: Manifest) -> str:
    """The document, in Markdown."""
    given = manifest.licenses
    name = escaped(manifest.data.name)
    covers = f"The data set {name}, on which the network was trained. This release contains none of its images."
    if manifest.foreign:
        known = escaped(manifest.foreign.trained_on) or "not stated which"
        covers = (
            f"The images on which its authors trained the network ({known}). This release contains none of them; zoo "
            f"calibrated and tested it on {name}."
        )
    return "\n".join(
        (
            f"# Licenses of {manifest.label}\n",
            _section("Code", given.code, "zoo, which made this release, and run.py in it."),
            _section("Weights", given.weights, "The network, its graph, and everything compiled from it."),
            _section("Data", given.data, covers),
            *(part for ancestor in manifest.ancestors for part in _inherited(ancestor)),
        )
    )


def write_licenses(folder: Path, manifest: Manifest) -> str:
    """Write it, and return its path in the release."""
    write_text(folder / LICENSES, licenses_text(manifest))
    return LICENSES
