"""The base of every slice of a recipe."""

from pydantic import BaseModel, ConfigDict


class Settings(BaseModel):
    """Typed, frozen, and without room for keys that nothing reads."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
