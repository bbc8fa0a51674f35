"""Reads manifests of any schema, and says in a line what is wrong with one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from zoo.errors import ManifestError
from zoo.layout import OLDEST, SCHEMA
from zoo.release.manifest import Manifest
from zoo.release.migrate import Values, migrated, schema_of
from zoo.sanitize import parse_json


def first_problem(error: Exception) -> str:
    """The first problem of a record, in a line: where, and why."""
    if not isinstance(error, ValidationError):
        return str(error).strip() or type(error).__name__
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(map(str, first["loc"]))
    return f"{where}: {first['msg']}" if where else str(first["msg"])


@dataclass(frozen=True)
class Parsed:
    """A parsed manifest of any readable schema.

    Attributes:
        manifest: in the current schema.
        schema: of the file.
        measurements: values of the records that a manifest of an older schema contains; not validated.
        unknown: facts that its schema does not have, in words; empty for the current schema.
    """

    manifest: Manifest
    schema: int
    measurements: list[Values]
    unknown: tuple[str, ...]


def parse(content: bytes, where: str, mend: str) -> Parsed:
    """Parse a manifest of any schema that this version reads.

    Args:
        where, mend: its name in errors, and how to fix it.

    Raises:
        ManifestError: it is damaged, or this version does not read its schema.
    """
    try:
        values = parse_json(content)
    except ValueError as error:
        raise ManifestError(f"the manifest {where} is damaged: {error}. {mend}") from None
    schema = schema_of(values)
    if schema is not None and schema > SCHEMA:
        raise ManifestError(
            f"the manifest {where} has schema {schema}; this version reads {SCHEMA}. Upgrade: pip install -U "
            "edge-model-zoo."
        )
    if schema is not None and schema < OLDEST:
        raise ManifestError(
            f"the manifest {where} has schema {schema}; this version reads {OLDEST} to {SCHEMA}. {mend}"
        )
    try:
        found = migrated(values)
        manifest = Manifest.model_validate(found.manifest)
    except ValueError as error:
        raise ManifestError(f"the manifest {where} is not valid: {first_problem(error)}. {mend}") from None
    return Parsed(manifest, SCHEMA if schema is None else schema, found.measurements, found.unknown)


def parse_manifest(content: bytes, where: str, mend: str) -> Manifest:
    """`parse`, without the records that an older manifest contains.

    Raises:
        ManifestError: see `parse`.
    """
    return parse(content, where, mend).manifest


def read_parsed(path: Path, mend: str) -> Parsed:
    """`parse` of a file.

    Raises:
        ManifestError: it is missing; or see `parse`.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ManifestError(f"can't read the manifest {path}: {error.strerror}. {mend}") from None
    return parse(content, str(path), mend)


def read_manifest(path: Path, mend: str = "Build the model again.") -> Manifest:
    """Read a manifest.

    Args:
        mend: how to fix a damaged one.

    Raises:
        ManifestError: it is missing or damaged, or this version does not read its schema.
    """
    return read_parsed(path, mend).manifest
