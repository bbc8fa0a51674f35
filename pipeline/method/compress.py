"""A budget as a recipe sets it, `distill.compress`, and how it is put in words. Needs no torch."""

from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal
from typing import Literal

from pydantic import Field, model_validator
from typing_extensions import Self

from pipeline.settings import Settings
from targets.settings import Precision

Counted = Literal["macs", "params", "p50_ms", "images_per_second", "mj_per_image"]
SHARES: tuple[Counted, ...] = ("macs", "params")
FIGURES: tuple[Counted, ...] = ("p50_ms", "images_per_second", "mj_per_image")


def _rounded(value: float, digits: int, rounding: str) -> str:
    """A figure with so many significant digits, rounded to the next of these above or below it (`decimal.ROUND_…`)."""
    exact = Decimal(f"{value:.12g}")  # 0.3, not 0.30000000000000004
    return f"{Context(prec=digits, rounding=rounding).create_decimal(exact).normalize():f}"


class Compress(Settings):
    """The budget: what may remain of the dense network.

    `macs`, `params`: a share of its multiply-accumulates or parameters. The others are limits for the student on
    `target` (a name in the catalogue) in `precision`, predicted from networks of other widths that are measured there
    before training (`pipeline.method.latency_model`).
    """

    macs: float | None = Field(None, gt=0, lt=1)
    params: float | None = Field(None, gt=0, lt=1)
    p50_ms: float | None = Field(None, gt=0, description="median time of a call with one image, ms")
    images_per_second: float | None = Field(None, gt=0, description="minimum, at the largest of measure.batches")
    mj_per_image: float | None = Field(None, gt=0, description="energy at batch 1, mJ, if the target has a meter")
    target: str | None = Field(None, description="target of the last three")
    precision: Precision = Field("fp32", description="precision of the graphs that are measured there")

    @model_validator(mode="after")
    def _one(self) -> Self:
        given = [name for name in (*SHARES, *FIGURES) if getattr(self, name) is not None]
        if len(given) != 1:
            rest = "; null unsets a value of a base recipe" if given else ""
            raise ValueError(f"set one of {', '.join((*SHARES, *FIGURES))}, not {' and '.join(given) or 'none'}{rest}")
        if self.measured and self.target is None:
            raise ValueError(
                f"{self.what} is measured on a target: set it, as in {{{self.what}: …, target: openvino-cpu}}"
            )
        if not self.measured and {"target", "precision"} & self.model_fields_set:
            raise ValueError(f"{self.what} does not depend on a target: leave target and precision out")
        return self

    @property
    def what(self) -> Counted:
        """The figure that is limited."""
        return next(name for name in (*SHARES, *FIGURES) if getattr(self, name) is not None)

    @property
    def measured(self) -> bool:
        """Whether that is a figure of a target, not of the network alone."""
        return self.what in FIGURES

    @property
    def asked(self) -> float:
        """The limit, as given."""
        value: float = getattr(self, self.what)
        return value

    @property
    def cost(self) -> float:
        """The limit as a cost, which grows with widths: images per second as ms per image."""
        return 1000 / self.asked if self.what == "images_per_second" else self.asked

    def share(self, dense: float) -> float:
        """The share of the dense network's cost that may remain."""
        return self.cost / dense if self.measured else self.cost

    def told(self, share: float, dense: float) -> str:
        """A share of the dense network's cost in words, rounded such that a limit of this figure allows it."""
        match self.what:
            case "p50_ms":
                figure = _rounded(share * dense, 3, ROUND_CEILING)
                return f"a call takes {figure} ms on {self.target} in {self.precision}"
            case "images_per_second":
                figure = _rounded(1000 / (share * dense), 4, ROUND_FLOOR)
                return f"{self.target} computes {figure} images/s in {self.precision}"
            case "mj_per_image":
                figure = _rounded(share * dense, 3, ROUND_CEILING)
                return f"an image takes {figure} mJ on {self.target} in {self.precision}"
            case _:
                return f"{_rounded(share, 3, ROUND_CEILING)} of the dense network's {self.what} remain"

    def refused(self, least: float, dense: float, how: str, coupling: bool) -> str:
        """Why a budget can't be met, and what to do.

        Args:
            least: the smallest possible cost, as a share of the dense network's.
            how: what was done to the network to reach it.
            coupling: whether `sites: coupled` would make more channels removable.
        """
        instead = ", or set distill.sites: coupled" if coupling else ""
        return (
            f"distill.compress.{self.what} {self.asked:g} can't be met: with {how}, {self.told(least, dense)}. "
            f"Relax it{instead}."
        )
