"""Workshops in which nothing is trained, and a runtime that is nowhere."""

from importlib.metadata import EntryPoint, entry_points

import pytest

from pipeline.data.dataset import open_dataset
from pipeline.data.gate import hold_out
from targets import contract
from tests.conftest import make_workshop
from tests.plans import Limited
from zoo.catalogue import load_catalogue


@pytest.fixture(scope="module")
def idle(tmp_path_factory):
    """A workshop in which nothing is trained."""
    return make_workshop(tmp_path_factory.mktemp("idle"))


@pytest.fixture
def untouched(idle):
    """The same, for errors that are reported before training."""
    yield idle
    assert not (idle.home / "store" / "teacher").exists()
    assert not list(idle.home.glob("store/unfinished/*"))


@pytest.fixture(scope="module")
def model(idle):
    """Recipe and data of `tiny`, in precision auto."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ZOO_CATALOGUE", str(idle.catalogue))
        catalogue = load_catalogue()
    data = open_dataset("squares", catalogue.datasets["squares"], idle.root / "data", idle.home / "data")
    recipe = catalogue.recipe("tiny", ["precision=auto"])
    return recipe, hold_out(data, recipe.gate, recipe.sampling.identities)


@pytest.fixture
def limited(monkeypatch):
    """The runtime `limited`, beside those that are installed."""
    point = EntryPoint("limited", f"{Limited.__module__}:{Limited.__name__}", contract.GROUP)
    monkeypatch.setattr(contract, "entry_points", lambda group: [*entry_points(group=group), point])
