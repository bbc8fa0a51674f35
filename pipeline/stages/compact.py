"""Stage `compact`: fold norms, merge compactors, remove dead channels, and check that nothing else changes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from pipeline.data import LIBRARIES as IMAGES
from pipeline.data.images import Input
from pipeline.data.samples import Index
from pipeline.engine.work import Work
from pipeline.errors import CheckFailed
from pipeline.networks.factory import Network
from pipeline.networks.sites import Which
from pipeline.settings import Settings
from pipeline.stages.distill import COMPACTED

if TYPE_CHECKING:
    import torch

    from pipeline.networks.cost import Cost
    from pipeline.networks.embedder import Embedder
    from pipeline.networks.site import Site

VERSION = 4
LIBRARIES = (*IMAGES, "torch", "timm")
CHECKED_IMAGES = 64


class Compact(Settings):
    """Threshold of dead rows, and the tolerance on embeddings."""

    threshold: float = Field(1e-5, gt=0, description="rows with a norm below this are removed")
    max_difference: float = Field(
        1e-4, gt=0, description="largest absolute difference of unit-length float32 embeddings"
    )


def _check(what: str, before: torch.Tensor, after: torch.Tensor, settings: Compact) -> float:
    difference = float((before - after).abs().max())
    if not difference < settings.max_difference:
        raise CheckFailed(
            f"{what} changed embeddings by {difference:.2g}, more than compact.max_difference "
            f"({settings.max_difference:g}). Rows near compact.threshold ({settings.threshold:g}) still matter: train "
            "longer, lower the threshold, or check that the network is in evaluation mode."
        )
    return difference


def _report(sites: list[Site], dense: Embedder, pruned: Embedder, size: Input) -> list[dict[str, int | str]]:
    """Per site: width, parameters and MACs of all layers that its channels pass through, before and after."""
    from pipeline.networks.cost import macs_by_module

    macs = {"before": macs_by_module(dense, size), "after": macs_by_module(pruned, size)}
    rows: list[dict[str, int | str]] = []
    for site in sites:
        row: dict[str, int | str] = {"site": site.writer}
        names = site.layers
        for moment, network in (("before", dense), ("after", pruned)):
            modules = dict(network.named_modules())
            layers = [modules[name] for name in names if name in modules]
            weight = getattr(modules.get(site.writer), "weight", None)
            row[f"width_{moment}"] = 0 if weight is None else len(weight)
            row[f"parameters_{moment}"] = sum(p.numel() for layer in layers for p in layer.parameters())
            row[f"macs_{moment}"] = sum(macs[moment].get(name, 0) for name in names)
        rows.append(row)
    return rows


def compact_student(
    work: Work,
    *,
    data: Index,
    input: Input,
    network: Network,
    sites: Which,
    align: int,
    both_sides: bool,
    settings: Compact,
    student: Path,
    layers: Path | None = None,
) -> None:
    """Write the pruned network (see `pipeline.networks.serialization`), `compression.json` and `accuracy.json`.

    Args:
        sites, align: settings of the student's distillation.
        both_sides: whether there are pruners before convolutions, too (see `pipeline.method.deap`).
        student: folder of the stage `distill`.
        layers: description of a release's network, if the student started with its widths.

    Raises:
        CheckFailed: merging or pruning changed embeddings of real images.
    """
    import torch
    from torch.nn import functional

    from pipeline.data.images import read_batches
    from pipeline.method.compactor import insert_compactors
    from pipeline.method.deap import absorb_pruners, insert_pruners
    from pipeline.method.merge import merge_site, prune_network
    from pipeline.networks.branches import fuse_branches
    from pipeline.networks.cost import network_cost
    from pipeline.networks.released import structure
    from pipeline.networks.serialization import DESCRIPTION, load_network, save_network
    from pipeline.networks.sites import find_sites
    from pipeline.networks.weights import load_module
    from pipeline.retrieval.evaluate import evaluate_network

    dense = structure(network, input, layers).eval()
    before: Cost = network_cost(fuse_branches(dense), input)
    images = torch.from_numpy(next(read_batches(data.gallery, input, CHECKED_IMAGES))).permute(0, 3, 1, 2)
    small = (student / DESCRIPTION).exists()  # pruned already: only norms remain to be folded
    embedder = load_network(student) if small else structure(network, input, layers)
    if small:  # before norms are folded, since fusing needs them
        with torch.inference_mode():
            reference = functional.normalize(embedder(images))
        embedder, dense = fuse_branches(embedder), fuse_branches(dense)
    found = find_sites(embedder, sites)
    compacted = insert_pruners(embedder, found) if both_sides else insert_compactors(embedder, found)
    if not small:
        load_module(student / COMPACTED, embedder)
    embedder.eval()

    with torch.inference_mode():
        if not small:
            reference = functional.normalize(embedder(images))  # normalised, as when compared and deployed
        norms = {name: rows.row_norms() for name, rows in compacted.items()}
        if both_sides:
            absorb_pruners(embedder, found)
        for site in found:
            merge_site(embedder, site)
        merging = _check("merging", reference, functional.normalize(embedder(images)), settings)
        prune_network(embedder, found, norms, settings.threshold, align)
        report = _report(found, dense, embedder, input)
        if not small:
            embedder = fuse_branches(embedder, dense=dense)
        pruning = _check("pruning", reference, functional.normalize(embedder(images)), settings)

    save_network(work.out, embedder, network, input)
    pruned = load_network(work.out)
    after = network_cost(pruned, input)
    work.write_json(
        "compression.json",
        {
            "before": before.model_dump(),
            "after": after.model_dump(),
            "difference_after_merging": merging,
            "difference_after_pruning": pruning,
            "sites": report,
        },
    )
    accuracy = evaluate_network(pruned, data.query, data.gallery, input, work.device)
    work.write_json("accuracy.json", accuracy.model_dump())
