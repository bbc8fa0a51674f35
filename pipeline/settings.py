"""The base class of a recipe's settings."""

from pydantic import BaseModel, ConfigDict


class Settings(BaseModel):
    """Typed and frozen; unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
