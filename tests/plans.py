"""Plans of targets for `tiny`, and a runtime that is nowhere."""

import json

from pipeline.engine.plan import make_plan
from pipeline.engine.store import Store
from pipeline.planning.deployment import TargetPlan
from pipeline.planning.training import training_steps
from targets.errors import Unusable
from targets.settings import TargetSettings

HERE = TargetSettings("onnxruntime")
BOARD = "a board that is nowhere near"


def on(model, target):
    """The plan of a target called `mine`."""
    recipe, data = model
    return TargetPlan(recipe, data, "tiny@1.0.0", "mine", target)


def keys(model, tmp_path, target, result=None):
    """Keys of all steps of a build for a target, by id."""
    recipe, data = model
    steps = [*training_steps(recipe, data), *on(model, target).steps(result)]
    return {str(planned.step.id): planned.key for planned in make_plan(steps, Store(tmp_path / "store"), {})}


def planned(shop, *arguments):
    """Steps of `zoo build tiny`."""
    result = shop.zoo("build", "tiny", "--plan", "--json", *arguments)
    assert result.exit_code == 0, result.output
    return [row["step"] for row in json.loads(result.stdout)["steps"]]


def more_targets(shop, **targets):
    """The same workshop under a catalogue with further targets."""
    text = (
        shop.catalogue.read_text() + "\ntargets:\n" + "".join(f"  {k}: {json.dumps(v)}\n" for k, v in targets.items())
    )
    path = shop.root / "more.yaml"
    path.write_text(text)
    return type("More", (type(shop),), {"catalogue": path})(shop.root)


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
