"""A build whose budget is in milliseconds: few networks, timed for moments, as nobody compares these times."""

import pytest

LATENCY = "distill.compress={p50_ms: %s, target: onnxruntime-cpu}"


@pytest.fixture
def quick(monkeypatch):
    """Tables and what follows from them in seconds."""
    monkeypatch.setattr("pipeline.stages.latency_table.NETWORKS", 6)
    monkeypatch.setattr("pipeline.stages.latency_budget.NETWORKS", 2)
    monkeypatch.setattr("pipeline.stages.latency_budget.ROUNDS", 1)
    monkeypatch.setattr("pipeline.stages.width_graphs.CALLS", 16)
    monkeypatch.setattr("pipeline.stages.width_graphs.MAX_SECONDS", 0.3)
