"""Pairs features of student and teacher: those of the same stage and relative depth."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby, product
from typing import TypeVar

from pipeline.errors import PipelineError
from pipeline.networks.sites import Site, Writer


def _stages(sites: Sequence[Site]) -> list[list[Site]]:
    """Consecutive sites that write maps of one size and width."""
    return [list(some) for _, some in groupby(sites, key=lambda site: (site.resolution, site.channels, site.linear))]


T = TypeVar("T")


def _at_depth(place: int, own: Sequence[object], other: Sequence[T]) -> T:
    """The element of `other` at the same relative depth as `place` in `own`."""
    depth = place / (len(own) - 1) if len(own) > 1 else 1.0
    return other[round(depth * (len(other) - 1))]


def pair_writers(student: Sequence[Site], teacher: Sequence[Site]) -> dict[str, Writer]:
    """The teacher's writer for each of the student's, by layer: within a stage, the one of the same relative depth.

    Writers of a residual stream are paired within the stream.

    Raises:
        PipelineError: the numbers of stages differ, or a stage's width does.
    """
    pairs: dict[str, Writer] = {}
    for kind in product((True, False), repeat=2):
        ours, theirs = (
            _stages([site for site in sites if (site.spatial, site.coupled) == kind]) for sites in (student, teacher)
        )
        widths = [[stage[0].channels for stage in stages] for stages in (ours, theirs)]
        if widths[0] != widths[1]:
            raise PipelineError(
                f"sites have widths {widths[0]} in the student, stage by stage, and {widths[1]} in the teacher: only "
                "features of equal width compare. Use a teacher of the same family, such as resnet101 for resnet50."
            )
        for own, other in zip(ours, theirs, strict=True):
            for place, site in enumerate(own):
                match = _at_depth(place, own, other)
                for number, writer in enumerate(site.writers):
                    pairs[writer.layer] = _at_depth(number, site.writers, match.writers)
    return pairs
