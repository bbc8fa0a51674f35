"""The record of a budget in milliseconds: its prediction is that of the widths that the student has."""

import json
from dataclasses import asdict

import numpy as np
import pytest
import torch

from pipeline.engine.step import COMPACT, DISTILL, LATENCY_BUDGET
from pipeline.method.latency_model import fit, predict
from pipeline.method.merge import kept_rows
from pipeline.method.removal import remove_channels
from pipeline.method.width_choice import pattern
from pipeline.method.widths import Narrowing, full_widths, layer_widths
from pipeline.networks.branches import fuse_branches
from pipeline.networks.factory import Network
from pipeline.networks.serialization import save_network
from pipeline.stages.latency_budget import LATENCY, LatencyBudget
from targets.contract import Runtime
from targets.machine.device import this_device
from tests.helpers import SMALL, alive_network, sites_of
from zoo.building.budget import budget_record


def latency_budget(layers, rates, full):
    return LatencyBudget(
        what="p50_ms", target="board", precision="fp32", batch=1, asked=1, limit=1, dense=1, least=0.1, error=0.01,
        near=[], even=None, full=full, fit=asdict(rates), layers=[asdict(layer) for layer in layers],
        device=this_device(), runtime=Runtime("onnxruntime", "1.0", "cpu"), threads=1,
    )  # fmt: skip


@pytest.mark.parametrize("architecture", ["resnet10t", "repvgg_a0"])
def test_a_prediction_is_recorded_for_students_whose_layers_are_renamed_by_fusing(architecture, tmp_path):
    network = alive_network(architecture, 2)
    sites = sites_of(network, "coupled")
    layers = layer_widths(Narrowing(network, sites))
    drawn = [pattern(sites, 1, np.random.default_rng(number))(0.1 + number / 12) for number in range(9)]
    rates = fit(layers, drawn, [sum(kept.values()) / 100 for kept in drawn], [1.0] * len(drawn))
    rows = {site.writer: kept_rows(torch.rand(site.channels), 0.4, site.chunks) for site in sites}
    rows[sites[-1].writer] = torch.arange(sites[-1].channels)  # a layer that keeps its width is in no description
    remove_channels(network, sites, rows)
    folders = {step: tmp_path / step.stage for step in (LATENCY_BUDGET, DISTILL, COMPACT)}
    for folder in folders.values():
        folder.mkdir()
    budget = latency_budget(layers, rates, full_widths(sites))
    (folders[LATENCY_BUDGET] / LATENCY).write_text(budget.model_dump_json())
    save_network(folders[DISTILL], network, Network(architecture=architecture, last_stride=2, embedding=16), SMALL)
    after = [{"site": s.writer, "width_after": s.channels} for s in sites_of(fuse_branches(network), "coupled")]
    (folders[COMPACT] / "compression.json").write_text(json.dumps({"sites": after}))
    expected = predict(layers, rates, {name: len(some) for name, some in rows.items()})
    assert budget_record(folders, []).predicted == pytest.approx(expected, abs=1e-4)
