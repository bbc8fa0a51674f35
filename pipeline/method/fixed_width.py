"""A student with a fixed width during training: all channels, or the selected ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from pipeline.method.distillation import TaughtStudent, norm_places
from pipeline.method.settings import Distillation
from pipeline.networks.pairs import pair_writers
from pipeline.networks.sites import Site, find_sites
from pipeline.training.supervised import Classified


class FixedStudent(TaughtStudent):
    """Distils into a student the features of the channels that it has.

    Args:
        sites: of the dense student.
        kept: by the site's writer, the channels that the student has; default: all.

    Raises:
        PipelineError: the teacher has other widths.
    """

    def __init__(
        self,
        student: Classified,
        teacher: Classified,
        settings: Distillation,
        sites: Sequence[Site],
        kept: Mapping[str, Tensor] | None = None,
    ) -> None:
        if not settings.features_weight:
            super().__init__(student, teacher, settings, {}, {})
            return
        pairs = pair_writers(sites, find_sites(teacher.embedder, settings.sites))
        writers = {writer.layer: writer for site in sites for writer in site.writers}
        rows = {writer.layer: kept[site.writer] for site in sites for writer in site.writers} if kept else {}
        taught, places = norm_places(teacher.embedder, pairs), norm_places(student.embedder, writers)
        super().__init__(student, teacher, settings, taught, places, rows)
