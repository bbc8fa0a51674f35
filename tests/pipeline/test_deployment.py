"""The plan of a target by the location of its device: steps, precisions, and dependencies of keys."""

import json
from dataclasses import replace
from importlib.metadata import EntryPoint, entry_points

import pytest

from calibration.errors import TooFewImages
from pipeline.data.dataset import open_dataset
from pipeline.data.gate import hold_out
from pipeline.engine.plan import make_plan
from pipeline.engine.store import Store
from pipeline.planning.deployment import TargetPlan, check_calibration, place_of
from pipeline.planning.training import training_steps
from pipeline.stages.unsupported import breakable
from targets import contract
from targets.contract import make_target
from targets.errors import UnsupportedPrecision, Unusable
from targets.machine.device import is_board, this_device
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


def test_a_board_is_recognised_by_words_of_its_name():
    name = this_device().name
    assert is_board(None)
    assert is_board(name.upper()[2:9])
    assert not is_board(BOARD)


@pytest.mark.parametrize(
    ("target", "place"),
    [
        (HERE, "here"),
        (replace(HERE, board=this_device().name), "here"),
        (replace(HERE, board=BOARD), "elsewhere"),
        (replace(HERE, host="ssh://there"), "ssh"),
        (replace(HERE, host="ssh://there", board=BOARD), "ssh"),
        (TargetSettings("openvino", device="GPU"), "here"),  # `check` then reports that it is missing
        (TargetSettings("limited"), "elsewhere"),
    ],
)
def test_the_location_of_a_device(limited, target, place):
    assert place_of(target, make_target(target)) == place


def test_here_everything_is_compiled_and_measured(model):
    found = names(model, HERE)
    assert found[-1] == "measure/mine"
    assert [name for name in found if name.startswith("compile/")] == [
        "compile/teacher/fp32/mine", "compile/student/fp32/mine", "compile/student/fp16/mine",
        "compile/student/int8/mine",
    ]  # fmt: skip
    assert {"calibrate/student/fp16", "calibrate/student/int8/mine"} <= {*found}
    assert not [name for name in found if name.startswith(("bundle/", "device/"))]


def test_layers_are_timed_on_the_target_and_for_this_machine(model):
    recipe, data = model
    fastest = recipe.model_copy(update={"calibrate": recipe.calibrate.model_copy(update={"layers": "fastest"})})
    for target, place in ((HERE, this_device()), (replace(HERE, board=BOARD), None)):
        steps = TargetPlan(fastest, data, "tiny@1.0.0", "mine", target).steps()
        int8 = next(step for step in steps if str(step.id) == "calibrate/student/int8/mine")
        assert (int8.place, int8.settings.get("here", False)) == (place, place is not None)
    assert all(step.place is None for step in on(model, HERE).steps() if step.stage == "calibrate")


@pytest.mark.parametrize("place", [{}, {"board": BOARD}], ids=["here", "elsewhere"])
def test_layers_by_speed_calibrate_anew_only_where_they_are_timed(model, tmp_path, place):
    recipe, data = model
    fastest = recipe.model_copy(update={"calibrate": recipe.calibrate.model_copy(update={"layers": "fastest"})})
    before, after = (keys((one, data), tmp_path, replace(HERE, **place)) for one in (recipe, fastest))
    changed = {name for name in before if name.startswith("calibrate/") and before[name] != after[name]}
    assert changed == (set() if place else {"calibrate/student/int8/mine"})


def test_elsewhere_it_ends_in_a_bundle_until_its_result_is_there(model, tmp_path):
    elsewhere = replace(HERE, board=BOARD)
    graphs = ["calibrate/student/fp16", "calibrate/student/int8/mine"]
    assert names(model, elsewhere) == [*graphs, "bundle/mine"]
    (tmp_path / "result").write_bytes(b"1")
    assert names(model, elsewhere, tmp_path / "result") == [*graphs, "bundle/mine", "device/mine"]
    assert names(model, replace(HERE, host="ssh://there")) == [*graphs, "bundle/mine", "device/mine"]


def test_what_compiles_ahead_is_compiled_although_its_device_is_not_here(model, limited):
    found = names(model, TargetSettings("limited"))
    assert found == [
        "calibrate/student/fp16", "compile/teacher/fp32/mine", "compile/student/fp32/mine",
        "compile/student/fp16/mine", "bundle/mine",
    ]  # fmt: skip
    assert names(model, TargetSettings("limited", device="none")) == ["calibrate/student/fp16", "bundle/mine"]


class Portable(Limited):
    """A runtime whose artifacts are the same on every board, made by a converter."""

    compiles_ahead, portable, converters = False, True, ("onnx",)

    def check(self):
        return "a runtime"


def test_a_bundle_carries_the_artifacts_of_a_portable_runtime(model, limited, monkeypatch):
    monkeypatch.setattr(f"{__name__}.Limited", Portable)
    steps = [*on(model, TargetSettings("limited", board=BOARD)).steps()]
    compiled = [step for step in steps if step.id.stage == "compile"]
    assert [str(step.id) for step in compiled] == [
        "compile/teacher/fp32/mine", "compile/student/fp32/mine", "compile/student/fp16/mine",
    ]  # fmt: skip
    assert {step.libraries for step in compiled} == {("numpy", "onnx")}
    assert {*steps[-1].inputs["compiled"].values()} == {step.id for step in compiled}
    assert "compiled" not in [*on(model, replace(HERE, board=BOARD)).steps()][-1].inputs
    with pytest.raises(Unusable, match="no compiler"):
        names(model, TargetSettings("limited", device="none", board=BOARD))
    with pytest.raises(Unusable, match="no compiler"):
        names(model, TargetSettings("limited", device="none"))


@pytest.mark.parametrize(
    ("precision", "asked", "student"),
    [
        ("auto", None, ["fp32", "fp16", "int8"]),
        ("auto", ("int8",), ["fp32", "int8"]),  # fp32 is the reference of all others
        ("auto", ("int8", "fp16"), ["fp32", "fp16", "int8"]),
        ("int8", None, ["fp32", "int8"]),
        ("fp16", None, ["fp32", "fp16"]),
        ("fp32", None, ["fp32"]),
    ],
)
def test_which_precisions_are_built(model, precision, asked, student):
    recipe = model[0].model_copy(update={"precision": precision})
    found = on((recipe, model[1]), replace(HERE, precisions=asked)).variants
    assert found == [("teacher", "fp32"), *(("student", precision) for precision in student)]


@pytest.mark.parametrize(("precision", "asked"), [("int8", None), ("auto", ("fp16", "int8"))])
def test_a_precision_that_the_runtime_lacks_is_refused(model, limited, precision, asked):
    recipe, target = model[0].model_copy(update={"precision": precision}), TargetSettings("limited", precisions=asked)
    with pytest.raises(UnsupportedPrecision, match="limited on CPU can't compute in int8, only in fp32, fp16"):
        on((recipe, model[1]), target).variants  # noqa: B018 - raises


def test_a_precision_that_the_target_leaves_out_is_refused(model):
    recipe, target = model[0].model_copy(update={"precision": "fp32"}), replace(HERE, precisions=("fp16", "int8"))
    with pytest.raises(UnsupportedPrecision, match=r"fp32 is not one of this target's precisions .*\(fp16, int8\)"):
        on((recipe, model[1]), target).variants  # noqa: B018 - raises


@pytest.mark.parametrize("place", [{}, {"host": "ssh://there"}], ids=["here", "ssh"])
def test_a_precision_built_only_for_comparison_does_not_ship(model, place):
    target = replace(HERE, precisions=("fp16", "int8"), **place)
    last = [*on(model, target).steps()][-1]
    assert last.settings["precisions"] == ("fp16", "int8")


def more_targets(shop, **targets):
    """The same workshop under a catalogue with further targets."""
    text = (
        shop.catalogue.read_text() + "\ntargets:\n" + "".join(f"  {k}: {json.dumps(v)}\n" for k, v in targets.items())
    )
    path = shop.root / "more.yaml"
    path.write_text(text)
    return type("More", (type(shop),), {"catalogue": path})(shop.root)


@pytest.mark.parametrize("place", [{}, {"board": BOARD}, {"host": "ssh://there"}], ids=["here", "elsewhere", "ssh"])
@pytest.mark.parametrize(
    ("precision", "asked", "may_break"),
    [("auto", None, ["fp16", "int8"]), ("auto", ("int8",), []), ("auto", ("int8", "fp16"), ["fp16", "int8"]),
     ("int8", None, [])],
)  # fmt: skip
def test_a_build_goes_on_without_a_precision_that_breaks_while_another_may_ship(
    model, place, precision, asked, may_break
):
    """The student in fp32 and requested precisions may not break; the dense network, which never ships, may."""
    recipe = model[0].model_copy(update={"precision": precision})
    steps = [*on((recipe, model[1]), replace(HERE, precisions=asked, **place)).steps()]
    found = {str(step.id).split("/", 1)[1] for step in steps if getattr(step.run, "func", None) is breakable}
    expected = {f"student/{one}" + "/mine" * (one == "int8") for one in may_break}
    if not place:
        expected |= {f"student/{one}/mine" for one in may_break} | {"teacher/fp32/mine"}
    assert found == expected


def test_whether_a_step_may_break_changes_no_key(model, tmp_path):
    recipe, data = model
    auto, asked = (
        keys((recipe.model_copy(update={"precision": precision}), data), tmp_path, HERE)
        for precision in ("auto", "int8")
    )
    for name in ("calibrate/student/int8/mine", "compile/student/int8/mine", "compile/teacher/fp32/mine"):
        assert auto[name] == asked[name]


def test_an_unsupported_precision_is_reported_before_training(untouched, limited):
    shop = more_targets(untouched, mine={"runtime": "limited"})
    message = shop.refused("build", "tiny", "--target", "mine", "--precision", "int8")
    assert (
        message == "limited on CPU can't compute in int8, only in fp32, fp16. Use precision: auto, or another target."
    )


def test_a_missing_device_is_reported_before_training(untouched):
    shop = more_targets(untouched, mine={"runtime": "openvino", "device": "GPU"})
    message = shop.refused("build", "tiny", "--target", "mine")
    assert message.startswith("OpenVINO")
    assert "sees no device GPU here" in message


def test_an_unreachable_device_over_ssh_is_reported_before_training(untouched):
    message = untouched.refused("build", "tiny", "--target", "openvino-cpu", "--host", "ssh://127.0.0.1:9")
    assert message == "127.0.0.1 can't be reached: connection refused at port 9 (is its ssh server running?)."


def test_another_version_on_a_device_over_ssh_is_reported_before_training(untouched, monkeypatch):
    def check(host, python, distribution, check_version):
        assert (host, distribution) == ("ssh://there", "tensorrt")
        check_version("10.3.0.26")
        check_version("10.16.2.10")

    monkeypatch.setattr("pipeline.planning.deployment.check_device", check)
    message = untouched.refused("build", "tiny", "--target", "jetson", "--host", "ssh://there")
    assert message == (
        "this target takes TensorRT >=10.3,<10.4 (JetPack 6.1 to 6.2), and the device has 10.16.2.10. "
        "10.16.2.10 belongs to JetPack 7.2: build for --target jetson-orin-nano-jp72."
    )


def test_a_dla_that_is_not_possible_is_reported_before_anything_is_built(untouched):
    shop = more_targets(untouched, mine={"runtime": "tensorrt", "device": "DLA", "board": "Jetson AGX Thor"})
    message = shop.refused("build", "tiny", "--target", "mine", "--plan")
    assert message == "device: DLA is not possible for this target: a Jetson Thor has no DLA. Set `device: GPU`."
    assert planned(untouched, "--target", "jetson-orin-agx-dla")[-2:] == ["bundle/jetson-orin-agx-dla", "record"]


def keys(model, tmp_path, target, result=None):
    recipe, data = model
    steps = [*training_steps(recipe, data), *on(model, target).steps(result)]
    return {str(planned.step.id): planned.key for planned in make_plan(steps, Store(tmp_path / "store"), {})}


@pytest.mark.parametrize("place", [{}, {"board": BOARD}, {"host": "ssh://there"}], ids=["here", "elsewhere", "ssh"])
@pytest.mark.parametrize(
    "words", [{"about": "new"}, {"python": "python3.12"}, {"precisions": ("fp32", "fp16", "int8")}]
)
def test_descriptions_of_a_machine_are_not_in_keys(model, tmp_path, place, words):
    """Available precisions, location and description of the machine do not affect results."""
    target = replace(HERE, **place)
    assert keys(model, tmp_path, target) == keys(model, tmp_path, replace(target, **words))


def test_another_address_is_another_device_and_is_measured_again(model, tmp_path):
    first, second = (keys(model, tmp_path, replace(HERE, host=host)) for host in ("ssh://one", "ssh://user@two:2222"))
    assert {name for name in first if first[name] != second[name]} == {"device/mine"}


@pytest.mark.parametrize(
    "changed", [{"threads": 3}, {"runtime": "openvino"}, {"options": {"hint": "throughput"}}, {"device": "GPU"}]
)
def test_settings_of_a_runtime_change_the_keys_of_its_results(model, tmp_path, changed):
    target = TargetSettings("openvino")
    if "runtime" in changed:
        target = HERE
    before, after = (keys(model, tmp_path, one) for one in (target, replace(target, **changed)))
    different = {name for name in before if before[name] != after[name]}
    assert {"compile/student/int8/mine", "compile/teacher/fp32/mine", "measure/mine"} <= different
    assert not {name for name in different if name.startswith(("export/", "reference/", "teacher", "compact"))}


def test_targets_that_need_the_same_graph_share_it(model, tmp_path):
    elsewhere, other = keys(model, tmp_path, replace(HERE, board=BOARD)), keys(model, tmp_path, HERE)
    for name in ("calibrate/student/fp16", "calibrate/student/int8/mine"):
        assert elsewhere[name] == other[name]


def test_another_result_is_another_measurement_of_the_same_bundle(model, tmp_path):
    found = []
    for content in (b"1", b"2"):
        (tmp_path / "result").write_bytes(content)
        found.append(keys(model, tmp_path, replace(HERE, board=BOARD), tmp_path / "result"))
    assert {name for name in found[0] if found[0][name] != found[1][name]} == {"device/mine"}


@pytest.mark.parametrize("place", [{"board": BOARD}, {"host": "ssh://there"}], ids=["elsewhere", "ssh"])
def test_a_bundle_does_not_depend_on_the_limit_of_the_gate(model, tmp_path, place):
    """The device measures; the gate is applied here."""
    recipe, data = model
    found = []
    for points in (0.5, 3.0):
        calibrate = recipe.calibrate.model_copy(update={"max_map_drop_points": points})
        one = recipe.model_copy(update={"precision": "fp32", "calibrate": calibrate})
        found.append(keys((one, data), tmp_path, replace(HERE, **place))["bundle/mine"])
    assert found[0] == found[1]


def planned(shop, *arguments):
    result = shop.zoo("build", "tiny", "--plan", "--json", *arguments)
    assert result.exit_code == 0, result.output
    return [row["step"] for row in json.loads(result.stdout)["steps"]]


def test_an_alias_is_its_target(untouched):
    steps = planned(untouched, "--target", "jetson", "--target", "jetson-orin-nano")
    assert steps == planned(untouched, "--target", "jetson-orin-nano")
    assert steps[-2:] == ["bundle/jetson-orin-nano", "record"]


def test_an_alias_of_ones_own_serves_recipes_too(untouched):
    shop = more_targets(untouched, mine="onnxruntime-cpu")
    shop.catalogue.write_text(shop.catalogue.read_text().replace("[onnxruntime-cpu, openvino-cpu]", "[mine]"))
    assert planned(shop)[-2:] == ["measure/onnxruntime-cpu", "record"]


@pytest.mark.parametrize(("to", "hint"), [("onnxruntime-cup", "'onnxruntime-cpu'"), ("jetson", "'jetson-orin-agx' or")])
def test_an_alias_of_an_unknown_target_is_reported_with_its_line(untouched, to, hint):
    shop = more_targets(untouched, mine=to)
    line = shop.catalogue.read_text().splitlines().index(f'  mine: "{to}"') + 1
    message = shop.refused("build", "tiny", "--target", "mine", "--plan")
    assert f"more.yaml:{line}: targets.mine: is an alias of the unknown target {to!r}. Did you mean {hint}" in message
    assert len(message.splitlines()) == 1
    assert planned(shop)  # it does not matter unless it is used


@pytest.mark.parametrize("targets", [[], ["openvino-cpu", "onnxruntime-cpu"]])
def test_a_host_needs_exactly_one_target(untouched, targets):
    options = [word for target in targets for word in ("--target", target)]
    result = untouched.zoo("build", "tiny", "--host", "ssh://there", *options)
    assert result.exit_code == 2
    assert "--host is for one target: name it with --target" in result.stderr


def test_a_host_makes_any_target_one_over_ssh(untouched):
    steps = planned(untouched, "--target", "openvino-cpu", "--host", "ssh://there")
    assert steps[-3:] == ["bundle/openvino-cpu", "device/openvino-cpu", "record"]
    assert not [step for step in steps if step.startswith(("compile/", "measure/"))]


def test_an_invalid_host_is_reported_before_training(untouched, monkeypatch):
    monkeypatch.setattr("zoo.building.build.check_student", lambda *_: pytest.fail("it is about to train"))
    message = untouched.refused("build", "tiny", "--target", "openvino-cpu", "--host", "user@there")
    assert "'user@there' is not a device address. Write ssh://USER@HOST:PORT" in message


def test_too_few_calibration_images_are_reported_before_training(untouched):
    settings = ("--set", "calibrate.images=64", "--set", "calibrate.min_images=33")
    message = untouched.refused("build", "tiny", *settings)
    assert message == (
        "the data set has 32 training images, but int8 calibration needs calibrate.min_images (33). Add images, "
        "lower that setting, or build with --precision fp16."
    )


def test_without_int8_few_images_are_enough(model, tmp_path):
    recipe, data = model
    few = recipe.calibrate.model_copy(update={"min_images": 33})
    for precision, refused in (("fp16", False), ("auto", True)):
        recipe = recipe.model_copy(update={"precision": precision, "calibrate": few})
        steps = [*training_steps(recipe, data), *on((recipe, data), HERE).steps()]
        plan = make_plan(steps, Store(tmp_path / "store"), {})
        if refused:
            with pytest.raises(TooFewImages):
                check_calibration(plan, recipe, data)
        else:
            check_calibration(plan, recipe, data)


def test_images_below_the_minimum_are_refused(untouched):
    message = untouched.refused("build", "tiny", "--set", "calibrate.images=7")
    assert "images (7) is below min_images (8)" in message
    assert len(message.splitlines()) == 1


def test_an_empty_folder_of_training_images_is_reported_in_one_line(tmp_path):
    shop = make_workshop(tmp_path)
    folder = shop.root / "data" / "squares" / "image_train"
    for path in folder.iterdir():
        path.unlink()
    message = shop.refused("build", "tiny")
    assert message.startswith(f"no images below {folder}")
    assert len(message.splitlines()) == 1


def test_a_teacher_named_like_the_student_is_the_one_that_it_has_anyway(model, tmp_path):
    recipe, data = model
    named = recipe.teacher.model_copy(update={"architecture": recipe.network.architecture})
    plans = [
        make_plan(training_steps(some, data), Store(tmp_path / "store"), {})
        for some in (recipe, recipe.model_copy(update={"teacher": named}))
    ]
    assert [planned.key for planned in plans[0]] == [planned.key for planned in plans[1]]
