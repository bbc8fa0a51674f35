"""Builds that start from a release: its recipe, its network, its licenses; and what can't be a start."""

import json
import shutil

import pytest

from pipeline.progress import Silent
from pipeline.recipe import Recipe
from targets.files import sha256
from tests.zoo.records import a_manifest, keep, release
from zoo.building.build import BuildRequest, prepare
from zoo.building.parent import Parent, find_parent
from zoo.catalogue import read_catalogue
from zoo.catalogue.derived import Inherited
from zoo.documents.licenses import licenses_text
from zoo.documents.sbom import bill
from zoo.errors import ManifestError, RegistryError
from zoo.home import Home
from zoo.registry.places.folder import Folder
from zoo.registry.publish import publish
from zoo.release.ancestry import ancestor_lines
from zoo.release.lineage import Ancestor
from zoo.release.local import find_release

GATE = ("--set", "gate.identities=2")
START = ("build", "mine", "--from", "tiny", "--dataset", "squares", *GATE)


@pytest.fixture
def recorded(finished):
    """The recipe of the built release."""
    return Inherited("tiny@1.0.0", find_release(Home(finished.home), "tiny").manifest.recipe)


@pytest.fixture
def catalogue(tmp_path):
    """The shipped catalogue with models of one's own, and a data set."""

    def read(models):
        path = tmp_path / "zoo.yaml"
        squares = "{path: squares, pattern: '(?P<identity>.)_(?P<camera>.)', train: {}, query: {}, gallery: {}}"
        path.write_text(f"datasets:\n  squares: {squares}\nmodels:\n  {models}\n")
        return read_catalogue(path)

    return read


def test_a_recipe_takes_network_input_and_devices_from_the_release_and_its_schedule_from_the_catalogue(
    catalogue, recorded
):
    found = catalogue("mine: {from: 'tiny@^1', dataset: squares, distill: {epochs: 3}}")
    assert found.parent("mine") == "tiny@^1"
    assert "mine" in found.buildable()
    recipe, before = found.recipe("mine", ["seed=5"], recorded), Recipe.model_validate(recorded.recipe)
    for same in ("network", "input", "targets", "sampling", "calibrate", "measure", "precision", "export"):
        assert getattr(recipe, same) == getattr(before, same)
    assert (recipe.parent, recipe.seed, recipe.distill.epochs) == ("tiny@^1", 5, 3)
    assert (recipe.teacher.pretrained, recipe.distill.init, recipe.distill.method) == ("release", "teacher", "fixed")
    pruned = found.recipe("mine", ["distill.compress={macs: 0.5}"], recorded).distill
    assert (pruned.method, pruned.init, pruned.sites) == ("prune", "teacher", "coupled")
    assert recipe.teacher.epochs != before.teacher.epochs
    assert recipe.gate.identities == 50  # never the test set, whatever the release did
    assert (recipe.description, recipe.license, recipe.version) == ("", "not stated", "1.0.0")
    assert recipe.model_dump(mode="json")["from"] == "tiny@^1"


def test_a_model_that_is_not_in_the_catalogue_needs_only_a_release(catalogue, recorded):
    found = catalogue("other: {base: resnet18-hcmc}")
    overrides = ["from=tiny", "dataset=squares", "base=_few"]
    assert found.parent("mine", overrides) == "tiny"
    recipe = found.recipe("mine", overrides, recorded)
    assert (recipe.dataset, recipe.sampling.identities, recipe.gate.identities) == ("squares", 8, 4)
    assert recipe.sampling.pad == recorded.recipe["sampling"]["pad"]
    assert found.recipe("other", ["base=resnet10t-toycars"]).network.architecture == "resnet10t"


@pytest.mark.parametrize(
    ("model", "told"),
    [
        ("{from: 'a@^1', epochs: 3}", "zoo.yaml:4: models.mine.epochs: unknown key."),
        ("{from: 'a@^1', teacher: {lr: fast}}", "zoo.yaml:4: models.mine.teacher.lr: "),
        ("{from: ''}", "models.mine.from: String should have at least 1 character"),
        ("{base: resnet18-hcmc, from: 'a@^1'}", "nothing starts from a@^1: set teacher.pretrained or distill.init"),
        ("{base: resnet18-hcmc, distill: {init: release}}", "distill.init: release needs a release: set from"),
        (
            "{base: resnet18-hcmc, from: a, teacher: {pretrained: release, weights: b.safetensors}}",
            "from a release or from teacher.weights",
        ),
    ],
)
def test_faults_are_found_without_the_release(catalogue, model, told):
    (lines,) = catalogue(f"mine: {model}").faulty.values()
    assert told in "\n".join(lines)


def test_a_fault_of_the_recorded_recipe_names_the_release(catalogue, recorded):
    strange = Inherited("tiny@1.0.0", {**recorded.recipe, "measure": {"turns": 3}})
    found = catalogue("mine: {from: tiny, dataset: squares}")
    with pytest.raises(Exception, match=r"the recipe of tiny@1.0.0: models.mine.measure.turns: unknown key"):
        found.recipe("mine", (), strange)


def plan_of(shop, *arguments):
    result = shop.zoo(*arguments, "--plan", "--json")
    assert result.exit_code == 0, result.output
    return {step["step"]: step["key"] for step in json.loads(result.stdout)["steps"]}


def test_the_network_of_the_release_counts_and_its_version_is_recorded(built):
    before = plan_of(built, *START)
    assert plan_of(built, *START[:3], "tiny@^1", *START[4:])["teacher"] == before["teacher"]
    other = built.home / "pulled" / "twin" / "1.0.0"
    shutil.copytree((built.home / "releases" / "tiny" / "1.0.0").resolve(), other)
    manifest = json.loads((other / "manifest.json").read_text())
    (other / "manifest.json").write_text(json.dumps({**manifest, "name": "twin"}))
    twin = plan_of(built, *START[:3], "twin", *START[4:])
    assert twin["teacher"] == before["teacher"]  # the same network
    assert twin["record"] != before["record"]
    catalogue, home = read_catalogue(built.catalogue), Home(built.home)
    asked = ["from=tiny@^1", "dataset=squares", "gate.identities=2"]
    prepared = prepare(catalogue, home, BuildRequest("mine", (), asked), built.root / "data", Silent())
    settings = prepared.plan[-1].step.settings
    assert settings["overrides"] == ("from=tiny@1.0.0", *asked[1:])  # of the command that repeats the build
    assert prepared.command == "zoo build mine --from tiny@1.0.0 --dataset squares --set gate.identities=2"
    assert prepared.parent
    assert settings["ancestors"] == prepared.parent.ancestors
    assert prepared.parent.ancestors[0].manifest_sha256 == sha256(built.home / "releases/tiny/1.0.0/manifest.json")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--set", "network.architecture=resnet18"], "has architecture resnet10t, and the recipe asks for resnet18"),
        (["--set", "network.embedding=8"], "has embedding 16, and the recipe asks for 8"),
        (["--set", "input.height=64"], "takes images with height 32, and the recipe asks for 64"),
        (["--set", "input.mean=[0.5, 0.5, 0.5]"], "takes images with mean"),
        (["--set", "sampling.identities=9"], "can't be held out"),
        (["--set", "distill.compress={macs: 0.0001}", "--set", "distill.method=prune"], "macs"),
    ],
)
def test_what_does_not_fit_the_release_is_refused_before_training(finished, arguments, told):
    assert told in finished.refused(*START, "--plan", *arguments)


def test_a_small_data_set_is_told_of_the_settings_for_few_images(finished):
    assert finished.refused(*START[:-2], "--plan").endswith("For few images, add --set base=_few.")
    told = finished.refused(*START, "--set", "gate.identities=9", "--plan")
    assert "can't be held out" in told
    assert "_few" not in told


def test_a_release_does_not_start_from_itself(finished):
    told = finished.refused("build", "tiny", "--from", "tiny", "--set", "teacher.pretrained=release", "--plan")
    assert "tiny@1.0.0 can't start from itself" in told


def test_unknown_releases_and_versions_are_named(finished):
    told = finished.refused("build", "mine", "--from", "tini", "--dataset", "squares")
    assert "no release 'tini'" in told
    assert "tiny" in told
    told = finished.refused("build", "mine", "--from", "tiny@^2", "--dataset", "squares")
    assert "no version ^2 of tiny" in told
    assert "Available: 1.0.0" in told
    assert finished.zoo("build", "--from", "tiny").exit_code == 2  # which name?


@pytest.fixture
def elsewhere(finished, tmp_path):
    """A catalogue with a registry that has `tiny`, and an empty home."""
    place = tmp_path / "registry"
    publish(find_release(Home(finished.home), "tiny"), Folder(place), None, Silent())
    path = tmp_path / "zoo.yaml"
    path.write_text(f"registry: {{url: {place}}}\n")
    return read_catalogue(path), Home(tmp_path / "home"), place


@pytest.mark.parametrize("before", [False, True])
def test_a_network_that_is_not_here_is_pulled_and_nothing_else_than_it_needs(elsewhere, monkeypatch, before):
    catalogue, home, place = elsewhere
    monkeypatch.delenv("ZOO_REGISTRY", raising=False)
    if before:  # without its network, as `zoo pull` does
        from zoo.registry.choice import chooser
        from zoo.registry.opening import open_registry
        from zoo.registry.pull import pull

        registry = open_registry(catalogue.registry, home, None, require_signature=False)
        pull(registry, home, "tiny", chooser(["onnxruntime-cpu"]), Silent())
        assert not (home.pulled / "tiny/1.0.0/network").exists()
    parent = find_parent(catalogue, home, "tiny@^1", Silent())
    assert parent.network.weights.is_file()
    assert parent.network.layers.is_file()
    assert (home.pulled / "tiny/1.0.0/onnxruntime-cpu").exists() == before
    shutil.rmtree(place)
    assert find_parent(catalogue, home, "tiny@^1", Silent()).release.path == parent.release.path  # no registry is asked
    with pytest.raises(RegistryError, match="can't start from big"):
        find_parent(catalogue, home, "big", Silent())


def test_a_missing_or_damaged_network_is_told_with_the_remedy(finished, elsewhere, monkeypatch):
    catalogue, home, _ = elsewhere
    monkeypatch.delenv("ZOO_REGISTRY", raising=False)
    parent = find_parent(catalogue, home, "tiny", Silent())
    weights = parent.network.weights
    content = weights.read_bytes()
    weights.unlink()
    weights.write_bytes(content[:-1] + b"x")
    with pytest.raises(ManifestError, match=r"network.safetensors of tiny@1.0.0 is damaged.*zoo pull tiny@1.0.0 --all"):
        find_parent(catalogue, home, "tiny", Silent())
    weights.unlink()
    alone = read_catalogue(finished.catalogue)
    with pytest.raises(ManifestError, match=r"is here without its network. Get it: zoo pull tiny@1.0.0 --all"):
        find_parent(alone, home, "tiny", Silent())


def test_a_release_without_a_network_in_its_manifest_is_no_start(tmp_path):
    keep(tmp_path, release())
    with pytest.raises(ManifestError, match="big@1.0.0 has no network to start from"):
        find_parent(read_catalogue(None), Home(tmp_path), "big", Silent())


def an_ancestor(name, **changes):
    licenses = {"code": "Apache-2.0", "weights": "MIT", "data": "CC0-1.0", **changes}
    return Ancestor(
        name=name, version="1.0.0", manifest_sha256="e" * 64, licenses=licenses, data=f"{name}s",
        data_fingerprint="f" * 64,
    )  # fmt: skip


def test_lineage_goes_on_with_that_of_the_release(tmp_path):
    own = an_ancestor("grand", weights="research only")
    keep(tmp_path, release(ancestors=[own.model_dump()]))
    found = Parent(find_release(Home(tmp_path), "big")).ancestors
    assert [one.label for one in found] == ["big@1.0.0", "grand@1.0.0"]
    assert found[0].manifest_sha256 == sha256(tmp_path / "releases/big/1.0.0/manifest.json")
    first, second = ancestor_lines(found)
    assert first.startswith("training started from big@1.0.0 (manifest ")
    assert second == (
        "big@1.0.0 started from grand@1.0.0 (manifest eeeeeeeeeeee; weights: research only; trained on grands: CC0-1.0)"
    )


def test_documents_name_the_licenses_of_all_releases_before():
    manifest = a_manifest(ancestors=[one.model_dump() for one in (an_ancestor("a"), an_ancestor("b", weights="GPL"))])
    text = licenses_text(manifest)
    for heading in ("## Weights of a@1.0.0", "## Data of a@1.0.0", "## Weights of b@1.0.0"):
        assert heading in text
    nearest = bill(manifest, []).metadata.component.pedigree.ancestors[0]
    assert (nearest.name, nearest.pedigree.ancestors[0].name) == ("a", "b")
    assert bill(a_manifest(), []).metadata.component.pedigree is None


@pytest.mark.slow
def test_a_build_goes_all_the_way_and_the_release_tells_where_it_started(built):
    budget = ("--set", "distill.method=prune", "--set", "distill.compress={macs: 0.6}")
    short = ("--set", "teacher.epochs=2", "--set", "distill.epochs=2", "--set", "calibrate.max_map_drop_points=100")
    result = built.build(*START[1:], "--target", "onnxruntime-cpu", *budget, *short)
    assert "training started from tiny@1.0.0" in result.output + result.stderr
    parent, mine = (find_release(Home(built.home), name).manifest for name in ("tiny", "mine"))
    assert mine.compression.before.macs == parent.compression.after.macs
    assert mine.compression.after.macs <= 0.6 * parent.compression.after.macs
    assert [one.label for one in mine.ancestors] == ["tiny@1.0.0"]
    assert mine.provenance.command.startswith("zoo build mine --target onnxruntime-cpu --from tiny@1.0.0 --dataset")
    assert "training started from tiny@1.0.0" in built.zoo("show", "mine").output
    card = (built.home / "releases/mine/1.0.0/README.md").read_text()
    assert "training started from tiny@1.0.0" in card
    again = built.build(*START[1:], "--target", "onnxruntime-cpu", *budget, *short)
    assert "never built" not in again.output + again.stderr
