"""README.md: the model card. What a release is, how to use it, how good it is, and its limits.

Everything comes from the manifest and the measurements of its build; for later measurements see `zoo compare`. Tables
of devices are those of `zoo.tables`, each with its protocol, followed by what was not measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pipeline.data.images import Input
from pipeline.files import write_text
from pipeline.networks.cost import Cost
from zoo.documents.artifact_agreement import artifact_agreements
from zoo.documents.front_matter import front_matter
from zoo.documents.limits import limits
from zoo.documents.origins import RISKS, USE_CASES, origins
from zoo.layout import CARD, GOLDEN_EMBEDDING, GOLDEN_INPUT, LICENSES, MANIFEST, RUNNER
from zoo.markdown import bullets, escaped, table
from zoo.release.ancestry import ancestor_lines
from zoo.release.lineage import TrainedOn
from zoo.release.local import Release
from zoo.release.manifest import Manifest
from zoo.release.measurements import Measured, Measurement
from zoo.tables.columns import number
from zoo.tables.comparison import compare
from zoo.tables.formats import markdown
from zoo.tables.rows import saved, site_rows


def _millions(value: int) -> str:
    return f"{value / 1e6:.3f}"


def _about(manifest: Manifest) -> str:
    head, accuracy = f"# {manifest.label}\n\n{escaped(manifest.description)}\n\n", manifest.accuracy
    if manifest.compression is None or accuracy.teacher is None:
        return (
            f"{head}An image-retrieval network that zoo did not train: it maps an image to an embedding, and images of "
            "one identity have a high cosine. zoo gave its graph another input, made smaller precisions of it, and "
            f"measured it on {escaped(manifest.data.name)}: mAP {accuracy.student.map:.2f} % in {manifest.reference}."
        )
    shares = saved(manifest.compression)
    return (
        f"{head}An image-retrieval network, trained on {escaped(manifest.data.name)}: it maps an image to an "
        "embedding, and images of one identity have a high cosine. It is a compacted student: "
        f"{shares['macs']:.1f} % of its MACs and {shares['parameters']:.1f} % of its parameters were removed; "
        f"mAP {accuracy.teacher.map:.2f} % (teacher) → {accuracy.student.map:.2f} % (this network, in torch)."
    )


def _use(manifest: Manifest, size: Input) -> str:
    return f"""## Use

With zoo:

```python
import zoo

model = zoo.load("{manifest.label}")
embeddings = model.embed(["a.jpg", "b.jpg"])  # float32 N×D, rows of length 1
```

```sh
zoo query a.jpg --gallery FOLDER --model {manifest.label}  # the nearest images in a folder
```

Without zoo, with numpy, Pillow, and onnxruntime or openvino, in this folder:

```sh
python {RUNNER} a.jpg b.jpg  # one line of JSON per image, by the fp32 graph, or by --artifact FILE
python {RUNNER}              # checks the graph, and each shipped artifact that runs here, against {GOLDEN_EMBEDDING}
```

The graph takes uint8 RGB images, N×{size.height}×{size.width}×3: rotated by EXIF, transparency on white, resized
bilinearly with antialiasing. Scaling, mean and deviation are inside it, and its output has length 1: compare embeddings
by their dot product. The files say so themselves, in the metadata of ONNX (`zoo.…`) and in the `rt_info` of OpenVINO.
[{GOLDEN_INPUT}]({GOLDEN_INPUT}) is drawn, not photographed; the cosine of any artifact to its embedding must be
at least `min_cosine` in [{GOLDEN_EMBEDDING}]({GOLDEN_EMBEDDING}) for its precision."""


def _artifacts(manifest: Manifest) -> str:
    rows = [
        [artifact.path, artifact.precision, artifact.target or "any", f"{artifact.size_bytes / 1e6:.2f}"]
        for artifact in manifest.artifacts
    ]
    return f"## Artifacts\n\n{table(['file', 'precision', 'target', 'MB'], rows, words=3)}"


def _gate(manifest: Manifest) -> str:
    data = manifest.data
    if not data.gate_identities:
        return "the test set itself"
    used = "not used for calibration" if manifest.foreign else "never trained on"
    return f"{data.gate_images} images of {data.gate_identities} other training identities, {used}"


def _data(manifest: Manifest) -> str:
    data = manifest.data
    use = "calibration images are chosen from" if manifest.foreign else "training"
    return "## Data and protocol\n\n" + bullets(
        [
            f"data set {escaped(data.name)}, fingerprint `{data.fingerprint}`",
            f"{use}: {data.train_images} images of {data.train_identities} identities",
            f"gate, which chose precision and float layers: {_gate(manifest)}",
            f"test, on other identities: {data.query_images} queries against {data.gallery_images} gallery images",
            f"protocol: {escaped(manifest.accuracy.student.protocol)}",
            *map(escaped, ancestor_lines(manifest.ancestors)),
        ]
    )


def _accuracy(manifest: Manifest, measurements: Sequence[Measurement]) -> str:
    figures = {
        "teacher": manifest.accuracy.teacher,
        "student before compaction": manifest.accuracy.dense_student,
        "foreign network" if manifest.foreign else "student": manifest.accuracy.student,
    }
    rows = [
        [name, *(f"{value:.2f}" for value in (one.map, one.cmc1, one.cmc5, one.cmc10, one.minp)), str(one.queries)]
        for name, one in figures.items()
        if one
    ]
    headings = ["network", "mAP %", "R1 %", "R5 %", "R10 %", "mINP %", "queries"]
    parts = [f"## Accuracy in {manifest.reference}", table(headings, rows), *_embeddings(manifest, measurements)]
    return "\n\n".join(parts)


def _embeddings(manifest: Manifest, measurements: Sequence[Measurement]) -> list[str]:
    show = number(5)
    rows = [
        [one.target, one.precision, show(one.agreement.mean_cosine), show(one.agreement.min_cosine), one.where]
        for one in artifact_agreements(manifest, measurements)
    ]
    if not rows:
        return []
    headings = ["compiled for", "precision", "mean cosine", "smallest cosine", "images"]
    said = (
        f"Cosines between an image's embeddings by a compiled artifact and by the network in {manifest.reference}. "
        "Where an artifact was not measured on its device, they are of the graph that it was compiled from."
    )
    return [said, table(headings, rows, words=[True, True, False, False, True])]


def _compression(manifest: Manifest) -> str:
    compression = manifest.compression
    if compression is None:
        cost = [["foreign network", _millions(manifest.cost.parameters), _millions(manifest.cost.macs)]]
        return f"## Cost\n\n{table(['network', 'parameters M', 'MACs M'], cost)}"
    costs: dict[str, Cost] = {
        "teacher": compression.teacher,
        "student before compaction": compression.before,
        "student": compression.after,
    }
    rows = [[name, _millions(cost.parameters), _millions(cost.macs)] for name, cost in costs.items()]
    sites = compression.sites
    emptied = sum(site.width_after == 0 for site in sites)
    narrower = sum(0 < site.width_after < site.width_before for site in sites)
    before, after = sum(site.width_before for site in sites), sum(site.width_after for site in sites)
    parts = [
        f"## Compression\n\n{table(['network', 'parameters M', 'MACs M'], rows)}",
        f"Of {len(sites)} compacted sites, {emptied} lost all channels, {narrower} some: {before} → {after} in total.",
    ]
    if sites:
        cells = [[str(value) for value in row.values()] for row in site_rows(manifest)]
        listed = table(list(site_rows(manifest)[0]), cells)
        parts.append(f"<details>\n<summary>Every site</summary>\n\n{listed}\n\n</details>")
    return "\n\n".join(parts)


def _calibration(manifest: Manifest) -> str:
    rows = [
        [
            manifest.role(one.network),
            one.precision,
            one.target or "all",
            one.judge,
            str(len(one.images)),
            number(2)(one.agreement.map_drop_points),
            f"{one.agreement.mean_cosine:.5f}",
            "holds" if one.holds else "does not hold",
            f"{len(one.float_layers)} of {one.layers}" if one.layers else "–",
        ]
        for one in manifest.calibrations
    ]
    if not rows:
        return ""
    who = ["network", "precision", "target", "judged in"]
    headings = [*who, "images", "mAP lost", "mean cosine", "gate", "float layers"]
    layers = [
        f"float for {escaped(one.target or 'all')}: {', '.join(f'`{layer}`' for layer in one.float_layers)}"
        for one in manifest.calibrations
        if one.float_layers
    ]
    said = (
        "`images` are training images on which ranges were observed; mAP lost is in points, against the network in "
        f"{manifest.reference} on the gate's split ({_gate(manifest)}); the gate limits that loss."
    )
    return "\n\n".join(
        ["## Calibration", table(headings, rows, words=len(who)), said, *[bullets(layers)] * bool(layers)]
    )


def _measured(manifest: Manifest, measurements: Sequence[Measurement]) -> str:
    shown = compare([Release(Path(MANIFEST), manifest, list(measurements))])
    runtimes = dict.fromkeys(
        f"{one.target}: {one.runtime.name} {one.runtime.version} on {one.runtime.device}, {one.measured_at[:10]}"
        for one in measurements
        if isinstance(one, Measured)
    )
    told = bullets([escaped(line) for line in runtimes])
    return "\n\n".join(filter(None, ["## Measured on devices", markdown(shown).strip(), told]))


def _trained_on(manifest: Manifest) -> list[str]:
    """Devices and precisions of training, with their stages."""
    stages: dict[TrainedOn, list[str]] = {}
    for stage in manifest.stages:
        if stage.trained_on:
            stages.setdefault(stage.trained_on, []).append(stage.name)
    return [f"{', '.join(names)}: trained on {escaped(on.device)} in {on.precision}" for on, names in stages.items()]


def _provenance(manifest: Manifest) -> str:
    made = manifest.provenance
    facts = [
        f"command: `{made.command}`",
        f"catalogue's commit: {made.git or 'not in a repository'}",
        f"seed: {made.seed}",
        f"created: {manifest.created_at}, {made.seconds:g} s for all stages",
        f"recipe: `{manifest.recipe_digest}` (sha256), in full in {MANIFEST}",
        f"zoo {made.zoo}, Python {made.python}",
        *_trained_on(manifest),
        "libraries: " + ", ".join(f"{name} {version}" for name, version in sorted(made.libraries.items())),
    ]
    return f"## Provenance\n\n{bullets(facts)}"


def _origins(manifest: Manifest) -> str:
    lines = origins(manifest)
    heading = "Where the network comes from" if manifest.foreign else "Initial weights"
    return f"## {heading}\n\n{bullets(lines)}" if lines else ""


def _intended() -> str:
    risks = bullets([f"{risk.name} {risk.mitigation}" for risk in RISKS])
    return f"## Intended use\n\n{bullets(list(USE_CASES))}\n\n## Risks\n\n{risks}"


def _licenses(manifest: Manifest) -> str:
    lines = [f"{part}: {escaped(terms)}" for part, terms in manifest.licenses]
    lines += [
        f"{one.label}, whose weights training started from: weights {escaped(one.licenses.weights)}; data "
        f"{escaped(one.data)}, {escaped(one.licenses.data)}"
        for one in manifest.ancestors
    ]
    return f"## Licenses\n\n{bullets(lines)}\n\nMore in [{LICENSES}]({LICENSES})."


def card_text(manifest: Manifest, measurements: Sequence[Measurement], size: Input) -> str:
    """The document: YAML for the Hugging Face Hub, then Markdown."""
    sections = (
        _about(manifest),
        _use(manifest, size),
        _intended(),
        _artifacts(manifest),
        _origins(manifest),
        _data(manifest),
        _accuracy(manifest, measurements),
        _compression(manifest),
        _calibration(manifest),
        _measured(manifest, measurements),
        "## Limits\n\n" + bullets([escaped(line) for line in limits(manifest, measurements)]),
        _licenses(manifest),
        _provenance(manifest),
    )
    return front_matter(manifest, measurements) + "\n" + "\n\n".join(filter(None, sections)) + "\n"


def write_card(folder: Path, manifest: Manifest, measurements: Sequence[Measurement], size: Input) -> str:
    """Write it, and return its path in the release."""
    write_text(folder / CARD, card_text(manifest, measurements, size))
    return CARD
