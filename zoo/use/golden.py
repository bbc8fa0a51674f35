"""Checks, with the release's golden input, that an artifact produces the same embedding here as at its build.

`zoo.documents.golden` writes that input, and the tolerance for each precision.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipeline.data.decoding import UNREADABLE
from targets.contract import Session
from targets.errors import ArtifactFailed
from targets.settings import Precision
from zoo.errors import ManifestError
from zoo.layout import GOLDEN_EMBEDDING, GOLDEN_INPUT
from zoo.release.reading import first_problem
from zoo.sanitize import parse_json

LARGEST = 2**24  # pixels; more than any network's input
LIMIT = 2**22  # bytes; more than any embedding


class _Written(BaseModel):
    model_config = ConfigDict(strict=True, allow_inf_nan=False)

    min_cosine: dict[Precision, Annotated[float, Field(ge=0, le=1)]]
    embedding: list[float] = Field(min_length=1, max_length=2**16)


@dataclass(frozen=True)
class Golden:
    """A picture (uint8 H×W×3 RGB), its embedding (D float32), and the smallest correct cosine to it per precision."""

    picture: np.ndarray
    embedding: np.ndarray
    min_cosine: dict[Precision, float]

    def cosine(self, session: Session) -> float:
        """Cosine between a session's embedding and the golden one; 0 if it is not finite or has another shape."""
        row = session.embed(self.picture[None])[0].astype(np.float64)
        if row.shape != self.embedding.shape or not (length := float(np.linalg.norm(row))) > 0:
            return 0.0
        return float(row @ self.embedding) / length if np.isfinite(length) else 0.0

    def check(self, session: Session, precision: Precision, what: str) -> None:
        """Check a session.

        Args:
            what: name of the artifact, for the error.

        Raises:
            ArtifactFailed: it produces a different embedding.
        """
        found, least = self.cosine(session), self.min_cosine.get(precision, 0.0)
        if not found >= least:
            raise ArtifactFailed(
                f"{what} in {precision} produces a different embedding on this machine: cosine {found:.4f}, "
                f"at least {least:g} expected. Use another target, or another version of the runtime."
            )


def read_golden(folder: Path) -> Golden | None:
    """The golden input of a release in a folder; None if it was not pulled.

    Raises:
        ManifestError: it is damaged.
    """
    try:
        with Image.open(folder / GOLDEN_INPUT, formats=["PNG"]) as image:
            if image.width * image.height > LARGEST:
                raise ValueError(f"a picture of {image.width}×{image.height} pixels")
            picture = np.asarray(image.convert("RGB"))
        with (folder / GOLDEN_EMBEDDING).open("rb") as file:
            written = _Written.model_validate(parse_json(file.read(LIMIT)))
    except FileNotFoundError:
        return None
    except (*UNREADABLE, ValidationError) as error:
        raise ManifestError(
            f"the golden input in {folder} is damaged: {first_problem(error)}. Check the release: zoo verify NAME."
        ) from None
    return Golden(picture, np.array(written.embedding, np.float64), written.min_cosine)
