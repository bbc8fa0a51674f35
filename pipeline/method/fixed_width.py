"""A student with a fixed width during training: all channels, or the selected ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from pipeline.method.distillation import TaughtStudent, norm_places
from pipeline.method.settings import Distillation
from pipeline.networks.pairs import pair_writers
from pipeline.networks.site import Site
from pipeline.networks.sites import find_sites
from pipeline.training.supervised import Classified


class FixedStudent(TaughtStudent):
    """Distils into a student the features of the channels that it has, as far as the teacher has equally wide layers.

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
        found = find_sites(teacher.embedder, settings.sites) if settings.features_weight else []
        pairs = pair_writers(sites, found).writers
        if not pairs:  # nothing compares, or is asked for
            super().__init__(student, teacher, settings.model_copy(update={"features_weight": 0.0}), {}, {})
            return
        writers = {writer.layer: writer for site in sites for writer in site.writers if writer.layer in pairs}
        sources = {writer.layer: site.writer for site in sites for writer in site.writers if writer.layer in pairs}
        rows = {layer: kept[writer] for layer, writer in sources.items()} if kept else {}
        taught, places = norm_places(teacher.embedder, pairs), norm_places(student.embedder, writers)
        super().__init__(student, teacher, settings, taught, places, rows)
