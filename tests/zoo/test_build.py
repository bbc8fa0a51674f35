"""`zoo build` as a user sees it, from nothing to a table."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
import safetensors.torch

from pipeline.method.allocation import CANDIDATES
from pipeline.method.selection import IMPORTANCES
from pipeline.networks.serialization import load_network
from targets.contract import make_target
from targets.machine.device import this_device
from targets.settings import TargetSettings
from tests.helpers import random_images
from zoo.release.lineage import TrainedOn
from zoo.release.local import read_release
from zoo.release.reading import read_manifest

TOP = Path(__file__).parents[2]


def manifest_of(shop):
    return shop.home / "releases" / "tiny" / "1.0.0" / "manifest.json"


def test_a_build_ends_in_a_table_and_a_manifest(finished):
    result = finished.build("tiny")
    assert re.search(r"openvino-cpu +teacher +fp32", result.output)
    assert re.search(r"onnxruntime-cpu +student +int8", result.output)
    assert re.search(r"images/s +× dense *\n", result.output)  # no column is cut off where it is piped
    assert result.output.splitlines()[-1] == f"manifest: {manifest_of(finished)}"


def test_manifest_and_card_say_what_trained_the_networks(finished):
    path, here = manifest_of(finished), this_device().name
    told = {stage.name: stage.trained_on for stage in read_manifest(path).stages if stage.trained_on}
    assert told == dict.fromkeys(("teacher", "distill"), TrainedOn(device=here, precision="fp32"))
    assert f"- teacher, distill: trained on {here} in fp32\n" in (path.parent / "README.md").read_text()


def test_the_manifest_agrees_with_files_and_figures(finished):
    path = manifest_of(finished)
    manifest = read_manifest(path)
    for artifact in manifest.artifacts:
        file = path.parent / artifact.path
        assert file.stat().st_size == artifact.size_bytes
    found = {one.relative_to(path.parent).as_posix() for one in path.parent.rglob("*") if one.is_file()}
    listed = {file.path for file in manifest.files}
    assert {name for name in found if not name.startswith("measurements/")} == {*listed, "manifest.json", "stage.json"}
    before, after = manifest.compression.before, manifest.compression.after
    assert after.macs < before.macs
    assert after.kernel_parameters < before.kernel_parameters
    removed = sum(site.parameters_before - site.parameters_after for site in manifest.compression.sites)
    norms = sum(2 * site.width_before for site in manifest.compression.sites)  # folded: weight and bias of each channel
    assert before.parameters - after.parameters == removed + norms
    release = read_release(path)
    assert {one.target for one in release.measured} == {"onnxruntime-cpu", "openvino-cpu"}
    for target in ("onnxruntime-cpu", "openvino-cpu"):
        rows = release.on(target)
        assert [(row.network, row.precision, row.ships) for row in rows] == [
            ("teacher", "fp32", False), ("student", "fp32", False), ("student", "int8", True),
        ]  # fmt: skip
        exact = rows[1]
        assert exact.accuracy.map == pytest.approx(manifest.accuracy.student.map, abs=0.5)
        assert exact.agreement.min_cosine > 0.9999
        assert exact.data == manifest.data.fingerprint
        alone = rows[-1].latency[0]
        assert (alone.calls, alone.p99_ms) == (50, None)
        assert alone.p90_ms >= alone.p50_ms > 0


def test_what_ships_is_chosen_on_identities_that_were_held_out_and_reported_on_the_test_set(finished):
    release = read_release(manifest_of(finished))
    data, recipe = release.manifest.data, release.manifest.recipe
    assert (data.train_identities, data.train_images, data.gate_identities, data.gate_images) == (8, 32, 2, 8)
    assert recipe["gate"] == {"identities": 2}
    for record in release.measured:
        assert (record.gate is not None) == (record.network == "student")
        assert record.accuracy.queries == data.query_images, "figures are the test set's"
        assert record.ships_by == ("only" if record.ships else None)
    for one in release.manifest.calibrations:
        twin = next(r for r in release.on(one.target) if r.precision == one.precision)
        assert twin.gate.map_drop_points == pytest.approx(one.agreement.map_drop_points, abs=0.5)


@pytest.mark.parametrize(("kind", "count"), [("manifest", 1), ("measurement", 6)])
def test_records_follow_the_published_schemas(finished, kind, count):
    published = json.loads((TOP / "docs" / f"{kind}.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(published)
    folder = manifest_of(finished).parent
    records = [folder / "manifest.json"] if kind == "manifest" else list((folder / "measurements").iterdir())
    assert len(records) == count
    for record in records:
        jsonschema.validate(json.loads(record.read_text()), published)


def test_the_release_runs_by_itself(finished):
    """Network, graph and both artifacts of the release folder give the same embeddings."""
    folder, images = manifest_of(finished).parent, random_images(3)
    network = load_network(folder / "network")
    expected = network(__import__("torch").from_numpy(images).permute(0, 3, 1, 2)).detach().numpy()
    expected /= (expected**2).sum(1, keepdims=True) ** 0.5
    for runtime in ("openvino", "onnxruntime"):
        session = make_target(TargetSettings(runtime=runtime)).load(folder / f"{runtime}-cpu")
        assert (session.embed(images) * expected).sum(1).min() > 0.98  # for any shipped precision
    names = safetensors.torch.load_file(folder / "network" / "network.safetensors")
    assert not any("compactor" in name or "classifier" in name for name in names)


def test_a_second_build_runs_no_step_and_imports_neither_torch_nor_a_runtime(finished):
    code = (
        "import sys\n"
        "from zoo.cli import main\n"
        "from pipeline.engine.store import Store\n"
        "Store.produce = None\n"  # by which every step writes its result
        "try: main(['build', 'tiny'])\n"
        "except SystemExit as exit: assert not exit.code\n"
        "print(*{name.partition('.')[0] for name in sys.modules})"
    )
    environment = {**os.environ, "ZOO_HOME": str(finished.home), "ZOO_DATA": str(finished.root / "data")}
    environment |= {"ZOO_CATALOGUE": str(finished.catalogue)}
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    *shown, imported = output.stdout.splitlines()
    assert shown[-1] == f"manifest: {manifest_of(finished)}"
    slow = {
        "torch",
        "torchvision",
        "timm",
        "scipy",
        "onnx",
        "onnxruntime",
        "openvino",
        "safetensors",
        "huggingface_hub",
    }
    assert not slow & {*imported.split()}


def test_the_plan_says_what_would_run_and_why(built):
    assert {row["runs"] for row in json.loads(built.zoo("build", "--plan", "--json").output)["steps"]} == {False}
    plan = built.zoo("build", "--plan", "--set", "distill.epochs=9").output.splitlines()
    assert re.fullmatch(r"teacher +\w{12}  reused", plan[0])
    assert re.fullmatch(r"distill +\w{12}  runs: distill.epochs 3 → 9", plan[1])
    assert re.fullmatch(r"compact +\w{12}  runs: student is new", plan[2])
    assert re.fullmatch(r"export/teacher +\w{12}  reused", plan[3])
    plan = built.zoo("build", "--plan", "--set", "distill.compress.macs=0.5").output.splitlines()
    assert re.search(r"runs: .*distill.compress null → {macs: 0.5, precision: fp32}", plan[1])
    assert not re.search("None|True|'", "".join(plan))
    image = next((built.root / "data" / "squares" / "image_train").iterdir())
    image.write_bytes(image.read_bytes() + b"\0")
    assert "runs: the data changed" in built.zoo("build", "--plan").output.splitlines()[0]


def test_the_data_set_is_described_before_training(built):
    (built.root / "data" / "squares" / "image_train" / "0000_c000_1_0.heic").write_bytes(b"x")
    train = (
        "train: 32 images, 8 identities, 2 cameras; not used: 1 picture has an unsupported format "
        "(image_train/0000_c000_1_0.heic)"
    )
    gate = "gate: 8 images, 2 identities, 2 cameras, held out of train"
    told = [train, gate, *[f"{split}: 8 images, 4 identities, 2 cameras" for split in ("query", "gallery")]]
    plan = built.zoo("build", "--plan").stdout.splitlines()
    assert plan[-4:] == told
    splits = json.loads(built.zoo("build", "--plan", "--json").stdout)["data"]["splits"]
    assert splits["train"]["not_used"] == [
        {"reason": "suffix", "count": 1, "example": "image_train/0000_c000_1_0.heic"}
    ]
    assert splits["gate"]["images"] == 8
    assert built.build().stderr.splitlines()[:4] == told


@pytest.mark.slow
def test_a_deeper_teacher_and_a_budget(workshop):
    settings = (
        "teacher.architecture=resnet14t",
        "distill.init=random",
        "distill.compress={macs: 0.6}",
        "distill.align=8",
    )
    only = ("--target", "onnxruntime-cpu", "--precision", "fp32")
    workshop.build("tiny", *only, *[part for s in settings for part in ("--set", s)])
    compression = read_manifest(manifest_of(workshop)).compression
    assert compression.teacher.macs > compression.before.macs
    assert 0.55 <= compression.after.macs / compression.before.macs <= 0.6
    assert all(site.width_after % 8 == 0 for site in compression.sites)
    (cut,) = compression.cuts
    assert (cut.allocation, cut.tries) == ("best", len(CANDIDATES) - 1)
    assert cut.chosen in CANDIDATES
    assert cut.importance in IMPORTANCES  # what `best` chose


def test_another_target_is_added_to_the_record(workshop, built):
    text = built.catalogue.read_text().replace("[onnxruntime-cpu, openvino-cpu]", "[onnxruntime-cpu]")
    built.catalogue.write_text(text)
    built.build("tiny", "--target", "onnxruntime-cpu")
    targets = list(dict.fromkeys(one.target for one in read_release(manifest_of(built)).measurements))
    assert sorted(targets) == ["onnxruntime-cpu", "openvino-cpu"]


def test_list_show_and_compare(finished):
    listed = json.loads(finished.zoo("list", "--json").output)
    assert [row["model"] for row in listed["built"]] == ["tiny@1.0.0"]
    assert "resnet50-veri" in listed["not_built"]
    assert "not built: resnet50-veri" in finished.zoo("list").output
    shown = finished.zoo("show", "tiny").output
    for part in ("backbone.layer1.0.conv1", "student, pruned", "openvino-cpu/model.bin", "zoo build tiny"):
        assert part in shown
    shown = json.loads(finished.zoo("show", "tiny@1.0.0", "--json").output)
    assert shown["manifest"]["name"] == "tiny"
    assert len(shown["measurements"]) == 6
    tables = json.loads(finished.zoo("compare", "tiny", "tiny@1.0.0", "--json").output)["tables"]
    assert sum(len(one["rows"]) for one in tables) == 6
    assert re.search(r"openvino-cpu +student +int8 +✓", finished.zoo("compare", "tiny", "tiny").output)


def test_doctor(finished):
    catalogue = finished.catalogue.read_text()
    result = finished.zoo("doctor")
    assert result.exit_code == 0
    assert "usable    openvino-cpu: OpenVINO" in result.output
    rows = {row["name"]: row for row in json.loads(finished.zoo("doctor", "--json").output)}
    assert {"machine", "home", "training", "openvino-cpu", "onnxruntime-cpu"} <= set(rows)
    assert catalogue == finished.catalogue.read_text()


def test_doctor_prints_the_remedies(workshop):
    more = "\ntargets:\n  gpu: {runtime: openvino, device: GPU}\n  new: {runtime: nothing}\n"
    workshop.catalogue.write_text(workshop.catalogue.read_text() + more)
    output = workshop.zoo("doctor").output
    assert "unusable  gpu: OpenVINO" in output
    assert "Run: apt install intel-opencl-icd" in output
    assert "no installed package provides the runtime 'nothing'" in output


WAYS = [
    "init=teacher",
    "init=teacher learn_epochs=1",
    "init=random importance=position allocation=uniform reconstruct=false features_weight=0",
    "init=teacher sites=all importance=l1 allocation=uniform reconstruct=false",
    "init=teacher method=torch_pruning",
    "init=teacher method=deap sparsity=proximal ema=0.9",
]


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_the_alternative_methods_give_releases_of_the_same_cost(way, workshop):
    settings = ("distill.compress={macs: 0.6}", *(f"distill.{setting}" for setting in way.split()))
    workshop.build("tiny", "--target", "onnxruntime-cpu", *[part for s in settings for part in ("--set", s)])
    compression = read_manifest(manifest_of(workshop)).compression
    assert 0.58 <= compression.after.macs / compression.before.macs <= 0.6
    assert all(0 < site.width_after < site.width_before for site in compression.sites)


@pytest.mark.slow
def test_a_small_network_learns_from_a_teacher_of_another_family(workshop):
    settings = ("teacher.architecture=resnet10t", "network={architecture: mobilenetv3_small_050, last_stride: 2}")
    fixed = "distill={method: fixed, init: random, epochs: 2}"
    workshop.build(
        "tiny", "--target", "onnxruntime-cpu", *[p for s in (*settings, fixed, "precision=fp32") for p in ("--set", s)]
    )
    compression = read_manifest(manifest_of(workshop)).compression
    assert compression.after.macs == compression.before.macs
