"""Embeddings as JSON, or as float32 bytes for a client that prefers them."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import TYPE_CHECKING

import numpy as np

from zoo.serve.refusal import Refusal

if TYPE_CHECKING:
    from aiohttp.web import Response

    from zoo.use.embedder import Embedder

JSON, BYTES = "application/json", "application/octet-stream"
IMAGES = "Zoo-Images"
OFFERED = (JSON, BYTES)  # the first one unless a client prefers another


def _quality(offered: str, accept: str) -> float:
    """How much a client wants a media type, 0 … 1; the most specific range counts (RFC 9110, section 12.5.1)."""
    found = (-1, 0.0)
    for item in accept.split(","):
        media, *parameters = (part.strip().lower() for part in item.split(";"))
        quality = 1.0
        for name, _, value in (part.partition("=") for part in parameters):
            if name.strip() == "q":
                try:
                    quality = float(value)
                except ValueError:
                    quality = 0.0
        kinds = {"*/*": 0, f"{offered.partition('/')[0]}/*": 1, offered: 2}
        if media in kinds:
            found = max(found, (kinds[media], quality))
    return found[1]


def form_of(accept: str | None) -> str:
    """The media type of an answer.

    Args:
        accept: the header of the request; none takes anything.

    Raises:
        Refusal: the client takes neither.
    """
    if not accept or not accept.strip():
        return JSON
    best = max(OFFERED, key=lambda one: _quality(one, accept))  # the first of equal ones
    if _quality(best, accept) <= 0:
        raise Refusal(
            HTTPStatus.NOT_ACCEPTABLE,
            "accept",
            "No form of the answer is acceptable.",
            f"Embeddings come as {' or '.join(OFFERED)}.",
            "Set Accept to one of these, or leave it out.",
            close=True,
        )
    return best


def embeddings_json(embedder: Embedder, rows: np.ndarray) -> str:
    """Embeddings and what made them. Nine digits give a float32 back exactly."""
    about = {
        "release": embedder.release,
        "target": embedder.target,
        "precision": embedder.precision,
        "artifact_sha256": embedder.artifact_sha256,
        "dimension": embedder.dimension,
    }
    listed = ",".join("[" + ",".join(map("{:.9g}".format, row)) + "]" for row in rows.tolist())
    return f'{json.dumps(about)[:-1]}, "embeddings": [{listed}]}}'


def answer(embedder: Embedder, rows: np.ndarray, form: str) -> Response:
    """The answer with embeddings float32 N×D, in a form of `form_of`."""
    from aiohttp.web import Response

    headers = {
        "Zoo-Release": embedder.release,
        "Zoo-Artifact-Sha256": embedder.artifact_sha256,
        IMAGES: str(len(rows)),
        "Zoo-Dimension": str(embedder.dimension),
    }
    if form == BYTES:
        return Response(body=np.ascontiguousarray(rows, "<f4").tobytes(), content_type=BYTES, headers=headers)
    return Response(text=embeddings_json(embedder, rows), content_type=JSON, headers=headers)
