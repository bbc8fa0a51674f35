"""Parts of several shapes."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, with_config

from zoo.release.manifest import Manifest
from zoo.release.measurements import from_bytes

exact = with_config(ConfigDict(extra="forbid"))
Json = dict[str, Any]


def _measurement(record: Json) -> Json:
    from zoo.cli.json_text import as_text

    from_bytes(as_text(record).encode(), "")
    return record


def _manifest(record: Json) -> Json:
    Manifest.model_validate(record)
    return record


ManifestJson = Annotated[Json, AfterValidator(_manifest), "[manifest.schema.json](manifest.schema.json)"]
MeasurementJson = Annotated[Json, AfterValidator(_measurement), "[measurement.schema.json](measurement.schema.json)"]
AS_ROWS = (
    "as in all `rows`: `data`, `protocol`, `queries`, `gallery`, `device`, `architecture`, `cores`, `unit`, "
    "`power_mode`, `threads`, `batch`, `throughput_batch`, `timer`"
)
AS_MEASURED = "as in [measurement.schema.json](measurement.schema.json)"
Label = Annotated[str, "NAME@VERSION"]
Network = Literal["teacher", "student"]
Moment = Annotated[str, "ISO 8601, UTC"]
