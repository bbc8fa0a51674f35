"""What was removed from a network, and the budget that asked for it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from pipeline.networks.cost import Cost
from targets.machine.device import Device
from targets.settings import Precision
from zoo.release.record import Name, Record


class SiteRecord(Record):
    """A compacted site: a convolution with the one that reads it."""

    site: str = Field(description="name of the convolution; where in the network channels were removed")
    width_before: int = Field(description="its channels in the dense student")
    width_after: int = Field(description="its channels in the release; 0 if the whole branch contributed nothing")
    parameters_before: int = Field(description="parameters of all layers that its channels pass through")
    parameters_after: int = Field(description="parameters of these layers in the release; which sites shrink the file")
    macs_before: int = Field(description="multiply-accumulates of these layers for one image")
    macs_after: int = Field(description="multiply-accumulates in the release; which sites save time")


class CutRecord(Record):
    """A step of training at which channels were selected and removed."""

    epoch: int = Field(ge=0, description="after this many epochs; 0 is before the first step")
    share: float = Field(description="allowed share of the dense student's cost; the schedule towards the budget")
    importance: str = Field(description="how channels of a site were ranked; what `best` chose, if it was `best`")
    allocation: str = Field(description="how many channels each site kept, as in `distill.allocation`")
    chosen: str | None = Field(
        None,
        exclude_if=lambda chosen: chosen is None,  # so that the manifests of other releases keep their form
        description="the allocation that `best` chose; which one changed the embeddings least",
    )
    tries: int = Field(ge=0, description="allocations that were tried beside the first one; 0 without a comparison")
    seconds: float = Field(ge=0, description="time of the selection, s; part of the student's cost")


class Compression(Record):
    """What compaction removed. `before` is the dense student; the teacher may be a larger network."""

    teacher: Cost = Field(description="the teacher network; the baseline of all ratios")
    before: Cost = Field(description="the student at its initial width")
    after: Cost = Field(description="the student of the release; what a device stores and computes")
    difference_after_merging: float = Field(
        description="largest absolute difference of unit-length float32 embeddings after merging; shows that it "
        "changed nothing but the form"
    )
    difference_after_pruning: float = Field(
        description="the same after removal of dead channels; shows that they were dead"
    )
    cuts: list[CutRecord] = Field(
        default=[], description="steps at which channels were removed by importance; empty if training zeroed them"
    )
    sites: list[SiteRecord] = Field(description="all compacted sites in the network's order; where the savings are")


class BudgetRecord(Record):
    """The recipe's budget for the student on a target, with the predicted and the measured figure."""

    what: Literal["p50_ms", "images_per_second", "mj_per_image"] = Field(
        description="the figure that is limited, as in `latency` of a measurement; the unit of all figures here"
    )
    asked: float = Field(description="limit of the recipe; a maximum, or a minimum for images/s")
    target: Name = Field(description="target in the catalogue; where the figure is measured")
    precision: Precision = Field(description="precision of the limited artifact; the shipped one may be faster")
    batch: int = Field(ge=1, description="images per call; figures at another batch size do not compare")
    predicted: float = Field(description="prediction from the student's widths; how good the prediction is")
    measured: float | None = Field(
        description="measured by the build; whether the budget is met; null while the device has not run, "
        "or if the target was not built"
    )
    dense: float = Field(description="prediction for the student at its initial width; what compression had to gain")
    reachable: float = Field(
        description="prediction with the fewest channels that the method can leave; which budgets are possible"
    )
    error: float = Field(
        description="mean relative error on networks that were not used for the fit; how far to trust the prediction"
    )
    error_near: float | None = Field(
        description="the same for networks near the budget, before they were added to the fit; null if none were"
    )
    device: Device = Field(description="the machine of the prediction; other machines have other times")
    runtime_version: str = Field(description="version of its runtime library; other versions have other times")
