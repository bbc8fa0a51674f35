"""Banks of earlier embeddings, first in, first out."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


def enqueue(bank: Tensor, rows: Tensor, written: int) -> None:
    """Replace the oldest rows of a bank N×C by rows B×C; `written` rows were put into it before."""
    size = len(bank)
    place = torch.arange(written, written + len(rows), device=bank.device) % size
    bank.index_copy_(0, place[-size:], rows[-size:])


class EmbeddingBank(nn.Module):
    """The latest embeddings of a teacher, of length 1. They are state: saved and resumed with the student."""

    rows: Tensor

    def __init__(self, size: int, length: int) -> None:
        super().__init__()
        self.written = 0  # number of rows ever put into it, on the host, so that nothing waits for the device
        self.register_buffer("rows", torch.zeros(size, length))

    def get_extra_state(self) -> Tensor:
        return torch.tensor(self.written)

    def set_extra_state(self, state: Tensor) -> None:
        self.written = int(state)

    @property
    def filled(self) -> Tensor:
        """A copy of the filled rows, M×D, since results computed from it may outlast the next `add`."""
        return self.rows[: self.written].clone()

    @torch.no_grad()
    def add(self, embeddings: Tensor) -> None:
        """Add a batch of embeddings B×D."""
        enqueue(self.rows, functional.normalize(embeddings.float()), self.written)
        self.written += len(embeddings)
