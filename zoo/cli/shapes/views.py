"""Output of `zoo export`."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator
from typing_extensions import TypedDict

from zoo.cli.shapes.common import Json, exact


def _view(record: Json) -> Json:
    from zoo.views.record import ViewRecord

    ViewRecord.model_validate(record)
    return record


ViewJson = Annotated[Json, AfterValidator(_view), "as in `view.json`: [view.schema.json](view.schema.json)"]


@exact
class Exported(TypedDict):
    """A release that was written for a consumer."""

    folder: str
    view: ViewJson
