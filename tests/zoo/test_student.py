"""`student: timm:ARCHITECTURE`, in a recipe or as an option: a small network in place of a compressed one."""

import json

import pytest

from zoo.catalogue import load_catalogue
from zoo.errors import CatalogueError
from zoo.home import Home
from zoo.release.local import find_release

SMALL = "lcnet_035"
PLAIN = "tiny"


@pytest.fixture
def recipe(tmp_path, monkeypatch):
    """A recipe of the shipped catalogue, with entries of a user's on top."""

    def read(name, *overrides, models=""):
        path = tmp_path / "zoo.yaml"
        path.write_text(f"models: {{{models}}}")
        monkeypatch.setenv("ZOO_CATALOGUE", str(path))
        return load_catalogue().recipe(name, overrides)

    return read


def test_only_the_student_differs_from_the_recipe_that_it_is_compared_with(recipe):
    plain, small = recipe("resnet50-veri"), recipe("resnet50-veri", f"student=timm:{SMALL}", "input.mean=[0, 0, 0]")
    assert small.network.architecture == SMALL
    assert small.network.last_stride == 2
    assert (small.distill.method, small.distill.compress) == ("fixed", None)
    assert small.teacher_network == plain.teacher_network  # so that the teacher's result serves both
    assert small.network.embedding == plain.network.embedding
    same = ("epochs", "lr", "logits_weight", "temperature", "head_init")
    assert all(getattr(small.distill, key) == getattr(plain.distill, key) for key in same)
    assert (small.sampling, small.gate, small.calibrate) == (plain.sampling, plain.gate, plain.calibrate)


@pytest.mark.parametrize(
    ("name", "architecture", "more", "init"),
    [
        ("resnet10t-toycars", SMALL, (), "random"),  # as its teacher
        ("efficientnet_lite0-hcmc", "tf_efficientnet_lite1", (), "pretrained"),
        ("efficientnet_lite0-hcmc", "resnet10t", ("input.mean=[0, 0, 0]", "input.std=[1, 1, 1]"), "pretrained"),
        ("efficientnet_lite0-hcmc", "resnet10t", ("distill.init=random",), "random"),
        ("resnet50-veri", "lcnet_035", (), "random"),  # timm publishes no weights of it
    ],
)
def test_it_starts_as_well_as_its_teacher_where_timm_has_weights(name, architecture, more, init, recipe):
    assert recipe(name, f"student=timm:{architecture}", *more).distill.init == init


def test_an_entry_of_a_catalogue_may_name_it(recipe):
    found = recipe("mine", models=f"mine: {{base: resnet10t-toycars, student: 'timm:{SMALL}'}}")
    assert found.network.architecture == SMALL
    assert found.teacher_network.architecture == "resnet10t"
    back = recipe(
        "again",
        models=f"mine: {{base: resnet10t-toycars, student: 'timm:{SMALL}'}}, again: {{base: mine, student: null}}",
    )
    assert back == recipe("resnet10t-toycars").model_copy(update={"description": "", "license": "not stated"})


@pytest.mark.parametrize(
    "setting",
    ["distill.compress.macs=0.5", "distill.compress={params: 0.5}", "distill.method=cdd", "distill.init=teacher"],
)
def test_settings_that_a_student_decides_can_t_be_overridden_unnoticed(setting, recipe):
    with pytest.raises(CatalogueError, match="does not apply to it. Leave that out.") as caught:
        recipe("resnet10t-toycars", f"student=timm:{SMALL}", setting)
    assert str(caught.value).startswith(f"--set {setting}: ")
    for same in ("distill.compress=null", "distill.method=fixed", "distill.epochs=3"):
        assert recipe("resnet10t-toycars", f"student=timm:{SMALL}", same).distill.compress is None


def test_an_empty_student_is_not_taken_for_none(workshop):
    result = workshop.zoo("build", PLAIN, "--student", "", "--plan")
    assert result.exit_code == 2
    assert "--student needs an architecture" in result.stderr


def test_a_spelling_that_yaml_reads_as_a_mapping_is_not_shown_as_one(workshop):
    assert workshop.refused("build", PLAIN, "--student", "timm:").startswith(
        "--set student=timm:: student: write timm:"
    )


@pytest.mark.parametrize("told", [SMALL, "timm:", "keras:small", "7", "timm:../../elsewhere"])
def test_other_spellings_are_refused_in_a_line(told, workshop):
    error = workshop.refused("build", PLAIN, "--student", told, "--plan")
    assert "write timm:ARCHITECTURE" in error
    assert len(error.splitlines()) == 1
    workshop.catalogue.write_text(workshop.catalogue.read_text() + f"  mine: {{base: tiny, student: '{told}'}}\n")
    result = workshop.zoo("list")
    assert result.exit_code == 0
    assert "write timm:ARCHITECTURE" in result.stderr


def test_an_unknown_architecture_is_refused_before_anything_is_trained(workshop):
    error = workshop.refused("build", PLAIN, "--student", "timm:lcnet_03")
    assert error == "timm has no model 'lcnet_03'. Did you mean 'lcnet_035'?"
    assert not (workshop.home / "store" / "teacher").exists()


def test_weights_with_another_normalisation_are_refused(recipe):
    with pytest.raises(Exception, match="trained with different normalisations") as caught:
        recipe("efficientnet_lite0-hcmc", "student=timm:resnet18")
    assert "distill.init" in str(caught.value)


def test_widths_that_do_not_compare_are_told(workshop):
    result = workshop.zoo("build", PLAIN, "--student", f"timm:{SMALL}", "--set", "distill.features_weight=1", "--plan")
    assert result.exit_code == 0, result.output
    assert "the teacher has other widths or other stages" in result.output
    assert "Embeddings and logits are compared as usual" in result.output


@pytest.mark.slow
def test_a_build_with_it_uses_the_teacher_of_the_plain_one_and_has_a_name_of_its_own(built):
    built.build(PLAIN, "--student", f"timm:{SMALL}", "-t", "onnxruntime-cpu", "--set", "distill.learn_epochs=0")
    plain, small = (find_release(Home(built.home), name) for name in (PLAIN, f"{PLAIN}-{SMALL}"))
    keys = [next(stage.key for stage in one.manifest.stages if stage.name == "teacher") for one in (plain, small)]
    assert keys[0] == keys[1]
    assert small.manifest.cost.parameters < plain.manifest.compression.before.parameters
    assert small.manifest.provenance.command.startswith(f"zoo build {PLAIN} --target onnxruntime-cpu --student timm:")
    assert json.loads(small.path.read_text())["recipe"]["network"]["architecture"] == SMALL
