"""Settings of the method, apart from its code so that a recipe can be read without torch."""

from typing import Any, Literal

from pydantic import Field, model_validator
from typing_extensions import Self

from pipeline.networks.sites import Which
from pipeline.settings import Settings
from pipeline.training.schedule import Supervision

Distance = Literal["cosine", "euclidean"]
Method = Literal["prune", "cdd", "deap", "torch_pruning"]
Importance = Literal["norm", "l1", "taylor", "retrieval", "position"]
Allocation = Literal["raw", "uniform", "global", "isomorphic", "searched"]


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
    """What may be left of the dense network: a share of its multiply-accumulates or of its parameters."""

    macs: float | None = Field(None, gt=0, lt=1)
    params: float | None = Field(None, gt=0, lt=1)

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.macs is None) == (self.params is None):
            raise ValueError("give macs or params, and not both")
        return self

    @property
    def what(self) -> Literal["macs", "params"]:
        """What is counted."""
        return "params" if self.macs is None else "macs"

    @property
    def share(self) -> float:
        """The share that may be left."""
        share = self.params if self.macs is None else self.macs
        assert share is not None
        return share


# What a method is at its best, or in its paper, where a recipe says nothing.
_DEFAULTS: dict[str, dict[str, Any]] = {
    "cdd": {"sites": "spatial", "importance": "norm", "allocation": "raw", "shrink": "gradual"},
    "deap": {
        "sites": "all",
        "importance": "norm",
        "allocation": "raw",
        "shrink": "gradual",
        "sparsity_weight": 0.003,
        "learn_epochs": 0.0,
    },
    "prune": {
        "sites": "coupled",
        "importance": "taylor",
        "allocation": "global",
        "features": "relative",
        "features_weight": 5.0,
        "learn_epochs": 0.0,
    },
    "torch_pruning": {
        "sites": "coupled",
        "importance": "taylor",
        "allocation": "global",
        "features_weight": 0.0,
        "learn_epochs": 0.0,
    },
}
# Settings that only some methods read.
_COMPACTING = ("sparsity", "sparsity_weight", "rggr")
_PRUNING = ("reconstruct", "score_steps", "search_tries")
_UNREAD: dict[str, tuple[str, ...]] = {
    "cdd": ("shrink", *_PRUNING),
    "deap": ("shrink", "rggr", *_PRUNING),
    "prune": _COMPACTING,
    "torch_pruning": ("shrink", "reconstruct", "search_tries", *_COMPACTING),
}


class Distillation(Supervision):
    """Sites, the weights of the losses, and how the student becomes small.

    `method: prune`, the default where `compress` asks for a budget: channels go by their importance, and what the
    others can make up for of them goes into the layers that read them. `method: cdd`, the default without a budget: the
    paper's Capacity Dynamic Distillation. `method: deap`: pruners on both sides of k×k convolutions. `method:
    torch_pruning`: the library as its users run it, for comparison.

    `learn_epochs` is the length of a first phase in which no channel goes. For `cdd` it is a sixth of `epochs` (20 of
    120 in the paper) unless said otherwise; else whole epochs, and none unless said otherwise.
    """

    method: Method = "cdd"
    sites: Which = Field(
        "spatial",
        description="what may shrink: `spatial` and `all` are inner channels of blocks, `coupled` residual streams too",
    )
    shrink: Literal["at_once", "gradual"] = Field(
        "at_once", description="whether channels go at one moment, or one after another while the student learns"
    )
    importance: Importance = Field(
        "norm",
        description="which channels of a site stay: those with the largest filters (`norm`, or `l1` without the batch "
        "norm), the largest squared gradient of the task (`taylor`), the largest part in matches (`retrieval`), or the "
        "first ones (`position`)",
    )
    allocation: Allocation = Field(
        "raw",
        description="how many each site keeps: the same share (`uniform`), by importance relative to the site's mean "
        "(`global`), the same share for sites of one kind (`isomorphic`), the best of some tens (`searched`); `raw` "
        "compares importance across sites as it is",
    )
    reconstruct: bool = Field(
        True, description="let the channels that stay make up for those that go, by least squares"
    )
    score_steps: int = Field(20, ge=1, description="batches that importance and reconstruction are computed from")
    search_tries: int = Field(40, ge=1, description="allocations that `searched` tries")
    learn_epochs: float | None = Field(None, ge=0)
    teacher_norms: Literal["running", "batch"] = Field(
        "running",
        description="statistics that the teacher's batch norms use: those it was trained to, as in evaluation, or each "
        "batch's own, as in the authors' code",
    )
    logits_weight: float = Field(1.0, ge=0)
    temperature: float = Field(2.0, gt=0)
    features: Literal["absolute", "relative"] = Field(
        "absolute",
        description="`absolute`: the paper's sum over sites of ‖f_t − f_s‖; `relative`: the mean over all norms that "
        "write channels of ‖f_t − f_s‖ / ‖f_t‖, which is of size one in any network",
    )
    features_weight: float = Field(0.5, ge=0)
    relations_weight: float = Field(0.0, ge=0, description="of the likeness of embeddings to each other")
    sparsity: Literal["subgradient", "proximal"] = Field(
        "subgradient",
        description="the paper's gradient λ·row/‖row‖; or, for short schedules, row := row·max(0, 1 − lr·λ/‖row‖), "
        "which ends in exact zeros",
    )
    sparsity_weight: float = Field(0.004, ge=0, description="λ, weight of the group lasso on compactor rows")
    rggr: Resetting = Resetting()
    compress: Compress | None = Field(None, description="a budget; without one the penalty alone decides what is left")
    align: int = Field(1, ge=1, description="keep a multiple of this many channels at each site; runtimes like 8")

    @model_validator(mode="before")
    @classmethod
    def _defaults_of_the_method(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        method = values.get("method") or ("cdd" if values.get("compress") is None else "prune")
        return {"method": method, **_DEFAULTS.get(method, {}), **values}

    def read(self) -> Self:
        """The same settings, with defaults in place of what `method` does not read: that makes no other result."""
        fields = type(self).model_fields
        return self.model_copy(update={name: fields[name].get_default() for name in _UNREAD[self.method]})

    @property
    def compacts(self) -> bool:
        """Whether the student keeps its full width, with compactors, until the stage `compact`."""
        return self.method in ("cdd", "deap")

    @property
    def learn(self) -> float:
        """Epochs of the first phase."""
        return self.epochs / 6 if self.learn_epochs is None else self.learn_epochs

    @model_validator(mode="after")
    def _leaves_time_to_compress(self) -> Self:
        if self.learn >= self.epochs:
            raise ValueError(f"learn_epochs ({self.learn:g}) leaves nothing of {self.epochs} epochs to compress in")
        if not self.compacts and self.learn != round(self.learn):
            raise ValueError(f"learn_epochs ({self.learn:g}) must be whole for method: {self.method}")
        return self

    @model_validator(mode="after")
    def _norm_has_a_budget(self) -> Self:
        if self.rggr.by == "norm" and self.compress is None and self.method != "deap":
            raise ValueError("rggr.by: norm resets as many rows as a budget asks for: set compress, as {macs: 0.5}")
        return self

    @model_validator(mode="after")
    def _methods_have_what_they_need(self) -> Self:
        if not self.compacts and self.compress is None:
            raise ValueError(
                f"method: {self.method} makes the student as small as a budget says: set compress, as {{macs: 0.3}}"
            )
        if self.method == "deap" and (self.importance != "norm" or self.allocation == "searched"):
            raise ValueError(
                "method: deap lets the shortest rows and columns die: importance is norm, and allocation raw, uniform, "
                "global or isomorphic"
            )
        if self.method == "cdd" and (self.importance in ("l1", "position") or self.allocation == "searched"):
            raise ValueError(
                "method: cdd lets rows die while they learn: importance is norm, taylor or retrieval, and allocation "
                "raw, uniform, global or isomorphic"
            )
        if self.method == "cdd" and self.importance == "retrieval" and self.rggr.by != "retrieval":
            raise ValueError("method: cdd takes importance: retrieval from its feature banks: set rggr.by to retrieval")
        return self
