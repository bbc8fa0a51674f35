"""Pairs features of student and teacher: those of the same stage and relative depth.

Stages are matched by their number, and only features of equal width compare. A wider teacher of the same family (an
EfficientNet-Lite2 for a Lite0) shares some widths with its student; a compacted student shares none with a dense
teacher. What has no partner is left out, and the terms on outputs remain, since embeddings are equally long.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby, product
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from pipeline.errors import PipelineError
from pipeline.networks.site import Site, Writer
from pipeline.networks.sites import Which, find_sites

if TYPE_CHECKING:
    from pipeline.networks.embedder import Embedder


class Pairs(NamedTuple):
    """What compares.

    Attributes:
        writers: the teacher's writer by the student's layer.
        left_out: the student's layers without a partner.
    """

    writers: Mapping[str, Writer]
    left_out: tuple[str, ...]

    def told(self) -> list[str]:
        """In one line, how many layers the loss on features compares; no line if it compares all of them."""
        if not self.left_out:
            return []
        paired, count = len(self.writers), len(self.writers) + len(self.left_out)
        seen = f"in {paired} of {count} layers only" if paired else "in no layer, and distill.features_weight is unused"
        return [
            f"features of student and teacher are compared {seen}: elsewhere the teacher has other widths or other "
            "stages. Embeddings and logits are compared as usual."
        ]


def _stages(sites: Sequence[Site]) -> list[list[Site]]:
    """Consecutive sites that write maps of one size and width."""
    return [list(some) for _, some in groupby(sites, key=lambda site: (site.resolution, site.channels, site.linear))]


T = TypeVar("T")


def _at_depth(place: int, own: Sequence[object], other: Sequence[T]) -> T:
    """The element of `other` at the same relative depth as `place` in `own`."""
    depth = place / (len(own) - 1) if len(own) > 1 else 1.0
    return other[round(depth * (len(other) - 1))]


def _width(stage: Sequence[Site]) -> tuple[int, bool]:
    return stage[0].channels, stage[0].linear


def pair_writers(student: Sequence[Site], teacher: Sequence[Site]) -> Pairs:
    """Pair layers within each stage by relative depth, where student and teacher are equally wide.

    Inner channels and residual streams are matched apart, and the writers of a stream within it. Where the numbers of
    stages differ, it is not known which belong together, and none of them is paired.
    """
    pairs: dict[str, Writer] = {}
    for kind in product((True, False), repeat=2):
        ours, theirs = (
            _stages([site for site in sites if (site.spatial, site.coupled) == kind]) for sites in (student, teacher)
        )
        if len(ours) != len(theirs):
            continue
        for own, other in zip(ours, theirs, strict=True):
            if _width(own) != _width(other):
                continue
            for place, site in enumerate(own):
                match = _at_depth(place, own, other)
                for number, writer in enumerate(site.writers):
                    pairs[writer.layer] = _at_depth(number, site.writers, match.writers)
    layers = [writer.layer for site in student for writer in site.writers]
    return Pairs(pairs, tuple(layer for layer in layers if layer not in pairs))


def teacher_sites(teacher: Embedder, which: Which) -> list[Site]:
    """Sites of a teacher; none if it has none or can't be analysed, and then no features are compared."""
    try:
        return find_sites(teacher, which)
    except PipelineError:
        return []


def check_all_paired(student: Sequence[Site], teacher: Sequence[Site], why: str) -> None:
    """Refuse a teacher whose features do not all compare.

    Args:
        why: the setting that needs them all.

    Raises:
        PipelineError: stages have other widths, or there are more or fewer of them.
    """
    if not pair_writers(student, teacher).left_out:
        return
    widths = [[stage[0].channels for stage in _stages(sites)] for sites in (student, teacher)]
    raise PipelineError(
        f"{why} compares every layer with the teacher's, but sites have widths {widths[0]} in the student, stage by "
        f"stage, and {widths[1]} in the teacher. Use a teacher of the same widths, such as resnet101 for resnet50; or "
        "a budget with distill.method: prune, which needs outputs only."
    )
