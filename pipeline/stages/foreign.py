"""Stage `export` of a foreign network: its graph with zoo's input and output; and stage `reference`, its embeddings.

The results have the form of those of `pipeline.stages.export` and `pipeline.stages.reference`, so that all later stages
are the same. The reference is the file in ONNX Runtime, in place of a network in torch.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pipeline.data import LIBRARIES as IMAGES
from pipeline.data.images import Input, read_batches
from pipeline.data.samples import Index
from pipeline.engine.work import Work
from pipeline.errors import CheckFailed, ForeignError
from pipeline.foreign.settings import Foreign
from pipeline.retrieval.agreement import answer
from pipeline.stages.calibrate import HOST, ReferenceRuntime, embed_samples
from pipeline.stages.export import CHECKED_IMAGES, GRAPH, Export
from pipeline.stages.reference import GALLERY, GATE, QUERY
from targets.files import sha256

VERSION = 3
LIBRARIES = (*IMAGES, "onnx", "onnxsim", "onnxruntime")
REFERENCE_LIBRARIES = (*IMAGES, "torch", "onnxruntime")
ACCURACY = "accuracy.json"


def take_graph(
    work: Work, *, data: Index, input: Input, settings: Export, foreign: Foreign, onnx: Path, **_external: Path
) -> None:
    """Write `model.onnx` and `export.json`: parity with the file, cost, and which program wrote it.

    Args:
        onnx: the file; its external data, which is given too, is found beside it.

    Raises:
        ForeignError: the file is another one than the recipe's; see also `pipeline.foreign.reading` and
            `pipeline.foreign.wrapping`.
        CheckFailed: embeddings of real images differ from the file's.
    """
    from onnx import save

    from pipeline.foreign.original import open_session, run
    from pipeline.foreign.reading import read_model
    from pipeline.foreign.wrapping import wrap

    if sha256(onnx) != foreign.sha256:
        raise ForeignError(f"{onnx} changed since this command began. Start it again.")
    model = read_model(onnx)
    wrapped = wrap(model, input, foreign, settings.opset, onnx.name)
    images = next(read_batches(data.gallery, input, CHECKED_IMAGES))
    found = run(open_session(wrapped.model, onnx.name), images, onnx.name)
    cosine = float((found * wrapped.original.embed(images)).sum(1).min())
    if not cosine >= settings.min_cosine:
        raise CheckFailed(
            f"embeddings of the graph made of {onnx.name} have cosine {cosine:.6f} to the file's, below "
            f"export.min_cosine ({settings.min_cosine}). Export the network again with opset_version={settings.opset}."
        )
    save(wrapped.model, work.out / GRAPH)
    opset = next(one.version for one in wrapped.model.opset_import if one.domain in ("", "ai.onnx"))
    work.write_json(
        "export.json",
        {
            "min_cosine": cosine,
            "images": len(images),
            "cost": wrapped.cost.model_dump(),
            "opset": opset,
            "dimension": found.shape[1],
            "producer": " ".join(filter(None, (model.producer_name, model.producer_version))),
        },
    )


def embed_reference(work: Work, *, data: Index, input: Input, graph: Path) -> None:
    """Write the embeddings of `pipeline.stages.reference`, and `accuracy.json`.

    Args:
        graph: folder of the stage `export`.
    """
    session = ReferenceRuntime(HOST, data, input, work.scratch).session(graph / GRAPH)
    rows = {QUERY: embed_samples(session, data.query, input), GALLERY: embed_samples(session, data.gallery, input)}
    if data.gate:
        rows[GATE] = embed_samples(session, data.gate, input)
    for name, found in rows.items():
        np.save(work.out / name, found)
    accuracy = answer(rows[QUERY], rows[GALLERY], data.query, data.gallery).accuracy
    work.write_json(ACCURACY, accuracy.model_dump())
