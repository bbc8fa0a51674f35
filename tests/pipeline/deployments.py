"""What the tests of deployment share: a workshop in which nothing is trained, plans, and a runtime of somebody else."""

import json
from importlib.metadata import EntryPoint, entry_points

import pytest

from pipeline.data.dataset import open_dataset
from pipeline.data.gate import hold_out
from pipeline.planning.deployment import TargetPlan
from targets import contract
from targets.errors import Unusable
from targets.settings import TargetSettings
from tests.conftest import make_workshop
from zoo.catalogue import load_catalogue

HERE = TargetSettings("onnxruntime")
BOARD = "a board that is nowhere near"


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


def on(model, target):
    """The plan of a target called `mine`."""
    recipe, data = model
    return TargetPlan(recipe, data, "tiny@1.0.0", "mine", target)


def names(model, target, result=None):
    return [str(step.id) for step in on(model, target).steps(result)]


class Limited:
    """A third-party runtime without int8 that compiles ahead; its device is never present."""

    distribution, extra, activations, precisions, compiles_ahead = "numpy", "x", "symmetric", ("fp32", "fp16"), True

    def __init__(self, settings):
        self.settings = settings

    def check(self):
        raise Unusable("no such device", "Buy one.")

    def check_compiler(self):
        if self.settings.device == "none":
            raise Unusable("no compiler", "Install one.")
        return "a compiler"


@pytest.fixture
def limited(monkeypatch):
    """The runtime `limited`, beside those that are installed."""
    point = EntryPoint("limited", f"{__name__}:Limited", contract.GROUP)
    monkeypatch.setattr(contract, "entry_points", lambda group: [*entry_points(group=group), point])


def more_targets(shop, **targets):
    """The same workshop under a catalogue with further targets."""
    text = (
        shop.catalogue.read_text() + "\ntargets:\n" + "".join(f"  {k}: {json.dumps(v)}\n" for k, v in targets.items())
    )
    path = shop.root / "more.yaml"
    path.write_text(text)
    return type("More", (type(shop),), {"catalogue": path})(shop.root)


def planned(shop, *arguments):
    result = shop.zoo("build", "tiny", "--plan", "--json", *arguments)
    assert result.exit_code == 0, result.output
    return [row["step"] for row in json.loads(result.stdout)["steps"]]
