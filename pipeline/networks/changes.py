"""Changes of a layer, as JSON."""

from typing import Literal

from pipeline.settings import Settings


class Change(Settings):
    """How a layer differs from the architecture's: smaller, or replaced."""

    becomes: Literal["smaller", "activation", "constant", "identity"] = "smaller"
    weight: tuple[int, ...] = ()
    bias: bool = False
    groups: int = 1
    map: tuple[int, ...] = ()
