"""Settings of the method, apart from its code so that a recipe can be read without torch."""

from typing import Any, Literal

from pydantic import Field, model_validator
from typing_extensions import Self

from pipeline.method.compress import Compress
from pipeline.networks.sites import Which
from pipeline.settings import Settings
from pipeline.training.schedule import Supervision

Distance = Literal["cosine", "euclidean"]
Method = Literal["prune", "cdd", "deap", "torch_pruning", "fixed"]
WITH_COMPACTORS: tuple[Method, ...] = ("cdd", "deap")  # methods whose students keep their width until `compact`
Importance = Literal["norm", "l1", "taylor", "sensitivity", "best", "retrieval", "position"]
BY_BATCHES: tuple[Importance, ...] = ("taylor", "sensitivity", "best", "retrieval")  # of `score_steps` batches
Allocation = Literal["raw", "uniform", "global", "isomorphic", "best", "searched"]
TRIED = ("best", "searched")  # allocations that compare small networks
SELECTION = "selection.json"  # how channels were chosen, if they were removed by importance


class Resetting(Settings):
    """Selects the compactor rows that lose their task gradient.

    `retrieval` is the paper's RGGR, with neighbours K, share p of candidate channels, rows of the feature bank, and the
    distance. `norm` is ResRep's rule (Ding et al., ICCV 2021): the rows with the smallest norms, as many as a budget
    requires. `none` leaves only the penalty. `method: prune` with `importance: retrieval` reads neighbours, bank and
    distance.
    """

    by: Literal["retrieval", "norm", "none"] = "retrieval"
    neighbours: int = Field(2, ge=1)
    share: float = Field(0.5, ge=0, le=1)
    bank: int = Field(24_000, ge=1)
    distance: Distance = "cosine"

    @model_validator(mode="after")
    def _bank_holds_neighbours(self) -> Self:
        if self.neighbours > self.bank:
            raise ValueError(f"{self.neighbours} neighbours need a bank of at least as many rows, not {self.bank}")
        return self


# The best defaults of a method, or its paper's, where a recipe sets nothing.
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
        "importance": "best",
        "allocation": "best",
        "features": "relative",
        "features_weight": 0.0,
        "relations_weight": 1.0,
        "balance": "relative",
        "learn_epochs": 0.0,
    },
    "fixed": {
        "features": "relative",
        "features_weight": 0.0,
        "relations_weight": 1.0,
        "balance": "relative",
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
# Settings that only some methods use.
_COMPACTING = ("sparsity", "sparsity_weight", "sparsity_reach", "rggr")
_PRUNING = ("reconstruct", "score_steps", "search_tries")
_UNREAD: dict[str, tuple[str, ...]] = {
    "cdd": ("shrink", *_PRUNING),
    "deap": ("shrink", "rggr", *_PRUNING),
    "prune": _COMPACTING,
    "torch_pruning": ("shrink", "reconstruct", "search_tries", *_COMPACTING),
    "fixed": ("shrink", "importance", "allocation", *_PRUNING, *_COMPACTING),
}


class Distillation(Supervision):
    """Sites, the weights of the losses, and the method of compression.

    `method: prune`, the default with a budget in `compress`: channels are removed by importance, and the layers that
    read them are adjusted by least squares to compensate. `method: cdd`, the default without a budget: the paper's
    Capacity Dynamic Distillation. `method: deap`: pruners on both sides of k×k convolutions. `method: torch_pruning`:
    the library as its users run it, for comparison. `method: fixed`: all channels stay, for a student that is small
    from the start.

    `learn_epochs` is the length of a first phase in which no channel is removed. For `cdd` it defaults to a sixth of
    `epochs` (20 of 120 in the paper); otherwise it is in whole epochs, and defaults to none.
    """

    method: Method = "cdd"
    sites: Which = Field(
        "spatial",
        description="removable channels: `spatial` and `all`: inner ones of blocks, `coupled`: also residual streams",
    )
    shrink: Literal["at_once", "gradual"] = Field(
        "at_once", description="whether channels are removed all at once, or gradually during training"
    )
    importance: Importance = Field(
        "norm",
        description="which channels a site keeps: those with the largest filters (`norm`, or `l1` without the batch "
        "norm), the largest sum of |weight · gradient| over all weights that go with a channel (`sensitivity`), the "
        "largest squared gradient of its gate (`taylor`), whichever of these two changes embeddings less (`best`), the "
        "largest part in matches (`retrieval`), or the first ones (`position`)",
    )
    allocation: Allocation = Field(
        "raw",
        description="how many each site keeps: the same share (`uniform`), by importance relative to the site's mean "
        "(`global`), the same share for sites of one kind (`isomorphic`), whichever of these three changes embeddings "
        "least (`best`), the least of some tens of changes (`searched`); `raw` compares unnormalised importance across "
        "sites",
    )
    reconstruct: bool = Field(
        True, description="let the kept channels compensate for the removed ones, by least squares"
    )
    score_steps: int = Field(20, ge=1, description="batches from which importance and reconstruction are computed")
    search_tries: int = Field(40, ge=1, description="allocations that `searched` tries")
    learn_epochs: float | None = Field(None, ge=0)
    teacher_norms: Literal["running", "batch"] = Field(
        "running",
        description="statistics of the teacher's batch norms: running ones, as in evaluation, or each "
        "batch's own, as in the authors' code",
    )
    logits_weight: float = Field(1.0, ge=0)
    temperature: float = Field(2.0, gt=0)
    features: Literal["absolute", "relative"] = Field(
        "absolute",
        description="`absolute`: the paper's sum over sites of ‖f_t − f_s‖; `relative`: the mean over all norms that "
        "write channels of ‖f_t − f_s‖ / ‖f_t‖, which is about one in any network",
    )
    features_weight: float = Field(0.5, ge=0)
    relations_weight: float = Field(0.0, ge=0, description="weight of the similarities between embeddings")
    relations_bank: int = Field(
        0, ge=0, description="number of the teacher's latest embeddings that join those of the batch in relations"
    )
    embedding_weight: float = Field(0.0, ge=0, description="weight of 1 − cosine to the teacher's embedding")
    balance: Literal["fixed", "relative"] = Field(
        "fixed",
        description="`relative`: the teacher's weight falls as the student becomes better than it on the "
        "labels of a batch",
    )
    sparsity: Literal["subgradient", "proximal"] = Field(
        "subgradient",
        description="the paper's gradient λ·row/‖row‖; or, for short schedules, row := row·max(0, 1 − lr·λ/‖row‖), "
        "which ends in exact zeros",
    )
    sparsity_weight: float = Field(0.004, ge=0, description="λ, weight of the group lasso on compactor rows")
    sparsity_reach: float | None = Field(
        None,
        gt=0,
        description="in place of `sparsity_weight`: how much all steps together shrink a row without other "
        "gradients; λ follows from the schedule and the number of batches",
    )
    rggr: Resetting = Resetting()
    compress: Compress | None = Field(None, description="a budget; without one the penalty alone decides what remains")
    align: int = Field(1, ge=1, description="keep a multiple of this many channels at each site; 8 suits most runtimes")

    @model_validator(mode="before")
    @classmethod
    def _defaults_of_the_method(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        method = values.get("method") or ("cdd" if values.get("compress") is None else "prune")
        return {"method": method, **_DEFAULTS.get(method, {}), **values}

    def read(self) -> Self:
        """The settings, with defaults for those that are not used, which can't change the result."""
        fields = type(self).model_fields
        unread = [*_UNREAD[self.method]]
        if self.allocation != "searched":
            unread.append("search_tries")
        reconstructs = self.method == "prune" and self.reconstruct
        if not reconstructs and self.importance not in BY_BATCHES:
            unread.append("score_steps")
        update = {name: fields[name].get_default() for name in unread}
        if self.method == "cdd" and self.rggr.by != "retrieval":
            update["rggr"] = Resetting(by=self.rggr.by)
        if self.method == "prune" and self.importance == "retrieval":
            update["rggr"] = self.rggr.model_copy(update={"by": "retrieval", "share": Resetting().share})
        return self.model_copy(update=update)

    def with_reach(self, batches: int) -> Self:
        """The settings, with λ in place of `sparsity_reach`.

        A proximal step subtracts lr · λ from a row. A subgradient passes through momentum, so that a step soon
        subtracts lr · λ / (1 − momentum). Weight decay comes on top.

        Args:
            batches: batches per epoch.
        """
        if self.sparsity_reach is None:
            return self
        pull, speed = 0.0, 0.0
        for step in range(self.epochs * batches):
            speed = 1.0 if self.sparsity == "proximal" else self.momentum * speed + 1.0
            pull += self.lr_at(step / batches) * speed
        return self.model_copy(update={"sparsity_weight": self.sparsity_reach / pull, "sparsity_reach": None})

    @property
    def compacts(self) -> bool:
        """Whether the student keeps its full width, with compactors, until the stage `compact`."""
        return self.method in WITH_COMPACTORS

    @property
    def learn(self) -> float:
        """Length of the first phase in epochs."""
        return self.epochs / 6 if self.learn_epochs is None else self.learn_epochs

    @model_validator(mode="after")
    def _leaves_time_to_compress(self) -> Self:
        if self.learn >= self.epochs:
            raise ValueError(f"learn_epochs ({self.learn:g}) leaves none of {self.epochs} epochs for compression")
        if not self.compacts and self.learn != round(self.learn):
            raise ValueError(f"learn_epochs ({self.learn:g}) must be whole for method: {self.method}")
        return self

    @model_validator(mode="after")
    def _norm_has_a_budget(self) -> Self:
        if self.rggr.by == "norm" and self.compress is None and self.method != "deap":
            raise ValueError("rggr.by: norm needs a budget: set compress, as in {macs: 0.5}")
        return self

    @model_validator(mode="after")
    def _methods_have_what_they_need(self) -> Self:
        if self.method == "fixed":
            if self.compress is not None:
                raise ValueError("method: fixed keeps all channels: leave compress out, or the method")
            return self
        if not self.compacts and self.compress is None:
            raise ValueError(f"method: {self.method} needs a budget: set compress, as in {{macs: 0.3}}")
        if self.method == "deap" and (self.importance != "norm" or self.allocation in TRIED):
            raise ValueError(
                "method: deap removes the shortest rows and columns: set importance: norm, and allocation to raw, "
                "uniform, global or isomorphic"
            )
        if self.method == "deap" and self.sites == "coupled":
            raise ValueError("method: deap prunes inner channels only: set sites to all or spatial")
        if self.method == "torch_pruning" and self.compress is not None and self.compress.measured:
            raise ValueError(
                f"method: torch_pruning counts MACs or parameters, not {self.compress.what}: set compress, as in "
                "{macs: 0.3}, or another method"
            )
        if self.method == "torch_pruning" and self.features_weight:
            raise ValueError("method: torch_pruning does not report the channels it keeps: set features_weight to 0")
        if self.method == "torch_pruning" and (
            self.importance not in ("norm", "l1", "taylor")
            or self.allocation not in ("uniform", "global", "isomorphic")
        ):
            raise ValueError(
                "method: torch_pruning supports importance norm, l1, taylor and allocation uniform, global, isomorphic"
            )
        if self.method == "cdd" and (
            self.importance not in ("norm", "taylor", "retrieval") or self.allocation in TRIED
        ):
            raise ValueError(
                "method: cdd removes rows in training: set importance to norm, taylor or retrieval, and allocation to "
                "raw, uniform, global or isomorphic"
            )
        if self.method == "cdd" and self.importance == "retrieval" and self.rggr.by != "retrieval":
            raise ValueError("method: cdd computes importance: retrieval from feature banks: set rggr.by to retrieval")
        return self
