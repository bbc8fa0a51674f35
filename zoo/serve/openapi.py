"""The interface as OpenAPI 3.1 describes it (https://spec.openapis.org/oas/v3.1.1), with the limits of this server."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from zoo import __version__
from zoo.serve.answers import BYTES, JSON
from zoo.serve.bodies import MULTIPART
from zoo.serve.limits import Limits
from zoo.serve.pictures import MEDIA_TYPES

if TYPE_CHECKING:
    from zoo.use.embedder import Embedder

EMBED, MODEL, OPENAPI = "/v1/embed", "/v1/model", "/openapi.json"
HEALTH, READY, METRICS = "/healthz", "/readyz", "/metrics"
TEXT = {"type": "string"}
DIGEST = {"type": "string", "pattern": "^[0-9a-f]{64}$", "description": "sha256 of the artifact"}
ABOUT = {
    "release": {"type": "string", "description": "name@version"},
    "target": {"type": "string", "description": "target or runtime, as zoo.load takes it"},
    "precision": {"type": "string", "enum": ["fp32", "fp16", "int8"]},
    "artifact_sha256": DIGEST,
}
PROBLEM = {
    "status": {"type": "integer", "minimum": 400, "maximum": 599},
    "what": {"type": "string", "description": "what is wrong"},
    "why": {"type": "string", "description": "why"},
    "next": {"type": "string", "description": "what to do"},
}
RETRY = {"Retry-After": {"description": "seconds to wait", "schema": {"type": "integer", "minimum": 1}}}
WHEN = {  # an answer with an error: when it comes
    400: "The form can't be read, or the request is not HTTP.",
    406: "Accept excludes both forms of the answer.",
    408: "The body did not arrive in time.",
    413: "The body, an image or the number of images is too large.",
    415: "The content type, or an image's format, is not supported.",
    422: "An image is empty or can't be decoded, or the form has none.",
    429: "This client sends too many requests.",
    500: "The server failed.",
    503: "The server is busy or shutting down.",
}


def about_model(embedder: Embedder, limits: Limits) -> dict[str, Any]:
    """What is served, and within which limits."""
    height, width = embedder.input_size
    return {
        "release": embedder.release,
        "target": embedder.target,
        "precision": embedder.precision,
        "artifact_sha256": embedder.artifact_sha256,
        "runtime": embedder.runtime,
        "height": height,
        "width": width,
        "dimension": embedder.dimension,
        "limits": asdict(limits),
    }


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _json(schema: str, description: str, headers: dict[str, Any] | None = None) -> dict[str, Any]:
    content = {JSON: {"schema": {"$ref": f"#/components/schemas/{schema}"}}}
    return {"description": description, "content": content, **({"headers": headers} if headers else {})}


def _errors(*statuses: int) -> dict[str, Any]:
    return {
        str(status): _json("Problem", WHEN[status], RETRY if status == 429 else None) for status in sorted(statuses)
    }


def _number(kind: str = "integer", **more: Any) -> dict[str, Any]:
    return {"type": kind, **more}


def _schemas(dimension: int) -> dict[str, Any]:
    row = {"type": "array", "items": {"type": "number"}, "minItems": dimension, "maxItems": dimension}
    limits = {
        name: _number("number" if isinstance(value, float) else "integer") for name, value in asdict(Limits()).items()
    }
    limits["rate"] = {"type": ["number", "null"], "description": "requests per second of a client; null: not limited"}
    return {
        "Embeddings": _object(
            {
                **ABOUT,
                "dimension": _number(const=dimension),
                "embeddings": {
                    "type": "array",
                    "items": row,
                    "minItems": 1,
                    "description": "one row per image, in order, of length 1: the dot product of two is their cosine",
                },
            }
        ),
        "Model": _object(
            {
                **ABOUT,
                "runtime": TEXT,
                "height": _number(description="of the network's input, pixels"),
                "width": _number(description="of the network's input, pixels"),
                "dimension": _number(const=dimension, description="components of an embedding"),
                "limits": _object(limits),
            }
        ),
        "Problem": _object(PROBLEM),
        "Status": _object({"status": TEXT}),
    }


def _embed(limits: Limits, dimension: int) -> dict[str, Any]:
    images = {
        "type": "array",
        "items": {"type": "string", "contentMediaType": BYTES},
        "minItems": 1,
        "maxItems": limits.images,
    }
    form = _object({"image": images})
    whole = {"description": f"{4 * dimension} bytes per image: float32, little-endian, row by row"}
    headers = {
        "Zoo-Release": {"schema": ABOUT["release"]},
        "Zoo-Artifact-Sha256": {"schema": DIGEST},
        "Zoo-Images": {"schema": _number(minimum=1)},
        "Zoo-Dimension": {"schema": _number(const=dimension)},
    }
    done = _json("Embeddings", "Embeddings, one row per image.", headers)
    done["content"][BYTES] = {"schema": whole}
    limited = (429,) if limits.rate else ()
    return {
        "operationId": "embed",
        "summary": "Embed one image, or several",
        "description": (
            f"At most {limits.body_mib} MiB, {limits.images} images, and {limits.megapixels} megapixels per image. "
            "Images are rotated by EXIF, put on white where transparent, and resized, as zoo.load does. "
            f"The header Accept chooses the form of the answer: {JSON}, or {BYTES}."
        ),
        "requestBody": {
            "required": True,
            "content": {
                **{kind: {"schema": {}} for kind in MEDIA_TYPES},
                MULTIPART: {"schema": form, "encoding": {"image": {"contentType": ", ".join(MEDIA_TYPES)}}},
            },
        },
        "responses": {"200": done, **_errors(400, 406, 408, 413, 415, 422, 500, 503, *limited)},
    }


def _get(operation: str, summary: str, done: dict[str, Any], *errors: int) -> dict[str, Any]:
    return {"get": {"operationId": operation, "summary": summary, "responses": {"200": done, **_errors(*errors)}}}


def description(limits: Limits, dimension: int) -> dict[str, Any]:
    """The OpenAPI document.

    Args:
        dimension: D, components of an embedding.
    """
    limited = (429,) if limits.rate else ()
    text = {"description": "Prometheus metrics.", "content": {"text/plain": {"schema": TEXT}}}
    whole = {"description": "This document.", "content": {JSON: {"schema": {"type": "object"}}}}
    return {
        "openapi": "3.1.1",
        "info": {
            "title": "zoo serve",
            "version": __version__,
            "description": "Embeddings of images. An error says what is wrong, why, and what to do next.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": {
            EMBED: {"post": _embed(limits, dimension)},
            MODEL: _get("model", "What is served", _json("Model", "The model."), 500, *limited),
            OPENAPI: _get("openapi", "This document", whole, 500),
            HEALTH: _get("health", "Whether the process answers", _json("Status", "It does."), 500),
            READY: _get("ready", "Whether requests are answered now", _json("Status", "They are."), 500, 503),
            METRICS: _get("metrics", "Metrics for Prometheus", text, 500),
        },
        "components": {"schemas": _schemas(dimension)},
    }
