"""Retrieval-guided gradient resetting: finds compactor rows that retrieval does not need.

Xie et al., CVPR 2023, section 3.3. For every query of the batch, the nearest gallery features *of the teacher* are
searched; channels that contribute least to every one of these matches lose their task gradient for good, so that only
the sparsity penalty acts on their rows.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline.method.bank import enqueue
from pipeline.method.settings import Distance, Resetting
from pipeline.training.together import alone, gathered


@torch.no_grad()
def contributions(teacher: Tensor, student: Tensor, gallery: Tensor, neighbours: int, distance: Distance) -> Tensor:
    """Contribution of each channel to each match of the batch.

    Args:
        teacher: B×C teacher features (for cosine: rows of length 1).
        student: B×C student features after the compactor (for cosine: rows of length 1).
        gallery: N×C teacher features, N ≥ `neighbours`.

    Returns:
        |gallery[n] · student| for every query and each of its `neighbours` nearest rows n, B×neighbours×C.
    """
    scores = teacher @ gallery.T
    if distance == "euclidean":  # ‖t − g‖² without ‖t‖², which is equal for all g
        scores = 2 * scores - gallery.square().sum(1)
    nearest = scores.topk(neighbours, dim=1).indices
    return (gallery[nearest] * student[:, None, :]).abs()


@torch.no_grad()
def unimportant_channels(contribution: Tensor, share: float) -> Tensor:
    """Channels that matter to no match of the batch.

    Args:
        contribution: see `contributions`.

    Returns:
        C booleans: true if the channel is among the ⌊share·C⌋ smallest of every match.
    """
    channels = contribution.shape[2]
    smallest = contribution.topk(int(share * channels), dim=2, largest=False, sorted=False).indices
    votes = torch.zeros(channels, dtype=torch.int64, device=contribution.device)
    votes.scatter_add_(0, smallest.flatten(), torch.ones_like(smallest.flatten()))
    return votes == contribution[:, :, 0].numel()


def _everywhere(features: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """Features of all processes, gathered in one call."""
    if alone():
        return features
    rows = gathered(torch.cat([*features.values()], 1))
    widths = [some.shape[1] for some in features.values()]
    return dict(zip(features, torch.split(rows, widths, 1), strict=True))


class GradientResetting(nn.Module):
    """Feature bank and accumulated mask of every site. All of it is state: saved and resumed with the student."""

    def __init__(self, channels: Mapping[str, int], settings: Resetting) -> None:
        super().__init__()
        self.settings = settings
        self.written = 0  # rows ever put into the banks, on the host, so that nothing waits for the device
        self.sites = nn.ModuleDict()
        self._names = {name: name.replace(".", "/") for name in channels}  # a module name may not hold a dot
        for name, count in channels.items():
            site = nn.Module()
            site.register_buffer("bank", torch.zeros(settings.bank, count))
            site.register_buffer("mask", torch.ones(count))
            self.sites[self._names[name]] = site

    def get_extra_state(self) -> Tensor:
        return torch.tensor(self.written)

    def set_extra_state(self, state: Tensor) -> None:
        self.written = int(state)

    def mask(self, site: str) -> Tensor:
        """1 for rows that still learn from the task, 0 for rows that do not."""
        mask: Tensor = self.sites[self._names[site]].mask  # type: ignore[assignment]
        return mask

    @torch.compiler.disable  # type: ignore[untyped-decorator] # it counts rows on the host: a compiled step would be recompiled each time
    def update(self, teacher: Mapping[str, Tensor], student: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Enqueue the batch's teacher features, then mask the rows that no match of this batch needs.

        The batch spans all processes.

        Args:
            teacher: by site, B×C pooled after the norm.
            student: by site, B×C pooled after the compactor.

        Returns:
            By site, the mean contribution of each channel to a match, C.
        """
        device = next(iter(teacher.values())).device
        with torch.no_grad(), torch.autocast(device.type, enabled=False):  # distances are computed in float32
            return self._update(_everywhere(teacher), _everywhere(student))

    def _update(self, teacher: Mapping[str, Tensor], student: Mapping[str, Tensor]) -> dict[str, Tensor]:
        means = {}
        settings = self.settings
        batch = next(iter(teacher.values())).shape[0]
        start = self.written
        self.written += batch
        filled = min(self.written, settings.bank)
        for name, features in teacher.items():
            site = self.sites[self._names[name]]
            bank: Tensor = site.bank  # type: ignore[assignment]
            mask: Tensor = site.mask  # type: ignore[assignment]
            t, s = features.detach().float(), student[name].detach().float()
            if settings.distance == "cosine":
                t, s = functional.normalize(t), functional.normalize(s)
            enqueue(bank, t, start)
            found = contributions(t, s, bank[:filled], min(settings.neighbours, filled), settings.distance)
            mask.masked_fill_(unimportant_channels(found, settings.share), 0.0)
            means[name] = found.mean((0, 1))
        return means
