"""A stage whose code changes its result raises its VERSION; otherwise the store gives out old results as new ones.

Each stage runs alone, on networks with weights drawn from a seed. What it writes is recorded beside its VERSION: names,
layers, shapes and settings exactly, figures to a tolerance, since sums differ between CPUs. Who raised a VERSION or
updated a library records anew:

    python -m tests.pipeline.test_versions
"""

import importlib
import json
import pkgutil
import re
from importlib.metadata import version
from pathlib import Path

import pytest
import torch
from packaging.requirements import Requirement

import pipeline.stages
from pipeline.data.dataset import open_dataset
from pipeline.engine.processes import Processes
from pipeline.engine.step import COMPACT, DISTILL, RECORD, TEACHER, StepId
from pipeline.engine.work import Work
from pipeline.foreign.describing import Asked, describe
from pipeline.foreign.reading import file_parts, read_model
from pipeline.foreign_recipe import ForeignRecipe
from pipeline.method.compactor import insert_compactors
from pipeline.networks.factory import build_network
from pipeline.networks.serialization import save_network
from pipeline.networks.sites import find_sites
from pipeline.networks.weights import save_module
from pipeline.planning.deployment import TargetPlan
from pipeline.planning.foreign import foreign_steps
from pipeline.planning.training import training_steps
from pipeline.progress import Silent
from pipeline.stages.distill import COMPACTED
from targets.contract import make_target, revision
from targets.files import sha256
from targets.settings import TargetSettings
from tests.conftest import make_workshop
from tests.examples import laid_out
from tests.foreign import MEAN, STD, write_foreign
from tests.helpers import enliven, settle
from tests.results import OF_ITS_OWN, described, differences, result_of, shape
from zoo.building import record
from zoo.catalogue import load_catalogue

TOP = Path(__file__).parents[2]
GOLDEN = TOP / "tests" / "golden" / "stages.json"
RECORD_ANEW = "record its result: python -m tests.pipeline.test_versions"
# whose versions say what a graph looks like; a step's key has them, too
LIBRARIES = ("ai-edge-litert", "onnx", "onnxruntime", "onnxscript", "onnxsim", "openvino", "pnnx", "timm", "torch")
ELSEWHERE = {
    "teacher": "losses are recorded in tests/golden/losses.json",
    "distill": "losses are recorded in tests/golden/losses.json",
    "device": "it takes over what another machine measured",
    "latency_table": "its figures are times",
    "latency_budget": "its figures are times",
}
ROUNDED = {"agreement", "before_fallback", "images_sha256"}  # what int8 costs depends on a CPU's instructions
STEPS = {  # a stage reads results of those before it
    "compact": [COMPACT],
    "reference": [StepId("reference", "student")],
    "export": [StepId("export", "student")],
    "calibrate": [StepId("calibrate", "student", "int8", "ort"), StepId("calibrate", "student", "fp16")],
    "compile": [StepId("compile", "student", "int8", target) for target in ("ort", "ov")],
    "bundle": [StepId("bundle", target="board")],
}
CONVERTED = {  # what these targets write has a `revision` of its own, on top of VERSION
    f"compile for {name}": StepId("compile", "student", "int8", name) for name in ("ncnn", "litert")
}
TARGETS = {
    "ort": TargetSettings("onnxruntime"),
    "ov": TargetSettings("openvino"),
    "ncnn": TargetSettings("ncnn"),
    "litert": TargetSettings("litert"),
    "board": TargetSettings("onnxruntime", board="a board that is not here"),
}


# The stages, run


def alive(network, size):
    torch.manual_seed(0)
    embedder = build_network(network, size)
    enliven(embedder)
    return settle(embedder, size)


def write_trained(folders, recipe):
    """What training would have left: a teacher, and a student of which a third of each site's rows are gone."""
    save_network(folders[TEACHER], alive(recipe.teacher_network, recipe.input), recipe.teacher_network, recipe.input)
    student = alive(recipe.network, recipe.input)
    for rows in insert_compactors(student, find_sites(student, recipe.distill.sites)).values():
        rows.scale_rows(torch.arange(len(rows.row_norms())).remainder(3).bool().float())
    save_module(folders[DISTILL] / COMPACTED, student)


def run_stages(root):
    """Results of the steps above, by stage and step."""
    shop = make_workshop(root / "workshop")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ZOO_CATALOGUE", str(shop.catalogue))
        catalogue = load_catalogue()
    data = open_dataset("squares", catalogue.datasets["squares"], shop.root / "data", shop.home / "data")
    # a gate that all graphs pass, however a CPU rounds
    recipe = catalogue.recipe("tiny", ["precision=auto", "calibrate.max_map_drop_points=100", "measure.dense=[]"])
    steps = {step.id: step for step in training_steps(recipe, data)}
    for name, target in TARGETS.items():
        steps |= {step.id: step for step in TargetPlan(recipe, data, "tiny@1.0.0", name, target).steps()}
    folders = {step: root / str(step).replace("/", "-") for step in steps}
    for folder in folders.values():
        folder.mkdir()
    write_trained(folders, recipe)
    done = {TEACHER, DISTILL}

    def run(step):
        for source in steps[step].sources().values():
            if source not in done:
                run(source)
        work = Work(folders[step], root / f"scratch of {folders[step].name}", Processes("cpu"), Silent())
        work.scratch.mkdir()
        steps[step].run(work, **steps[step].given(folders))
        done.add(step)

    found = {}
    for stage, wanted in STEPS.items():
        for step in wanted:
            if step not in done:
                run(step)
        found[stage] = {str(step): result_of(folders[step]) for step in wanted}
    for name, step in CONVERTED.items():
        run(step)
        found[name] = result_of(folders[step])
    found["compile for ncnn"]["artifacts/model.json"]["sha256"] = OF_ITS_OWN
    found["foreign"] = run_foreign(root, data)
    for content in found["calibrate"].values():
        content["calibration.json"] |= dict.fromkeys(ROUNDED & content["calibration.json"].keys(), OF_ITS_OWN)
    return json.loads(json.dumps(found))


def run_foreign(root, data):
    """Results of the steps that take a file."""
    file = write_foreign(root / "net.onnx")
    size, foreign = describe(read_model(file), file.name, sha256(file), Asked(mean=MEAN, std=STD))
    recipe = ForeignRecipe(license="MIT", dataset="squares", targets=("ort",), input=size, foreign=foreign)
    folders = {}
    for step in foreign_steps(recipe, data, file_parts(file)):
        out = folders[step.id] = root / f"foreign {step.stage}"
        work = Work(out, root / f"scratch of {out.name}", Processes("cpu"), Silent())
        out.mkdir()
        work.scratch.mkdir()
        step.run(work, **step.given(folders))
    return {str(step): result_of(folder) for step, folder in folders.items()}


def read_finished(shop):
    """Results of the stages after those: without figures, since all of them depend on how training went."""
    (measured, *_) = sorted((shop.home / "store" / "measure").glob("*/measurement.json"))
    (folder,) = (shop.home / "store" / "record").iterdir()
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} - {"stage.json"}
    return {
        "measure": {"measurement.json": shape(json.loads(measured.read_text()))},
        "record": {
            "files": sorted(re.sub(r"-\w{12}\.json$", ".json", name) for name in names),
            "manifest.json": shape(json.loads((folder / "manifest.json").read_text())),
            "README.md": described(folder / "README.md"),
        },
    }


def versions():
    """VERSION of all stages."""
    names = [one.name for one in pkgutil.iter_modules(pipeline.stages.__path__)]
    modules = {name: importlib.import_module(f"pipeline.stages.{name}") for name in names}
    found = {name: module.VERSION for name, module in modules.items() if hasattr(module, "VERSION")}
    targets = {name: make_target(TARGETS[step.target]) for name, step in CONVERTED.items()}
    converted = {name: found["compile"] + revision(target) for name, target in targets.items()}
    return found | converted | {RECORD.stage: record.VERSION}


def installed():
    return {library: version(library).partition("+")[0] for library in LIBRARIES}


@pytest.fixture(scope="module")
def golden():
    return json.loads(GOLDEN.read_text())


@pytest.fixture(scope="module")
def results(golden, tmp_path_factory, finished):
    if golden["libraries"] != installed():
        pytest.skip(f"recorded with other libraries: {golden['libraries']}")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield run_stages(tmp_path_factory.mktemp("stages")) | read_finished(finished)
    torch.set_num_threads(threads)


def complaint(stage, found, expected, now, then):
    """What is to be done about a stage; none if its result is what was recorded with this VERSION."""
    changes = [*differences(found, expected)]
    where = f"{'zoo.building' if stage == RECORD.stage else 'pipeline.stages'}.{stage}"
    raised = "revision of the target" if stage in CONVERTED else "VERSION"
    if now != then:
        return f"VERSION of {where} is {now} and was {then} when its result was recorded; {RECORD_ANEW}"
    if changes:
        return f"the result of {where} changed: raise its {raised} or undo the change.\n" + "\n".join(changes[:20])
    return None


@pytest.mark.parametrize("stage", [*STEPS, *CONVERTED, "foreign", "measure", "record"])
def test_a_stage_whose_result_changes_raises_its_version(stage, results, golden):
    before = (
        ("export", "calibrate") if stage in CONVERTED else [*STEPS][: [*STEPS].index(stage)] if stage in STEPS else ()
    )
    for earlier in before:
        if [*differences(results[earlier], golden["stages"][earlier]["result"])]:
            pytest.skip(f"its input changed: see {earlier}")
    recorded = golden["stages"][stage]
    problem = complaint(stage, results[stage], recorded["result"], versions()[stage], recorded["version"])
    assert problem is None, problem


def test_every_stage_is_recorded_or_has_a_reason_not_to_be(golden):
    assert versions().keys() == {*golden["stages"], *ELSEWHERE}
    assert not golden["stages"].keys() & ELSEWHERE.keys()


def test_results_are_recorded_with_the_libraries_of_the_lock(golden):
    lines = map(Requirement, (TOP / "requirements.lock").read_text().splitlines())
    locked = {line.name: str(line.specifier).removeprefix("==") for line in lines}
    assert golden["libraries"] == {library: locked[library] for library in LIBRARIES}, RECORD_ANEW


@pytest.mark.parametrize(
    ("found", "now", "told"),
    [
        ({"a": [1, 2.0001], "b": "x"}, 3, None),
        ({"a": [1, 2.0001], "b": "x"}, 4, "VERSION of pipeline.stages.export is 4 and was 3 when"),
        ({"a": [1, 2.5], "b": "x"}, 3, "export changed: raise its VERSION or undo the change.\nresult/a/1: 2 → 2.5"),
        ({"a": [2, 2.0], "b": "x"}, 3, "result/a/0: 1 → 2"),
        ({"a": [1], "b": "x"}, 3, "result/a: [1, 2.0] → [1]"),
        ({"a": [1, 2.0]}, 3, "result/b: is gone"),
        ({"a": [1, 2.0], "b": "x", "c": 1}, 3, "result/c: is new"),
    ],
)  # fmt: skip
def test_what_is_said_of_a_change(found, now, told):
    said = complaint("export", found, {"a": [1, 2.0], "b": "x"}, now, 3)
    assert said == told if told is None else told in said


if __name__ == "__main__":
    import os
    import tempfile

    torch.set_num_threads(1)
    os.environ.setdefault("ZOO_QUIET_SECONDS", "0")  # what is recorded holds no times
    with tempfile.TemporaryDirectory() as scratch:
        (Path(scratch) / "stages").mkdir()
        shop = make_workshop(Path(scratch) / "built")
        shop.build("tiny")
        found = run_stages(Path(scratch) / "stages") | read_finished(shop)
    stages = {name: {"version": versions()[name], "result": result} for name, result in found.items()}
    GOLDEN.write_text(laid_out({"libraries": installed(), "stages": stages}) + "\n")
