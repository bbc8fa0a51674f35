"""A student with a fixed width during training: all channels, or the selected ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from pipeline.method.distillation import TaughtStudent, norm_places
from pipeline.method.settings import Distillation
from pipeline.networks.pairs import pair_writers, teacher_sites
from pipeline.networks.site import Site
from pipeline.training.supervised import Classified


class FixedStudent(TaughtStudent):
    """Distils into a student the features of the channels that it has, where the teacher has equally wide layers.

    Args:
        sites: of the dense student.
        kept: by the site's writer, the channels that the student has; default: all.
    """

    def __init__(
        self,
        student: Classified,
        teacher: Classified,
        settings: Distillation,
        sites: Sequence[Site],
        kept: Mapping[str, Tensor] | None = None,
    ) -> None:
        others = teacher_sites(teacher.embedder, settings.sites) if settings.features_weight else []
        pairs = pair_writers(sites, others).writers
        paired = [(site, writer) for site in sites for writer in site.writers if writer.layer in pairs]
        rows = {writer.layer: kept[site.writer] for site, writer in paired} if kept else {}
        places = norm_places(student.embedder, {writer.layer: writer for _, writer in paired})
        super().__init__(student, teacher, settings, norm_places(teacher.embedder, pairs), places, rows)
