"""The YAML head of README.md, which the Hugging Face Hub reads.

Source: https://huggingface.co/docs/hub/model-cards, and hub-docs/modelcard.md for `model-index`.

- `license` is that of the weights, which are what one downloads: the Hub's identifier if there is one (the SPDX
  identifier in lower case, see `FAMILIES` for the others), otherwise `other`, with a name and a link to LICENSES.md.
- `base_model` is written only if a network started from pretrained weights, see `zoo.documents.origins`.
- `library_name` is the library that loads the release. The Hub takes any identifier; of those that it knows, `timm`
  would offer a line of code that can't load a pruned network. Formats are in `tags`, by which the Hub filters.
- `datasets` is left out: the Hub takes names of its own data sets there, and a catalogue's are others.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from pipeline.retrieval.accuracy import Accuracy
from zoo.documents.origins import RELATION, hub_models
from zoo.layout import LICENSES
from zoo.release.licensing import stated
from zoo.release.manifest import Manifest
from zoo.release.measurements import Measured, Measurement

TASK = "image-feature-extraction"
LIBRARY = "edge-model-zoo"
METRICS = {"map": "mAP", "cmc1": "R1"}  # in per cent
# Of https://huggingface.co/docs/hub/repositories-licenses, those that are SPDX identifiers in lower case
HUB_LICENSES = {
    "afl-3.0", "apache-2.0", "artistic-2.0", "bsd-2-clause", "bsd-3-clause", "bsd-3-clause-clear", "bsl-1.0",
    "cc-by-2.0", "cc-by-2.5", "cc-by-3.0", "cc-by-4.0", "cc-by-nc-2.0", "cc-by-nc-3.0", "cc-by-nc-4.0",
    "cc-by-nc-nd-3.0", "cc-by-nc-nd-4.0", "cc-by-nc-sa-2.0", "cc-by-nc-sa-3.0", "cc-by-nc-sa-4.0", "cc-by-nd-4.0",
    "cc-by-sa-3.0", "cc-by-sa-4.0", "cc0-1.0", "cdla-permissive-1.0", "cdla-permissive-2.0", "cdla-sharing-1.0",
    "ecl-2.0", "epl-1.0", "epl-2.0", "etalab-2.0", "eupl-1.1", "eupl-1.2", "isc", "lppl-1.3c", "mit", "mpl-2.0",
    "ms-pl", "ncsa", "ofl-1.1", "osl-3.0", "postgresql", "unlicense", "wtfpl", "zlib",
}  # fmt: skip
# Of the same page, identifiers that differ from SPDX's: the Hub does not say whether later versions are included
FAMILIES = {
    "agpl-3.0": "agpl-3.0", "gpl-2.0": "gpl-2.0", "gpl-3.0": "gpl-3.0", "lgpl-2.1": "lgpl-2.1", "lgpl-3.0": "lgpl-3.0",
    "c-uda-1.0": "c-uda", "lgpllr": "lgpl-lr", "odbl-1.0": "odbl", "odc-by-1.0": "odc-by", "pddl-1.0": "pddl",
}  # fmt: skip


def hub_license(terms: str) -> dict[str, Any]:
    """The Hub's fields for a license."""
    text = stated(terms)
    if text is None:
        return {"license": "unknown"}
    if text.lower() in HUB_LICENSES:
        return {"license": text.lower()}
    if family := FAMILIES.get(re.sub(r"(-only|-or-later|\+)$", "", text.lower())):
        return {"license": family}
    name = re.sub(r"[^a-z0-9.]+", "-", text.lower()).strip("-")[:100]
    return {"license": "other", "license_name": name, "license_link": LICENSES}


def front_matter(manifest: Manifest, measurements: Sequence[Measurement]) -> str:
    """The head, with its separator lines. Figures are the student's: in torch, a foreign network's in ONNX Runtime, and
    as shipped on targets.
    """
    from huggingface_hub import EvalResult, ModelCardData

    data = manifest.data
    shipped = [one for one in measurements if isinstance(one, Measured) and one.ships and one.data == data.fingerprint]

    def results(where: str, accuracy: Accuracy) -> list[EvalResult]:
        return [
            EvalResult(
                task_type=TASK,
                dataset_type=data.name,
                dataset_name=data.name,
                dataset_split="test",
                metric_type=metric,
                metric_name=f"{name} % ({where})",
                metric_value=round(getattr(accuracy, metric), 2),
            )
            for metric, name in METRICS.items()
        ]

    # One figure per target: the latest. `read_measurements` returns them in the order of time.
    latest = {f"{one.precision} on {one.target}": one.accuracy for one in shipped if one.accuracy}
    figures = {manifest.reference: manifest.accuracy.student, **latest}
    base = hub_models(manifest) or None
    head = ModelCardData(
        **hub_license(manifest.licenses.weights),
        base_model=base,
        library_name=LIBRARY,
        pipeline_tag=TASK,
        metrics=list(METRICS),
        tags=["image-retrieval", "onnx", *sorted({one.runtime.name for one in shipped} - {"onnxruntime"})],
        model_name=manifest.name,
        eval_results=[result for where, accuracy in figures.items() for result in results(where, accuracy)],
    )
    if base:
        head.base_model_relation = RELATION  # type: ignore[attr-defined]
    return f"---\n{head.to_yaml()}\n---\n"
