"""A device elsewhere: the bundle that a build ends in, what runs it without zoo, and its result on the way back.

`board` is a target whose board this machine is. The build is told that it is not, and the program finds that it is. The
"device" is an interpreter of its own, in which numpy and ONNX Runtime are and nothing else.
"""

import io
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import venv
import zipfile
from contextlib import contextmanager
from importlib.metadata import distribution
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from rich.console import Console

from pipeline.data.samples import Samples
from pipeline.errors import CheckFailed
from pipeline.files import sha256
from pipeline.processes import Processes
from pipeline.progress import Silent
from pipeline.retrieval.accuracy import retrieval_accuracy
from pipeline.stages.device import measure_on_device
from pipeline.work import Work
from targets.archive import read_archive, read_list, write_archive
from targets.bundle import BUNDLE_LIST, RESULT_LIST
from targets.contract import make_target
from targets.device import this_device
from targets.errors import BadBundle
from targets.program import compile_bundle
from targets.settings import TargetSettings
from tests.conftest import Workshop
from tests.helpers import random_images
from tests.targets.refusal import refusal
from zoo.build import Wish, prepare
from zoo.catalogue import load_catalogue
from zoo.home import Home
from zoo.manifest import manifest_schema, read_manifest
from zoo.tables import measurement_rows, measurement_table

SCHEMA = Path(__file__).parents[2] / "docs" / "manifest.schema.json"
NAME = "tiny-1.0.0-board"


@contextmanager
def board_elsewhere():
    """This machine is no board, as far as a build can tell."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipeline.deployment.is_board", lambda words: words is None)
        yield


def build(shop, *arguments):
    with board_elsewhere():
        return shop.build("tiny", "--target", "board", *arguments)


def refused_build(shop, *arguments):
    with board_elsewhere():
        return shop.refused("build", "tiny", "--target", "board", *arguments)


def manifest_of(shop):
    return read_manifest(shop.home / "releases" / "tiny" / "1.0.0" / "manifest.json")


def measured_on(shop, target="board"):
    return next(one for one in manifest_of(shop).measured if one.target == target)


def copied(shop, folder):
    """A workshop to change; results of stages, which never change, are not copied but named again."""

    def place(source, target):
        never_changes = "/.zoo/store/" in source and "/cache/" not in source
        (os.link if never_changes else shutil.copy2)(source, target)

    shutil.copytree(shop.root, folder, symlinks=True, copy_function=place)
    return Workshop(folder)


@pytest.fixture(scope="module")
def waiting(finished, tmp_path_factory):
    """A workshop in which `tiny` waits for `board`, and what the build printed. Not to be changed."""
    shop = copied(finished, tmp_path_factory.mktemp("waiting") / "shop")
    board = {"runtime": "onnxruntime", "board": this_device().name, "about": "a board"}
    targets = {"board": board, "engine": {**board, "runtime": "tensorrt", "device": "GPU"}}
    lines = [f"  {name}: {json.dumps(content)}\n" for name, content in targets.items()]
    shop.catalogue.write_text(shop.catalogue.read_text() + "\ntargets:\n" + "".join(lines))
    return shop, build(shop)


@pytest.fixture
def shop(waiting, tmp_path):
    """A copy of it, to do with as one likes."""
    return copied(waiting[0], tmp_path / "shop")


@pytest.fixture(scope="module")
def spare(waiting, tmp_path_factory):
    """Another copy, shared by tests that change nothing unless they fail."""
    return copied(waiting[0], tmp_path_factory.mktemp("spare") / "shop")


@pytest.fixture(scope="module")
def bundle(waiting):
    return waiting[0].home / "bundles" / f"{NAME}.zoo"


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    """An interpreter that has numpy and ONNX Runtime, and nothing else."""
    folder = tmp_path_factory.mktemp("bare")
    venv.create(folder, symlinks=True)
    (site,) = folder.glob("lib/python*/site-packages")
    for name in ("numpy", "onnxruntime"):
        found = distribution(name)
        for top in {path.parts[0] for path in found.files} - {".."}:
            (site / top).symlink_to(Path(found.locate_file(top)).resolve())
    return folder / "bin" / "python"


class Desk:
    """A place on the device: where one stands, a home, folders for what is temporary and for the cache."""

    def __init__(self, python, root):
        self.python, self.root = python, root
        for name in ("here", "home", "temporary"):
            (root / name).mkdir(parents=True)

    def start(self, *words, limit=None):
        places = {"HOME": "home", "TMPDIR": "temporary", "ZOO_CACHE": "cache"}
        environment = {name: str(self.root / place) for name, place in places.items()}

        def limited():
            if limit:
                resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

        return subprocess.Popen(
            [self.python, "-I", *words],
            cwd=self.root / "here",
            env=environment | {"PATH": os.environ["PATH"]},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=limited,
        )

    def run(self, *words, limit=None):
        process = self.start(*words, limit=limit)
        output, errors = process.communicate(timeout=100)
        return process.returncode, output, errors

    def refused(self, *words, limit=None):
        """Run, expect a refusal in a line or two and nothing left behind; what was said."""
        code, _, errors = self.run(*words, limit=limit)
        assert code == 1
        assert errors.startswith("Error: ")
        assert errors.strip().count("\n") < 2
        assert not self.left()
        return errors.strip().removeprefix("Error: ")

    def left(self):
        """All files there are, but those in the named cache, which is the runtime's."""
        files = (path.relative_to(self.root) for path in self.root.rglob("*") if path.is_file())
        return sorted(file.as_posix() for file in files if file.parts[0] != "cache")


@pytest.fixture
def desk(bare, tmp_path):
    return Desk(bare, tmp_path / "desk")


@pytest.fixture(scope="module")
def ran(bare, bundle, tmp_path_factory):
    """The bundle, run on the device: what it printed, and what is there now."""
    desk = Desk(bare, tmp_path_factory.mktemp("ran") / "desk")
    code, output, errors = desk.run(str(bundle))
    assert (code, errors) == (0, "")
    return output, desk


@pytest.fixture(scope="module")
def result(ran):
    return ran[1].root / "here" / f"{NAME}.result"


@pytest.fixture(scope="module")
def back(waiting, result, tmp_path_factory):
    """A workshop that took in the result and recorded it; what both commands printed."""
    shop = copied(waiting[0], tmp_path_factory.mktemp("back") / "shop")
    taken = shop.zoo("receive", str(result))
    assert taken.exit_code == 0, taken.output
    return shop, taken.output, build(shop).output


def contents(path):
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def altered(source, path, list_name, files=None, **about):
    """An archive whose list and content agree, but in which things are other than they were."""
    there = contents(source)
    listed = json.loads(there.pop(list_name))
    del listed["files"]
    changed = {name: content for name, content in {**there, **(files or {})}.items() if content is not None}
    write_archive(path, list_name, {**listed, **about}, changed)
    return path


@pytest.fixture(scope="module")
def quick(bundle, tmp_path_factory):
    """A bundle with the student alone, that is measured for a moment only; not one that any build knows."""
    variants = [one for one in read_list(bundle, BUNDLE_LIST)["variants"] if one["network"] == "student"]
    path, less = tmp_path_factory.mktemp("quick") / "quick.zoo", {"graphs/teacher-fp32.onnx": None}
    return altered(bundle, path, BUNDLE_LIST, less, variants=variants, calls=8, max_seconds=0.2, batches=[1])


@pytest.fixture(scope="module")
def light(result, tmp_path_factory):
    """A result without the teacher's artifacts, which nothing reads."""
    path = tmp_path_factory.mktemp("light") / "light.result"
    return altered(result, path, RESULT_LIST, {"artifacts/teacher-fp32/model.onnx": None})


@pytest.fixture(scope="module")
def foreign(light, quick, tmp_path_factory):
    """A result of another build."""
    key = read_list(quick, BUNDLE_LIST)["key"]
    return altered(light, tmp_path_factory.mktemp("foreign") / "foreign.result", RESULT_LIST, bundle=key)


# What a build for a board elsewhere ends in


def test_a_build_for_a_board_elsewhere_ends_in_what_to_run_there(waiting):
    shop, printed = waiting
    path = shop.home / "bundles" / f"{NAME}.zoo"
    assert printed.exit_code == 0
    lines = printed.stdout.splitlines()
    assert lines[-2:] == [f"board waits for its device. Copy {path} there, and run:", f"python3 {NAME}.zoo"]
    assert path.is_file()
    assert [path.name for path in path.parent.iterdir()] == [path.name]


def test_the_manifest_names_the_bundle_that_waits_and_keeps_what_was_measured(waiting):
    shop, _ = waiting
    manifest = manifest_of(shop)
    assert [one.model_dump() for one in manifest.pending] == [
        {
            "target": "board",
            "kind": "pending",
            "bundle": f"{NAME}.zoo",
            "bundle_sha256": sha256(shop.home / "bundles" / f"{NAME}.zoo"),
        }
    ]
    assert [one.target for one in manifest.measured] == ["onnxruntime-cpu", "openvino-cpu"]
    shipped = {(artifact.target, artifact.precision) for artifact in manifest.artifacts if artifact.target}
    assert shipped == {("onnxruntime-cpu", "int8"), ("openvino-cpu", "int8")}
    assert "board" in {one.target for one in manifest.calibrations}


def test_what_waits_is_told_by_other_commands_too(waiting):
    shop, _ = waiting
    assert shop.zoo("show", "tiny").output.splitlines()[-1] == f"python3 {NAME}.zoo"
    assert "board" in shop.zoo("list").output
    rows = json.loads(shop.zoo("list", "--json").output)["built"]
    assert rows[0]["targets"] == ["board", "onnxruntime-cpu", "openvino-cpu"]
    assert shop.zoo("compare", "tiny").exit_code == 0


def test_a_second_build_makes_nothing_and_leaves_nothing(shop):
    again = build(shop)
    assert again.stderr == ""
    assert again.stdout.splitlines()[-1] == f"python3 {NAME}.zoo"
    assert [path.name for path in (shop.home / "bundles").iterdir()] == [f"{NAME}.zoo"]


def test_a_bundle_holds_code_graphs_and_the_test_set_and_says_how_it_came_about(bundle):
    names = set(contents(bundle))
    graphs = {"teacher-fp32", "student-fp32", "student-int8"}
    assert {f"graphs/{name}.onnx" for name in graphs} == {name for name in names if name.startswith("graphs/")}
    assert {"__main__.py", "targets/program.py", "test/images.npy", "reference/query.npy"} <= names
    assert not [name for name in names if name.startswith(("zoo/", "pipeline/", "calibration/"))]
    told = json.loads(contents(bundle)["manifest.json"])
    assert told["calibrations"]["student/int8"]["images_sha256"]
    about = read_list(bundle, BUNDLE_LIST)
    assert (about["release"], about["target"]) == ("tiny@1.0.0", "board")
    assert str(Path.home()) not in json.dumps(about["settings"])


# What a device makes of it


def test_a_device_needs_neither_torch_nor_zoo(desk, bundle):
    """Where the program ran, nobody could import what it must not; and `targets` only out of the bundle itself."""
    names = ("torch", "pydantic", "click", "PIL", "rich", "yaml", "zoo", "pipeline", "calibration", "targets")
    code = f"from importlib.util import find_spec as f; print([n for n in {names} if f(n)], bool(f('onnxruntime')))"
    assert desk.run("-c", code) == (0, "[] True\n", "")
    code = f"import sys; sys.path[:0] = [{str(bundle)!r}]; import targets.program as p; print(p.__file__)"
    assert desk.run("-c", code) == (0, f"{bundle}/targets/program.py\n", "")


def test_a_runtime_does_not_report_to_its_maker(desk, bundle):
    """From its import on ONNX Runtime keeps an id of the device and reports to Microsoft, if nobody says no before."""
    code = (
        f"import sys; sys.path[:0] = [{str(bundle)!r}]\n"
        "from targets.onnxruntime import OnnxRuntime\n"
        "from targets.settings import TargetSettings\n"
        "print(OnnxRuntime(TargetSettings('onnxruntime')).check())"
    )
    assert desk.run("-c", code)[::2] == (0, "")
    assert not desk.left()
    assert os.environ["ORT_DISABLE_TELEMETRY"] == "1"  # nor does a build, which has imported `targets` here


def printed_figures(output):
    return [(float(mean), float(first)) for mean, first in re.findall(r"^  mAP ([\d.]+)  R1 ([\d.]+) ", output, re.M)]


def test_it_tells_each_step_and_ends_with_what_to_do_next(ran):
    output, _ = ran
    lines = output.splitlines()
    assert lines[0].startswith("tiny@1.0.0 for board: ONNX Runtime")
    assert lines[1:4] == ["compiling teacher fp32", "compiling student fp32", "compiling student int8"]
    assert lines[-2:] == [
        f"result: {NAME}.result",
        f"Take it to where the model was built: zoo receive {NAME}.result",
    ]
    assert len(printed_figures(output)) == 3


def test_nothing_is_left_behind_but_the_result_and_the_cache(ran):
    _, desk = ran
    assert desk.left() == [f"here/{NAME}.result"]
    assert {path.name for path in desk.root.iterdir()} == {"here", "home", "temporary", "cache"}
    assert not [*(desk.root / "cache").iterdir(), *(desk.root / "home").iterdir()]


def test_a_result_holds_artifacts_and_embeddings_of_every_variant(result, bundle):
    names = set(contents(result))
    for name in ("teacher-fp32", "student-fp32", "student-int8"):
        assert {
            f"artifacts/{name}/model.onnx",
            f"embeddings/{name}-query.npy",
            f"embeddings/{name}-gallery.npy",
        } <= names
    about = read_list(result, RESULT_LIST)
    assert about["bundle"] == read_list(bundle, BUNDLE_LIST)["key"]
    assert about["device"]["name"] == this_device().name


def test_a_device_counts_accuracy_as_the_host_does(desk, quick, tmp_path):
    """With labels at random, of which much is wrong."""
    random = np.random.default_rng(3)
    labels, files = {}, {}
    for split in ("query", "gallery"):
        there = np.load(io.BytesIO(contents(quick)[f"test/{split}-labels.npy"]))
        labels[split] = np.stack([random.integers(0, 3, there.shape[1]), random.integers(0, 2, there.shape[1])])
        np.save(tmp_path / "labels.npy", labels[split])
        files[f"test/{split}-labels.npy"] = (tmp_path / "labels.npy").read_bytes()
    code, output, errors = desk.run(str(altered(quick, tmp_path / "random.zoo", BUNDLE_LIST, files)), "out")
    assert (code, errors) == (0, "")
    read_archive(desk.root / "here" / "out", RESULT_LIST, tmp_path / "out")
    found = []
    for name in ("student-fp32", "student-int8"):
        rows = [np.load(tmp_path / "out" / "embeddings" / f"{name}-{split}.npy") for split in labels]
        samples = [Samples(Path(), ("x",) * part.shape[1], *part) for part in labels.values()]
        accuracy = retrieval_accuracy(*rows, *samples)
        found.append(pytest.approx((accuracy.map, accuracy.cmc1), abs=0.01))
        assert 10 < accuracy.map < 90
    assert printed_figures(output) == found


def test_zoo_compile_does_the_same(spare, quick, tmp_path, monkeypatch):
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    done = spare.zoo("compile", str(quick))
    assert done.exit_code == 0, done.output
    assert done.output.splitlines()[-1].endswith("zoo receive quick.result")
    rows = read_list(tmp_path / "quick.result", RESULT_LIST)["rows"]
    assert [(row["network"], row["precision"]) for row in rows] == [("student", "fp32"), ("student", "int8")]
    assert not [*(tmp_path / "cache").iterdir()]


# What goes wrong there


def test_another_machine_than_the_board_is_refused_in_a_line(desk, quick, tmp_path):
    settings = {**read_list(quick, BUNDLE_LIST)["settings"], "board": "Jetson Orin Nano"}
    message = desk.refused(str(altered(quick, tmp_path / "jetson.zoo", BUNDLE_LIST, settings=settings)))
    assert message == (
        f"this bundle is for a Jetson Orin Nano, and this machine calls itself {this_device().name}. Run it there; for "
        "this machine build with another --target."
    )


def test_a_runtime_that_is_missing_is_named_with_what_installs_it(desk, shop):
    """A bundle for TensorRT, of a build without it."""
    with board_elsewhere():
        shop.build("tiny", "--target", "engine", "--precision", "fp32", "--set", "measure.dense=[]")
    message = desk.refused(str(shop.home / "bundles" / "tiny-1.0.0-engine.zoo"))
    assert message == "tensorrt is not installed. Run: pip install tensorrt"


def test_a_damaged_bundle_is_refused(desk, quick, tmp_path):
    """Damaged where Python still finds the program."""
    content = bytearray(quick.read_bytes())
    with zipfile.ZipFile(quick) as archive:
        at = archive.getinfo("graphs/student-fp32.onnx").header_offset
    content[at + 5000] ^= 255
    (tmp_path / "damaged.zoo").write_bytes(content)
    assert "damaged.zoo is damaged" in desk.refused(str(tmp_path / "damaged.zoo"))


@pytest.mark.parametrize("changed", [{"settings": ["x"]}, {"settings": {}}, {"variants": [{"a": 1}]}, {"entry": 7},
                                     {"entry": "nothing:here"}, {"batches": 3}])  # fmt: skip
def test_a_list_that_makes_no_sense_is_refused(quick, tmp_path, monkeypatch, changed):
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    path = altered(quick, tmp_path / "other.zoo", BUNDLE_LIST, **changed)
    refusal(compile_bundle, path, tmp_path / "result", lambda _: None, of=BadBundle)
    assert not (tmp_path / "result").exists()


def test_ctrl_c_while_measuring_is_told_in_a_line_and_leaves_nothing(desk, quick, tmp_path):
    process = desk.start(str(altered(quick, tmp_path / "long.zoo", BUNDLE_LIST, calls=10**7, max_seconds=90)))
    while not process.stdout.readline().startswith("measuring"):
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode != 0
    assert errors.strip() == "Interrupted; nothing was written. Run the same command again."
    assert not desk.left()
    assert not [*(desk.root / "cache").iterdir()]


@pytest.mark.parametrize("while_writing", ["bundle", "result"])
def test_a_full_disk_is_told_in_a_line_and_leaves_nothing(desk, quick, while_writing):
    """Full for files beyond a size: the largest in the bundle, or only the result with all of them."""
    largest = max(one["size_bytes"] for one in read_list(quick, BUNDLE_LIST)["files"].values())
    message = desk.refused(str(quick), limit=largest // 2 if while_writing == "bundle" else largest + 4096)
    assert message.startswith("File too large")
    assert "Free some space" in message
    assert ": ." not in message
    assert not [*(desk.root / "cache").iterdir()]


def test_a_result_that_cannot_be_written_is_told_before_anything_is_compiled(desk, quick):
    code, output, errors = desk.run(str(quick), "nowhere/result")
    assert code == 1
    assert re.match("Error: No such file or directory: .*nowhere", errors)
    assert "compiling" not in output


@pytest.mark.parametrize("words", [("--help",), ("one", "two")])
def test_wrong_words_are_answered_with_what_is_right(desk, quick, words):
    _, output, errors = desk.run(str(quick), *words)
    assert "Traceback" not in errors
    assert "python3" in output + errors
    assert not desk.left()


@pytest.mark.parametrize("out", ["nowhere/result", "/proc/result"])
def test_zoo_compile_tells_in_a_line_what_cannot_be_written(spare, quick, out, tmp_path, monkeypatch):
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    assert "No such file or directory" in spare.refused("compile", str(quick), "--out", out)


def test_zoo_compile_of_what_is_no_bundle(spare, result, tmp_path, monkeypatch):
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    (tmp_path / "text.zoo").write_text("no bundle")
    for path, said in ((tmp_path / "none.zoo", "No such file"), (tmp_path / "text.zoo", "no such archive"),
                       (result, "no such archive")):  # fmt: skip
        assert said in spare.refused("compile", str(path))


# What comes back


def test_a_result_turns_the_row_that_waited_into_figures(back):
    shop, taken, built = back
    said = "received: tiny@1.0.0 on board. Record it: zoo build tiny --target board"
    assert taken.startswith(said)
    assert built.splitlines()[-1].startswith("manifest: ")
    assert re.search(r"board +student +int8 .*✓", built)
    manifest = manifest_of(shop)
    assert not manifest.pending
    assert [one.target for one in manifest.measured] == ["board", "onnxruntime-cpu", "openvino-cpu"]
    board = measured_on(shop)
    assert [(row.network, row.precision) for row in board.rows] == [
        ("teacher", "fp32"), ("student", "fp32"), ("student", "int8"),
    ]  # fmt: skip
    assert board.chosen == "int8"
    assert board.device == this_device().__class__(**{**vars(this_device()), "cores": board.device.cores})
    assert "device/board" in {stage.name for stage in manifest.stages}


def test_the_release_holds_what_the_device_compiled(back):
    shop, _, _ = back
    folder = (shop.home / "releases" / "tiny" / "1.0.0").resolve()
    (artifact,) = [one for one in manifest_of(shop).artifacts if one.target == "board"]
    assert (artifact.path, artifact.precision, artifact.runtime) == ("board/model.onnx", "int8", "onnxruntime")
    assert sha256(folder / artifact.path) == artifact.sha256
    rows = make_target(TargetSettings("onnxruntime")).load(folder / "board").embed(random_images(2))
    assert np.linalg.norm(rows, axis=1) == pytest.approx(1, abs=1e-5)


def test_recorded_accuracy_is_what_the_device_printed(ran, back):
    rows = measured_on(back[0]).rows
    figures = [(row.accuracy.map, row.accuracy.cmc1) for row in rows]
    assert printed_figures(ran[0]) == [pytest.approx(pair, abs=0.01) for pair in figures]


def test_the_same_runtime_elsewhere_agrees_as_it_does_here(back):
    """The same artifacts on the same machine give the same embeddings, whoever ran them."""
    there, here = measured_on(back[0]), measured_on(back[0], "onnxruntime-cpu")
    for one, other in zip(there.rows, here.rows, strict=True):
        assert one.accuracy == other.accuracy
        assert one.agreement == other.agreement


@pytest.mark.parametrize("width", [80, 100, 130])
def test_what_ships_is_marked_on_a_narrow_terminal_too(back, width):
    """Columns that find no room are cut off at the right."""
    console = Console(width=width, file=io.StringIO())
    console.print(measurement_table([manifest_of(back[0])]))
    assert console.file.getvalue().count("✓") == 1 + 3  # the heading, and one row for each target


@pytest.mark.parametrize("when", ["waiting", "back"])
def test_manifests_follow_both_schemas(when, request):
    shop = request.getfixturevalue(when)[0]
    content = json.loads((shop.home / "releases" / "tiny" / "1.0.0" / "manifest.json").read_text())
    assert content["schema_version"] == 2
    jsonschema.validate(content, json.loads(SCHEMA.read_text()))
    jsonschema.validate(content, manifest_schema())


def test_nothing_runs_again_once_it_is_recorded(back, tmp_path):
    shop = copied(back[0], tmp_path / "shop")
    with board_elsewhere():
        plan = json.loads(shop.zoo("build", "tiny", "--target", "board", "--plan", "--json").stdout)
    assert not [row for row in plan if row["runs"]]
    assert plan[-2]["step"] == "measure/openvino-cpu"
    assert "device/board" in {row["step"] for row in plan}


@pytest.mark.parametrize("damage", ["flipped", "cut", "bundle", "none", "text"])
def test_what_is_no_whole_result_is_not_taken_in(spare, result, bundle, damage, tmp_path):
    path = tmp_path / "some.result"
    content = result.read_bytes()
    match damage:
        case "flipped":
            path.write_bytes(content[:90_000] + bytes([content[90_000] ^ 1]) + content[90_001:])
        case "cut":
            path.write_bytes(content[:-1000])
        case "bundle":
            shutil.copyfile(bundle, path)
        case "text":
            path.write_text("no result")
    message = spare.refused("receive", str(path))
    assert len(message.splitlines()) <= 2
    assert "some.result" in message
    assert not list(spare.home.glob("received/*"))


def test_a_disk_that_is_full_while_a_result_is_taken_in_is_told_in_a_line(spare, result, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("zoo.received.read_archive", full)
    message = spare.refused("receive", str(result))
    assert "no space left" in message.lower()
    assert message.count("\n") < 2


@pytest.mark.parametrize(
    "about", [{"release": "../../x"}, {"target": "a/b"}, {"release": 7}, {"release": None}, {"target": "x\0y"}]
)
def test_a_result_of_a_release_that_is_none_is_not_taken_in(spare, light, about, tmp_path):
    path = altered(light, tmp_path / "some.result", RESULT_LIST, **about)
    before = sorted(spare.root.rglob("*"))
    spare.refused("receive", str(path))
    assert sorted(spare.root.rglob("*")) in (before, sorted([*before, spare.home / "received"]))


def test_a_result_of_another_build_is_refused_with_the_way_out(shop, foreign):
    """Another build's result lies there; the next bundle is where it is said to be, and other targets go on."""
    shop.zoo("receive", str(foreign))
    printed = build(shop)
    assert "tiny-1.0.0-board.result is the result of another build of tiny@1.0.0" in printed.stderr
    assert printed.stdout.splitlines()[-1] == f"python3 {NAME}.zoo"
    assert [one.target for one in manifest_of(shop).pending] == ["board"]


def test_a_build_that_changed_waits_for_its_device_again(back, tmp_path):
    """What was brought is of the bundle before; the new one is beside it, and its own result is taken in then."""
    shop = copied(back[0], tmp_path / "shop")
    path = shop.home / "bundles" / f"{NAME}.zoo"
    before = read_list(path, BUNDLE_LIST)["key"]
    printed = build(shop, "--set", "measure.calls=49")
    assert printed.stdout.splitlines()[-1] == f"python3 {NAME}.zoo"
    assert read_list(path, BUNDLE_LIST)["key"] != before
    assert [one.target for one in manifest_of(shop).pending] == ["board"]
    printed = build(shop)  # as it was: the result that was brought is of this one
    assert printed.stdout.splitlines()[-1].startswith("manifest: ")


@pytest.fixture(scope="module")
def take_in(waiting):
    """Calls the stage that takes in a result."""
    shop, _ = waiting
    with pytest.MonkeyPatch.context() as patch, board_elsewhere():
        patch.setenv("ZOO_CATALOGUE", str(shop.catalogue))
        made = prepare(load_catalogue(), Home(shop.home), Wish("tiny", ("board",)), shop.root / "data", Silent())
    folders = {planned.step.name: made.store.folder(planned.step.stage, planned.key) for planned in made.plan}
    references = {name: folder for name, folder in folders.items() if name.startswith("reference/")}

    def call(path, folder, precision="auto"):
        for name in ("out", "scratch"):
            (folder / name).mkdir()
        work = Work(folder / "out", folder / "scratch", Processes("cpu"), Silent())
        given = {"data": made.data, "settings": made.recipe.measure, "bundle": folders["bundle/board"], "result": path}
        at = {"precision": precision, "max_map_drop_points": 5, "host": None, "python": "python3"}
        measure_on_device(work, **given, **at, **references)

    return call


def test_a_result_is_taken_in_with_all_of_its_figures(take_in, light, tmp_path):
    take_in(light, tmp_path)
    rows = json.loads((tmp_path / "out" / "measurement.json").read_text())["rows"]
    assert [row["network"] for row in rows] == ["teacher", "student", "student"]


def test_a_result_of_another_bundle_is_not_taken_for_this_ones(take_in, foreign, tmp_path):
    message = refusal(take_in, foreign, tmp_path, of=BadBundle)
    assert message.startswith(
        "foreign.result is the result of another build of tiny@1.0.0. Take the bundle of this build"
    )
    assert f"({NAME}.zoo)" in message


def changed(archive, name, change):
    """An array of an archive, as it would be there after a change."""
    np.save(out := io.BytesIO(), change(np.load(io.BytesIO(contents(archive)[name]))))
    return out.getvalue()


WORSE = {"other images'": lambda rows: rows[::-1], "no numbers": lambda rows: rows * np.nan}


@pytest.mark.parametrize("how", WORSE)
def test_a_precision_that_the_gate_turns_down_does_not_ship_and_stays_in_the_table(take_in, light, how, tmp_path):
    """int8 embeds badly on the device, or not at all."""
    names = [f"embeddings/student-int8-{split}.npy" for split in ("query", "gallery")]
    files = {name: changed(light, name, WORSE[how]) for name in (names if how == "no numbers" else names[:1])}
    path = altered(light, tmp_path / "worse.result", RESULT_LIST, files)
    for name in ("auto", "asked"):
        (tmp_path / name).mkdir()
    take_in(path, tmp_path / "auto")
    measured = json.loads((tmp_path / "auto" / "out" / "measurement.json").read_text())
    assert measured["chosen"] == "fp32"
    drops = {row["precision"]: row["agreement"]["map_drop_points"] for row in measured["rows"][1:]}
    assert drops["fp32"] < 1
    assert drops["int8"] > 5
    with pytest.raises(CheckFailed, match=f"int8 {drops['int8']:.2f} points"):
        take_in(path, tmp_path / "asked", "int8")


def test_precisions_that_do_not_ship_stay_in_the_table(back):
    rows = [row for row in measurement_rows([manifest_of(back[0])]) if row["target"] == "board"]
    shown = [(row["network"], row["precision"], row["ships"]) for row in rows]
    assert shown == [("teacher", "fp32", False), ("student", "fp32", False), ("student", "int8", True)]


QUERY = "embeddings/student-fp32-query.npy"
STUDENT = {"network": "student", "precision": "fp32"}
NONSENSE = {
    "no rows": ({}, {"rows": []}),
    "a row of nobody": ({}, {"rows": [{"network": "nobody", "precision": "fp32"}]}),
    "a row that is none": ({}, {"rows": [7]}),
    "no latency": ({}, {"rows": [STUDENT]}),
    "no device": ({}, {"device": None}),
    "no embeddings": ({QUERY: None}, {}),
    "embeddings that are none": ({QUERY: b"nonsense"}, {}),
    "too few embeddings": ({QUERY: lambda rows: rows[:1]}, {}),
    "no latency at all": ({}, {"rows": lambda rows: [{**row, "latency": []} for row in rows]}),
    "a size that is none": ({}, {"rows": lambda rows: [{**row, "size_bytes": "large"} for row in rows]}),
    "embeddings of objects": ({QUERY: lambda rows: rows.astype(object)}, {}),
    "a variant less": ({}, {"rows": lambda rows: rows[:-1]}),
    "a variant twice": ({}, {"rows": lambda rows: [*rows, rows[-1]]}),
    "no artifact of one": ({"artifacts/student-int8/model.onnx": None}, {}),
    "no artifacts": ({f"artifacts/student-{precision}/model.onnx": None for precision in ("fp32", "int8")}, {}),
}


@pytest.mark.parametrize("what", NONSENSE)
def test_a_result_that_says_nonsense_is_refused_in_a_line(take_in, light, what, tmp_path):
    """Digests are right, and the bundle is: a device, or whoever plays one, may still say what it likes."""
    files, about = NONSENSE[what]
    files = {name: changed(light, name, change) if callable(change) else change for name, change in files.items()}
    about = {
        key: change(read_list(light, RESULT_LIST)[key]) if callable(change) else change for key, change in about.items()
    }
    path = altered(light, tmp_path / "nonsense.result", RESULT_LIST, files, **about)
    assert "nonsense.result" in refusal(take_in, path, tmp_path, of=BadBundle)


# A device over ssh, which is played by the result that is there already


@pytest.fixture
def over_ssh(result, monkeypatch):
    asked = []

    def run_on_device(host, python, bundle, out, progress):
        asked.append((host, python, bundle.name))
        shutil.copyfile(result, out)

    monkeypatch.setattr("targets.ssh.run_on_device", run_on_device)
    return asked


def test_over_ssh_the_figures_come_back_at_once_and_stay(shop, over_ssh):
    """A later build for another target keeps the row, as it keeps those that were measured here."""
    printed = build(shop, "--host", "ssh://me@there:22")
    assert over_ssh == [("ssh://me@there:22", "python3", f"{NAME}.zoo")]
    assert printed.stdout.splitlines()[-1].startswith("manifest: ")
    board = measured_on(shop)
    with board_elsewhere():
        shop.build("tiny", "--target", "onnxruntime-cpu")
    assert measured_on(shop) == board
    assert len(over_ssh) == 1


def test_a_device_that_can_be_asked_is_asked_whatever_was_brought(shop, over_ssh, foreign):
    shop.zoo("receive", str(foreign))
    build(shop, "--host", "ssh://there")
    assert len(over_ssh) == 1
    assert measured_on(shop).chosen == "int8"
