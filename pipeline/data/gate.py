"""Training identities that are held out, so that choices by accuracy are not made on the test set.

The number of int8 layers that return to float, and the precision that ships, are decided by the loss of mAP. Decided on
the queries of the reported figures, a lucky choice would inflate them. So some training identities are never trained
on; the choice is made on their images, each of which searches the others of its identity.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from pydantic import Field, field_validator

from pipeline.data.account import SplitAccount, SplitName
from pipeline.data.samples import Index, Samples
from pipeline.errors import DataError
from pipeline.settings import Settings

SEED = 14  # of the draw: the same identities for any seed of a recipe, so that models are judged alike


class Gate(Settings):
    """Settings of the accuracy gate."""

    identities: int = Field(
        50,
        ge=0,
        description="training identities that are held out for the gate; 0: the gate is on the test set, whose "
        "accuracy is then inflated",
    )

    @field_validator("identities")
    @classmethod
    def _can_be_told_apart(cls, identities: int) -> int:
        if identities == 1:
            raise ValueError("a single identity is always found: hold out two or more, or 0 for the test set")
        return identities


def hold_out(data: Index, settings: Gate, needed: int) -> Index:
    """A data set with its gate's split: identities seen by at least two cameras, since others have no correct answer.

    Args:
        needed: number of identities that must remain for training.

    Raises:
        DataError: there are too few.
    """
    if not settings.identities:
        return data
    train = data.train
    identities = np.unique(train.identities)
    seen = [len(np.unique(train.cameras[train.identities == one])) for one in identities]
    eligible = identities[np.array(seen) >= 2]
    most = max(0, min(len(eligible), len(identities) - needed))
    if settings.identities > most:
        allowed = f"Set it to {most} or fewer" if most >= 2 else "Lower sampling.identities, or add identities"
        raise DataError(
            f"gate.identities ({settings.identities}) can't be held out: the training split has {len(identities)} "
            f"identities, {len(eligible)} of them seen by two cameras, and training needs {needed} for a batch. "
            f"{allowed}; 0 puts the gate on the test set, which the release records."
        )
    held = np.random.default_rng(SEED).permutation(eligible)[: settings.identities]
    inside = np.isin(train.identities, held)
    left, gate = train.subset(np.flatnonzero(~inside)), train.subset(np.flatnonzero(inside))
    return replace(data, train=left, gate=gate, accounts=_accounts(data, left, gate))


def _accounts(data: Index, train: Samples, gate: Samples) -> dict[SplitName, SplitAccount]:
    """Accounts of a data set after its training split is divided."""
    told = dict(data.accounts)
    if "train" not in told:
        return told
    before = told.pop("train")

    def account(samples: Samples) -> SplitAccount:
        cameras = None if before.cameras is None else len(np.unique(samples.cameras))
        return SplitAccount(len(samples), samples.identity_count, cameras, ())

    return {"train": replace(account(train), not_used=before.not_used), "gate": account(gate), **told}
