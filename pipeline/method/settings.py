"""Settings of the method, apart from its code so that a recipe can be read without torch."""

from typing import Literal

from pydantic import Field, model_validator
from typing_extensions import Self

from pipeline.networks.sites import Which
from pipeline.settings import Settings
from pipeline.training.schedule import Supervision
from targets.settings import Precision

Distance = Literal["cosine", "euclidean"]
COMPACTING = ("sparsity", "sparsity_weight", "rggr")  # settings of `method: cdd` alone
Method = Literal["cdd", "two_stage", "uniform_l1", "narrow"]
Counted = Literal["macs", "params", "p50_ms", "images_per_second", "mj_per_image"]
SHARES: tuple[Counted, ...] = ("macs", "params")
FIGURES: tuple[Counted, ...] = ("p50_ms", "images_per_second", "mj_per_image")


class Resetting(Settings):
    """Which compactor rows lose their task gradient.

    `retrieval` is the paper's RGGR, with neighbours K, share p of candidate channels, rows of the feature bank, and how
    neighbours are found. `norm` is ResRep's rule (Ding et al., ICCV 2021): the rows with the smallest norms, as many as
    a budget asks for. `none` leaves the penalty alone.
    """

    by: Literal["retrieval", "norm", "none"] = "retrieval"
    neighbours: int = Field(2, ge=1)
    share: float = Field(0.5, ge=0, le=1)
    bank: int = Field(24_000, ge=1)
    distance: Distance = "cosine"

    @model_validator(mode="after")
    def _bank_holds_neighbours(self) -> Self:
        if self.neighbours > self.bank:
            raise ValueError(f"{self.neighbours} neighbours can't come from a bank of {self.bank} rows")
        return self


class Compress(Settings):
    """What may be left of the dense network.

    `macs`, `params`: a share of its multiply-accumulates or of its parameters. The others are what the student may take
    on `target` (a name in the catalogue) in `precision`, predicted from networks of other widths that are measured
    there before anything is trained (`pipeline.method.latency_model`).
    """

    macs: float | None = Field(None, gt=0, lt=1)
    params: float | None = Field(None, gt=0, lt=1)
    p50_ms: float | None = Field(None, gt=0, description="median time of a call with one image, ms")
    images_per_second: float | None = Field(None, gt=0, description="at least, at the largest of measure.batches")
    mj_per_image: float | None = Field(None, gt=0, description="energy at batch 1, mJ, where the target meters it")
    target: str | None = Field(None, description="where the last three are measured")
    precision: Precision = Field("fp32", description="of the graphs that are measured there")

    @model_validator(mode="after")
    def _one(self) -> Self:
        given = [name for name in (*SHARES, *FIGURES) if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"give one of {', '.join((*SHARES, *FIGURES))}, not {' and '.join(given) or 'none'}")
        if self.measured and self.target is None:
            raise ValueError(
                f"{self.what} is measured on a target: name it, as {{{self.what}: …, target: openvino-cpu}}"
            )
        if not self.measured and {"target", "precision"} & self.model_fields_set:
            raise ValueError(f"{self.what} is the same on all targets: leave target and precision out")
        return self

    @property
    def what(self) -> Counted:
        """What is counted."""
        return next(name for name in (*SHARES, *FIGURES) if getattr(self, name) is not None)

    @property
    def measured(self) -> bool:
        """Whether that is a figure of a target, and not one of the network alone."""
        return self.what in FIGURES

    @property
    def asked(self) -> float:
        """What is asked for, as it was given."""
        value: float = getattr(self, self.what)
        return value

    @property
    def cost(self) -> float:
        """The same as a cost, which grows with widths: images per second as ms of an image."""
        return 1000 / self.asked if self.what == "images_per_second" else self.asked

    def share(self, dense: float) -> float:
        """The share of the dense network's cost that may be left."""
        return self.cost / dense if self.measured else self.cost

    def told(self, share: float, dense: float) -> str:
        """A share of the dense network's cost in words."""
        match self.what:
            case "p50_ms":
                return f"a call takes {share * dense:.3g} ms on {self.target} in {self.precision}"
            case "images_per_second":
                return f"{self.target} computes {1000 / (share * dense):.4g} images/s in {self.precision}"
            case "mj_per_image":
                return f"an image takes {share * dense:.3g} mJ on {self.target} in {self.precision}"
            case _:
                return f"{share:.3f} of the dense network's {self.what} are left"


class Distillation(Supervision):
    """Sites, the weights of the five losses, and the two phases.

    `learn_epochs` is the length of the first phase; left out, it is a sixth of `epochs` (20 of 120 in the paper).

    `method` is how the student becomes small. `cdd` is the paper's. The others are what it is compared with; they meet
    the budget in `compress` by removing channels of the same sites at one moment, and learn from the same losses:
    `narrow` at the start, whatever the channels hold (a small network from the first step); `uniform_l1` at the start,
    the same share at each site, those with the smallest L1 norm (Li et al., ICLR 2017); `two_stage` in the middle (or
    after `learn_epochs`), those with the smallest rows anywhere, with a schedule for each stage.
    """

    method: Method = "cdd"
    sites: Which = "spatial"
    learn_epochs: float | None = Field(None, ge=0)
    logits_weight: float = Field(1.0, ge=0)
    temperature: float = Field(2.0, gt=0)
    features_weight: float = Field(0.5, ge=0)
    sparsity: Literal["subgradient", "proximal"] = Field(
        "subgradient",
        description="the paper's gradient λ·row/‖row‖; or, for short schedules, row := row·max(0, 1 − lr·λ/‖row‖), "
        "which ends in exact zeros",
    )
    sparsity_weight: float = Field(0.004, ge=0, description="λ, weight of the group lasso on compactor rows")
    rggr: Resetting = Resetting()
    compress: Compress | None = Field(None, description="a budget; without one the penalty alone decides what is left")
    align: int = Field(1, ge=1, description="keep a multiple of this many channels at each site; runtimes like 8")

    def read(self) -> Self:
        """The same settings, with defaults in place of what `method` does not read: that makes no other result."""
        unread = {"cdd": (), "two_stage": COMPACTING}.get(self.method, (*COMPACTING, "learn_epochs"))
        fields = type(self).model_fields
        return self.model_copy(update={name: fields[name].get_default() for name in unread})

    @property
    def learn(self) -> float:
        """Epochs of the first phase, or stage."""
        if self.method == "two_stage":
            return self.epochs // 2 if self.learn_epochs is None else round(self.learn_epochs)
        return self.epochs / 6 if self.learn_epochs is None else self.learn_epochs

    @model_validator(mode="after")
    def _leaves_time_to_compress(self) -> Self:
        if self.learn >= self.epochs:
            raise ValueError(f"learn_epochs ({self.learn:g}) leaves nothing of {self.epochs} epochs to compress in")
        return self

    @model_validator(mode="after")
    def _norm_has_a_budget(self) -> Self:
        if self.rggr.by == "norm" and self.compress is None:
            raise ValueError("rggr.by: norm resets as many rows as a budget asks for: set compress, as {macs: 0.5}")
        return self

    @model_validator(mode="after")
    def _methods_have_what_they_need(self) -> Self:
        if self.method != "cdd" and self.compress is None:
            raise ValueError(f"method: {self.method} makes the student as small as a budget says: set compress")
        if self.method == "two_stage" and self.learn < 1:
            raise ValueError("method: two_stage needs at least one epoch before channels go: raise epochs")
        return self
