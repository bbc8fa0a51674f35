"""A file with measurements that somebody sends to a release's publisher: `zoo bench --export` writes it, and
`zoo receive` reads it.

    {"format": "zoo measurements", "schema_version": 1,
     "release": "name@version", "content_sha256": the release's digest, "by": who measured, in their own words, or null,
     "measurements": [records as in a release]}

It is a stranger's text: read under limits, in which every text becomes one printable line without secrets.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, ValidationError

from targets.names import RELEASE
from zoo.errors import SubmissionError
from zoo.release.manifest import Manifest
from zoo.release.measurements import LONGEST_NAME, Measured
from zoo.release.migrate import RECORD_SCHEMA, schema_of
from zoo.release.reading import first_problem
from zoo.release.record import Record, Sha256
from zoo.sanitize import one_line, parse_json, without_secrets

FORMAT = "zoo measurements"
LIMIT = 2**20  # bytes; sixty records take a quarter of it
MOST_RECORDS = 64
LONGEST_TEXT = 200  # characters of a device's name, a runtime's option and the like
MOST_KEYS = 100  # of an object that the machine fills, such as its sensors


class Submission(Record):
    """The content of the file."""

    format: Literal["zoo measurements"]
    schema_version: Literal[1]
    release: Annotated[str, StringConstraints(pattern=f"^{RELEASE.pattern}$", max_length=130)]
    content_sha256: Sha256
    by: Annotated[str, StringConstraints(min_length=1, max_length=LONGEST_NAME)] | None
    measurements: list[Measured] = Field(min_length=1, max_length=MOST_RECORDS)


@dataclass(frozen=True)
class Sent:
    """A submission as it was read, with the digest of its file."""

    content: Submission
    file_sha256: str


def clean(value: Any) -> Any:
    """JSON whose texts are one printable line each, without secrets.

    Raises:
        ValueError: a text or an object is too long.
    """
    match value:
        case str():
            text = without_secrets(one_line(value))
            if len(text) > LONGEST_TEXT:
                raise ValueError(f"a text has {len(text)} characters; the limit is {LONGEST_TEXT}")
            return text
        case list():
            return [clean(one) for one in value]
        case dict():
            if len(value) > MOST_KEYS:
                raise ValueError(f"an object has {len(value)} entries; the limit is {MOST_KEYS}")
            return {clean(key): clean(one) for key, one in value.items()}
    return value


def check_name(by: str | None) -> str | None:
    """Who measured, as it is kept: one printable line.

    Raises:
        SubmissionError: it is empty or too long.
    """
    said = None if by is None else without_secrets(one_line(by))
    if said is not None and not 0 < len(said) <= LONGEST_NAME:
        raise SubmissionError(f"--by has {len(said)} characters; it needs 1 to {LONGEST_NAME}.")
    return said


def to_submission(manifest: Manifest, records: Sequence[Measured], by: str | None) -> bytes:
    """The file's content.

    Raises:
        SubmissionError: `by` is empty or too long, or a text in the records is too long.
    """
    said = check_name(by)
    try:
        content = {
            "format": FORMAT,
            "schema_version": RECORD_SCHEMA,
            "release": manifest.label,
            "content_sha256": manifest.content_sha256,
            "by": said,
            "measurements": [clean(record.model_dump(mode="json", exclude={"reported"})) for record in records],
        }
        Submission.model_validate(content)
    except (ValueError, ValidationError) as error:
        raise SubmissionError(
            f"these measurements can't be exported: {first_problem(error)}. Measure again: zoo bench {manifest.label}"
        ) from None
    return (json.dumps(content, indent=1, allow_nan=False) + "\n").encode()


def is_submission(path: Path) -> bool:
    """Whether a file is JSON by its first character, rather than the archive that a bundle's result is."""
    try:
        with path.open("rb") as file:
            return file.read(64).lstrip()[:1] == b"{"
    except OSError:
        return False


def read_submission(path: Path) -> Sent:
    """Read a file.

    Raises:
        SubmissionError: it can't be read, is too large, or is not one.
    """
    try:
        with path.open("rb") as file:
            content = file.read(LIMIT + 1)
    except OSError as error:
        raise SubmissionError(f"can't read {path}: {error.strerror}. Name the file that was sent.") from None
    if len(content) > LIMIT:
        raise SubmissionError(
            f"{path.name} has more than {LIMIT / 2**20:.0f} MiB, and zoo bench --export writes less. Ask for the file "
            "as it wrote it."
        )
    try:
        values = clean(parse_json(content))
        schema = schema_of(values)
        if schema is not None and schema > RECORD_SCHEMA:
            raise SubmissionError(
                f"{path.name} has schema {schema}; this version reads {RECORD_SCHEMA}. Upgrade: pip install -U "
                "edge-model-zoo."
            )
        found = Submission.model_validate(values)
    except ValueError as error:
        raise SubmissionError(
            f"{path.name} is not what zoo bench --export writes: {one_line(first_problem(error))[:300]}. Ask for the "
            "file as zoo bench --export wrote it."
        ) from None
    return Sent(found, hashlib.sha256(content).hexdigest())
