"""The catalogue: every shipped recipe is valid, and errors have their line."""

import json

import pytest

from zoo.catalogue import load_catalogue
from zoo.catalogue.problems import did_you_mean
from zoo.errors import CatalogueError


@pytest.fixture
def catalogue(tmp_path, monkeypatch):
    """Write a user's catalogue and load it."""

    def load(text):
        path = tmp_path / "zoo.yaml"
        path.write_text(text)
        monkeypatch.chdir(tmp_path)
        monkeypatch.delenv("ZOO_CATALOGUE", raising=False)
        return load_catalogue()

    return load


def wrong(catalogue, text):
    """The errors of a catalogue, or of its faulty entries."""
    try:
        found = catalogue(text)
    except CatalogueError as error:
        return str(error)
    assert found.faulty
    return "\n".join(line for lines in found.faulty.values() for line in lines)


def test_shipped_recipes():
    shipped = load_catalogue()
    assert {"resnet50-veri", "resnet101-veri", "resnet18-hcmc", "resnet10t-toycars"} <= set(shipped.models)
    assert shipped.default == "resnet10t-toycars"
    for name in ("resnet50-veri", "resnet101-veri"):
        recipe = shipped.recipe(name)
        assert recipe.network.architecture == name.split("-")[0]
        assert (recipe.input.height, recipe.input.width, recipe.network.last_stride) == (256, 256, 1)
        assert (recipe.sampling.identities, recipe.sampling.images) == (16, 6)
        assert (recipe.teacher.pretrained, recipe.distill.init, recipe.distill.sites) == (True, "pretrained", "spatial")
        assert (recipe.teacher.epochs, recipe.distill.epochs) == (120, 120)


def test_a_users_recipe_has_a_few_lines(catalogue):
    found = catalogue(
        """
datasets:
  mine: {path: mine, pattern: '(?P<identity>.+)_(?P<camera>.)', train: {}, query: {}, gallery: {}}
models:
  resnet50-mine: {base: resnet50-veri, dataset: mine, distill: {epochs: 60}}
"""
    )
    recipe = found.recipe("resnet50-mine")
    assert (recipe.dataset, recipe.distill.epochs, recipe.distill.lr) == ("mine", 60, 0.01)
    assert "resnet10t-toycars" in found.models


def test_bases_are_merged_key_by_key(catalogue):
    found = catalogue(
        """
models:
  _a: {base: resnet18-hcmc, teacher: {epochs: 7}}
  b: {base: _a, teacher: {lr: 0.3}}
"""
    )
    teacher = found.recipe("b").teacher
    assert (teacher.epochs, teacher.lr, teacher.pretrained) == (7, 0.3, False)
    assert "_a" not in found.models


def test_description_and_license_of_a_base_are_not_inherited(catalogue):
    """Another model on other data is not "two hundred drawn vehicles", nor under their license."""
    found = catalogue(
        """
models:
  plain: {base: resnet10t-toycars, dataset: hcmc}
  _middle: {base: resnet10t-toycars, description: in the middle, license: MIT}
  above: {base: _middle}
  own: {base: resnet10t-toycars, description: mine, license: CC0-1.0}
"""
    )
    about = {name: (found.recipe(name).description, found.recipe(name).license) for name in ("plain", "above", "own")}
    assert about == {"plain": ("", "not stated"), "above": ("", "not stated"), "own": ("mine", "CC0-1.0")}
    assert found.recipe("above").distill.compress == found.recipe("resnet10t-toycars").distill.compress


FAULTY = """
datasets:
  bad-data: {path: x, patern: y}
targets:
  bad-target: {runtime: onnxruntime, devise: CPU}
  lost: nowhere
models:
  bad-model: {base: resnet18-hcmc, sed: 1}
  on-bad-model: {base: bad-model}
  no-base: {base: nothing}
  on-bad-data: {base: resnet18-hcmc, dataset: bad-data}
  on-bad-target: {base: resnet18-hcmc, targets: [bad-target]}
  good: {base: resnet18-hcmc, seed: 3}
"""


def test_a_faulty_entry_is_reported_when_used_and_does_not_affect_others(catalogue):
    found = catalogue(FAULTY)
    assert found.recipe("good").seed == 3
    assert found.recipe("resnet10t-toycars").dataset == "toycars"
    assert found.target("openvino-cpu") == "openvino-cpu"
    assert set(found.faulty) == {
        "datasets.bad-data", "targets.bad-target", "targets.lost",
        "models.bad-model", "models.on-bad-model", "models.no-base",
    }  # fmt: skip
    for name, told in {
        "bad-model": "zoo.yaml:8: models.bad-model.sed: unknown key. Did you mean 'seed'?",
        "on-bad-model": "zoo.yaml:8: models.on-bad-model.sed: unknown key. Did you mean 'seed'?",
        "no-base": "zoo.yaml:10: models.no-base.base: no model 'nothing'.",
        "on-bad-data": "zoo.yaml:3: datasets.bad-data.patern: unknown key. Did you mean 'pattern'?",
    }.items():
        with pytest.raises(CatalogueError) as error:
            found.recipe(name)
        assert told in str(error.value)
    assert found.recipe("on-bad-target").targets == ("bad-target",)  # another one may be requested
    for name, told in {
        "bad-target": "zoo.yaml:5: targets.bad-target.devise",
        "lost": "is an alias of the unknown target",
    }.items():
        with pytest.raises(CatalogueError, match=told):
            found.target(name)


def test_a_faulty_model_is_listed_and_does_not_affect_other_builds(workshop):
    with workshop.catalogue.open("a") as file:
        file.write("  broken: {base: tiny, sed: 1}\n")
    told = "models.broken.sed: unknown key. Did you mean 'seed'?"
    listed = workshop.zoo("list")
    assert listed.exit_code == 0
    assert [line for line in listed.stderr.splitlines() if line.startswith("faulty: ")]
    assert told in listed.stderr
    assert "broken" not in listed.stdout
    shown = json.loads(workshop.zoo("list", "--json").stdout)
    assert list(shown["faulty"]) == ["models.broken"]
    assert shown["faulty"]["models.broken"][0].endswith(told)
    assert workshop.refused("build", "broken", "--plan").endswith(told)
    assert workshop.zoo("build", "tiny", "--plan").exit_code == 0


def test_doctor_names_a_faulty_target_beside_the_others(workshop):
    with workshop.catalogue.open("a") as file:
        file.write("targets:\n  broken: {runtime: openvino, devise: CPU}\n")
    told = {row["name"]: row["what"] for row in json.loads(workshop.zoo("doctor", "--json").stdout)}
    assert "targets.broken.devise: unknown key. Did you mean 'device'?" in told["broken"]
    assert "openvino-cpu" in told


def test_a_faulty_default_is_reported_when_it_is_built(catalogue):
    found = catalogue("default: m\nmodels:\n  m: {base: resnet18-hcmc, sed: 1}\n")
    with pytest.raises(CatalogueError, match="models.m.sed"):
        found.recipe(found.default)


def test_overrides(catalogue):
    recipe = catalogue("{}").recipe("resnet10t-toycars", ["distill.epochs=3", "targets=[openvino-cpu]"])
    assert (recipe.distill.epochs, recipe.targets) == (3, ("openvino-cpu",))


CASES = {
    "an unknown key": (
        "models:\n  m:\n    base: resnet18-hcmc\n    distill:\n      epoch: 3\n",
        "zoo.yaml:5: models.m.distill.epoch: unknown key. Did you mean 'epochs'?",
    ),
    "a wrong type": (
        "models:\n  m:\n    base: resnet18-hcmc\n    teacher:\n      epochs: many\n",
        "zoo.yaml:5: models.m.teacher.epochs: should be a valid integer, unable to parse string as an integer "
        "(got 'many').",
    ),
    "a value out of range": (
        "models:\n  m: {base: resnet18-hcmc, sampling: {flip: 1.5}}\n",
        "zoo.yaml:2: models.m.sampling.flip: should be less than or equal to 1 (got 1.5).",
    ),
    "a network that is not the Hub's": (
        "models:\n  m: {base: resnet18-hcmc, base_model: resnet18}\n",
        "zoo.yaml:2: models.m.base_model: is OWNER/NAME of a network on the Hugging Face Hub, such as timm/resnet18.a1",
    ),
    "an unknown data set": (
        "models:\n  m:\n    base: resnet18-hcmc\n    dataset: toycar\n",
        "zoo.yaml:4: models.m.dataset: no data set 'toycar'. Did you mean 'toycars'?",
    ),
    "an unknown target": (
        "models:\n  m:\n    base: resnet18-hcmc\n    targets: [openvino-cpu, openvno-cpu]\n",
        "zoo.yaml:4: models.m.targets: no target 'openvno-cpu'. Did you mean 'openvino-cpu'?",
    ),
    "a student without a start": (
        "models:\n  m: {base: resnet50-veri, teacher: {pretrained: false}}\n",
        "zoo.yaml:2: models.m: distill.init is pretrained, but there are no pretrained weights",
    ),
    "a name that would leave its folder": (
        "models:\n  ../m: {base: resnet18-hcmc}\n",
        "zoo.yaml:2: models.../m: a name consists of letters, digits",
    ),
    "a base that is no name": (
        "models:\n  m: {base: [a]}\n",
        "zoo.yaml:2: models.m.base: must be the name of a model, as in `base: resnet18-hcmc`, not [a].",
    ),
    "a version that is none": (
        "models:\n  m: {base: resnet18-hcmc, version: {a: true}}\n",
        'zoo.yaml:2: models.m.version: is MAJOR.MINOR.PATCH, a text such as "1.0.0" (got {a: true}).',
    ),
    "a switch that is null": (
        "models:\n  m: {base: resnet18-hcmc, teacher: {epochs: null}}\n",
        "zoo.yaml:2: models.m.teacher.epochs: should be a valid integer (got null).",
    ),
    "an unknown base": (
        "models:\n  m:\n    base: resnet18-hmc\n",
        "zoo.yaml:3: models.m.base: no model 'resnet18-hmc'. Did you mean 'resnet18-hcmc'?",
    ),
    "a circle": (
        "models:\n  a: {base: b}\n  b: {base: a}\n",
        "zoo.yaml:3: models.b.base: a → b → a is circular. Leave one `base` out.",
    ),
    "a missing key": ("targets:\n  t: {device: CPU}\n", "zoo.yaml:2: targets.t.runtime: is missing."),
    "an unknown section": ("model: {}\n", "zoo.yaml:1: model: unknown key. Did you mean 'models'?"),
    "a key twice": ("models:\n  a: {}\n  a: {}\n", "zoo.yaml:3: the key models.a is repeated. Leave one out."),
    "no YAML": ("models:\n  a: [\n", "zoo.yaml:3: not YAML: expected the node content, but found '<stream end>'."),
    "a tag": ("models: !env X\n", "zoo.yaml:1: not plain YAML: could not determine a constructor"),
    "a date that is none": ("default: 2026-13-45\n", "zoo.yaml: not plain YAML: month must be in"),
    "an unknown default": ("default: resnet10t\n", "zoo.yaml:1: default: no model 'resnet10t'. Did you mean "),
}


@pytest.mark.parametrize("case", CASES)
def test_errors_have_their_line(case, catalogue):
    text, expected = CASES[case]
    assert wrong(catalogue, text).startswith(expected)


def test_all_problems_are_reported_at_once(catalogue):
    text = "models:\n  m:\n    base: resnet18-hcmc\n    sed: 1\n    teacher: {lr: fast}\n"
    lines = wrong(catalogue, text).splitlines()
    assert [line.split(": ")[1] for line in lines] == ["models.m.teacher.lr", "models.m.sed"]


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("distil.epochs=3", "--set distil.epochs=3: models.resnet18-hcmc.distil: unknown key. Did you mean 'distill'?"),
        ("distill.epochs=x", "--set distill.epochs=x: models.resnet18-hcmc.distill.epochs: should be a valid integer"),
        ("distill.epochs", "--set distill.epochs: write it as key.path=value"),
        ("seed=[", "--set seed=[: '[' is not a YAML value"),
        ("distill=3", "--set distill=3: models.resnet18-hcmc.distill: should be a valid dictionary"),
        ("dataset=veri776", "--set dataset=veri776: models.resnet18-hcmc.dataset: no data set 'veri776'. Did you mean"),
        ("targets=[x]", "--set targets=[x]: models.resnet18-hcmc.targets: no target 'x'"),
    ],
)
def test_overrides_that_do_not_fit(override, expected):
    with pytest.raises(CatalogueError) as error:
        load_catalogue().recipe("resnet18-hcmc", [override])
    assert str(error.value).startswith(expected)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("build qqq", "no model 'qqq' in the catalogue. Known: "),
        (
            "build qqq",
            "describe it under models in zoo.yaml, or build it from a release: zoo build NAME --from ",
        ),
        ("build tiny --dataset qqq", "models.tiny.dataset: no data set 'qqq'. Known: "),
        ("build tiny --dataset qqq", "describe it under datasets in zoo.yaml, then check it: zoo data NAME."),
        ("build tiny --dataset square", "Did you mean 'squares'? To add one, describe it under datasets in zoo.yaml"),
        ("data qqq", "describe it under datasets in zoo.yaml, then check it: zoo data NAME."),
        ("build tiny -t qqq", "describe it under targets in zoo.yaml; zoo doctor shows what is usable here."),
        ("build tiny --set targets=[qqq]", "describe it under targets in zoo.yaml; zoo doctor shows"),
        ("build tiny --set network.architecture=qqq", "timm.list_models() has all names."),
    ],
)
def test_an_unknown_name_comes_with_a_way_to_add_it(words, told, workshop):
    message = workshop.refused(*words.split())
    assert told in message
    assert len(message.splitlines()) == 1


def test_an_unknown_data_set_is_reported_before_a_release_is_looked_for(workshop):
    message = workshop.refused("build", "mine", "--from", "nowhere", "--dataset", "depot")
    assert "models.mine.dataset: no data set 'depot'. Known: " in message
    assert message.endswith("To add one, describe it under datasets in zoo.yaml, then check it: zoo data NAME.")


def test_a_list_of_known_names_shows_many_of_one_beginning_as_one():
    many = [f"study-{number}" for number in range(9)]
    assert did_you_mean("?", ["cars", *many, "vans"]) == "Known: cars, study-… (9), vans."
    assert did_you_mean("?", ["cars-a", "cars-b"]) == "Known: cars-a, cars-b."
    assert did_you_mean("study-4x", many) == "Did you mean 'study-4'?"
    assert did_you_mean("?", ["cars", *many], ["cars"]) == "Known: cars."
    assert did_you_mean("study-4x", many, []) == "Did you mean 'study-4'?"


def test_models_of_studies_are_listed_on_request_only(workshop):
    text = workshop.catalogue.read_text()
    workshop.catalogue.write_text(text + "\n  study-mine: {base: tiny, description: to compare}\n")
    assert "study-" not in workshop.zoo("list").stdout
    assert "models of studies. See zoo list --all" in workshop.zoo("list").stdout
    assert "not built: study-mine: to compare" in workshop.zoo("list", "--all").stdout
    assert "models of studies" not in workshop.zoo("list", "--all").stdout
    assert "study-mine" not in json.loads(workshop.zoo("list", "--json").stdout)["not_built"]
    assert "study-mine" in json.loads(workshop.zoo("list", "--json", "--all").stdout)["not_built"]
    for words in (["build", "qqq"], ["show", "qqq"], ["pull", "qqq"]):
        assert "study-" not in workshop.refused(*words)
    assert "Did you mean 'study-mine'?" in workshop.refused("build", "study-mien")
    assert load_catalogue().models.keys() >= {"study-prune"}, "they are in the catalogue all the same"
