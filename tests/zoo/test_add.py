"""`zoo add`: a network that zoo did not train becomes a release like any other, or nothing is written."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from jsonschema import Draft202012Validator
from pydantic import TypeAdapter

import zoo as package
from pipeline.data.images import Input, read_image
from pipeline.foreign import original
from tests.conftest import make_workshop
from tests.foreign import HEIGHT, MEAN, NORMALISED, STD, WIDTH, embed_by_hand, foreign_model, write_foreign
from zoo.cli.add import _numbers, _three
from zoo.cli.shapes.commands import COMMANDS
from zoo.home import Home
from zoo.release.licensing import accepted
from zoo.release.local import find_release
from zoo.release.manifest import Manifest
from zoo.tables import measurement_rows

SCHEMA, EXAMPLE = (Path(__file__).parents[2] / "docs" / f"manifest.{name}.json" for name in ("schema", "example"))
FAST = ["gate.identities=2", "calibrate.images=16", "calibrate.min_images=8", "calibrate.max_map_drop_points=100"]
FAST += ["measure.batches=[1, 2]", "measure.calls=50", "measure.max_seconds=0.3"]
SET = [word for one in FAST for word in ("--set", one)]
ABOUT = ["--source", "https://example.org/net", "--trained-on", "somebody's cars", "--data-license", "CC0-1.0"]


def adding(shop, file, *more, terms="MIT", name="theirs"):
    return ["add", name, "--onnx", str(file), "--data", "squares", "--license", terms, *NORMALISED, *SET, *more]


@pytest.fixture(scope="module")
def added(tmp_path_factory):
    """A workshop with a release of a foreign network; read only."""
    shop = make_workshop(tmp_path_factory.mktemp("added") / "shop")
    file = write_foreign(shop.root / "net.onnx")
    result = shop.zoo(*adding(shop, file, "-t", "onnxruntime-cpu", *ABOUT))
    assert result.exit_code == 0, result.output
    return shop, file, result


@pytest.fixture(scope="module")
def theirs(added):
    shop, _, _ = added
    return find_release(Home(shop.home), "theirs")


def test_the_release_has_what_others_have_and_says_that_zoo_did_not_train_it(added, theirs):
    _, file, result = added
    manifest = theirs.manifest
    assert "not trained by zoo, nothing was removed: net.onnx" in result.output
    assert {one.precision for one in theirs.measured} == {"fp32", "fp16", "int8"}
    assert [one.ships for one in theirs.measured].count(True) == 1
    assert manifest.foreign.file == "net.onnx"
    assert manifest.foreign.size_bytes == file.stat().st_size
    assert (manifest.foreign.source, manifest.foreign.trained_on) == (ABOUT[1], ABOUT[3])
    assert manifest.foreign.producer == "a test"
    assert (manifest.compression, manifest.accuracy.teacher, manifest.accuracy.dense_student) == (None, None, None)
    assert manifest.cost == manifest.foreign.cost
    assert {stage.name.partition("/")[0] for stage in manifest.stages} == {
        "export", "reference", "calibrate", "compile", "measure",
    }  # fmt: skip
    assert manifest.parity["student"].min_cosine > 0.9999
    (first,) = {stage.files["onnx"] for stage in manifest.stages if stage.name == "export/student"}
    assert first == manifest.foreign.sha256
    assert all(row["foreign"] and row["ratio_to_dense"] is None for row in measurement_rows([theirs]))


def test_its_documents_say_where_it_comes_from(theirs):
    folder, sha256 = theirs.path.parent, theirs.manifest.foreign.sha256
    card = (folder / "README.md").read_text()
    assert "zoo did not train" in card
    assert f"- file: net.onnx, 0.01 MB, sha256 `{sha256}`" in card
    assert "- trained on: somebody's cars" in card
    assert "It was trained on somebody's cars, as stated." in card
    assert "teacher" not in card
    assert "student" not in card
    assert "somebody's cars" in (folder / "LICENSES.md").read_text()
    sbom = json.loads((folder / "sbom.cdx.json").read_text())
    (origin,) = sbom["metadata"]["component"]["pedigree"]["ancestors"]
    assert origin["hashes"] == [{"alg": "SHA-256", "content": sha256}]
    assert "performanceTradeoffs" not in sbom["metadata"]["component"]["modelCard"]["considerations"]


def test_the_manifest_fits_the_published_schema(theirs):
    Draft202012Validator(json.loads(SCHEMA.read_text())).validate(json.loads(theirs.path.read_text()))


def test_the_site_shows_it_without_a_teacher(added, tmp_path):
    shop, _, _ = added
    assert shop.zoo("site", str(tmp_path / "site")).exit_code == 0
    (page,) = (tmp_path / "site").rglob("theirs*.html")
    text = page.read_text()
    assert "zoo did not train this network, and removed nothing from it" in text
    assert "mAP, teacher" not in text
    assert "Accuracy in ONNX Runtime" in text


def without_file(values):
    del values["foreign"]


def with_compression(values):
    values["compression"] = json.loads(EXAMPLE.read_text())["compression"]


def with_teacher(values):
    values["accuracy"]["teacher"] = values["accuracy"]["student"]


@pytest.mark.parametrize("change", [without_file, with_compression, with_teacher])
def test_a_manifest_has_one_origin(change, theirs):
    values = json.loads(theirs.path.read_text())
    Manifest.model_validate(values)
    change(values)
    with pytest.raises(ValueError, match="foreign"):
        Manifest.model_validate(values)


def test_its_licenses_are_those_that_were_named(theirs):
    assert accepted(["mit"]).objection_to(theirs.manifest) is None
    assert "weights are under MIT" in accepted(["apache-2.0"]).objection_to(theirs.manifest)


def test_the_recorded_command_repeats_it(added, theirs, tmp_path):
    shop, file, _ = added
    command = theirs.manifest.provenance.command
    assert str(shop.root) not in theirs.path.read_text()
    assert command.startswith("zoo add theirs --onnx net.onnx --data squares --license MIT --mean 0.485,0.456,0.406")
    again = shop.zoo(*adding(shop, file, "-t", "onnxruntime-cpu", *ABOUT, "--plan"))
    assert again.exit_code == 0, again.output
    assert "runs" not in again.output


@pytest.mark.parametrize("given", ["0.48145466,0.4578275,0.40821073", "123.675,116.28,103.53", "0,1e-07,255"])
def test_mean_and_deviation_are_recorded_in_all_digits(given):
    assert _numbers(_three(None, None, given)) == given


def test_other_commands_take_it_like_any_release(added, theirs, tmp_path):
    shop, _, _ = added
    registry = str(tmp_path / "registry")
    as_json = ["compare", "theirs", "--format", "json"]
    publish = ["publish", "theirs", "--registry", registry]
    search = ["search", "map>0", "--all-precisions"]
    for words in (["verify", "theirs"], ["list"], ["compare", "theirs"], as_json, search, publish):
        result = shop.zoo(*words)
        assert result.exit_code == 0, (words, result.output)
        assert "theirs" in result.output or "not trained by zoo" in result.output
    assert "foreign" in shop.zoo("show", "theirs").output
    assert "no network to start from" in shop.refused("build", "mine", "--from", "theirs")


def test_its_embeddings_are_the_file_s(added):
    shop, file, _ = added
    picture = next((shop.root / "data" / "squares" / "image_query").iterdir())
    pixels = (read_image(picture, Input(height=HEIGHT, width=WIDTH)) / 255 - MEAN) / STD
    expected = embed_by_hand(file, pixels.transpose(2, 0, 1).astype(np.float32)[None])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ZOO_HOME", str(shop.home))
        patch.setenv("ZOO_CATALOGUE", str(shop.catalogue))
        (found,) = package.load(
            "theirs",
            target="onnxruntime",
        ).embed([picture])
    assert found @ expected[0] > 0.99


@pytest.mark.slow
def test_layers_chosen_by_speed_are_in_the_manifest(workshop):
    file = workshop.root / "net.onnx"
    onnx.save(foreign_model(), file, save_as_external_data=True, location="net.data", size_threshold=0)
    result = workshop.zoo(*adding(workshop, file, "-t", "onnxruntime-cpu", "--set", "calibrate.layers=fastest"))
    assert result.exit_code == 0, result.output
    release = find_release(Home(workshop.home), "theirs")
    sizes = [(workshop.root / f"net.{one}").stat().st_size for one in ("onnx", "data")]
    assert release.manifest.foreign.size_bytes == sum(sizes)
    (found,) = (one.fastest for one in release.manifest.calibrations if one.precision == "int8")
    assert len(found.alone) == 3
    Draft202012Validator(json.loads(SCHEMA.read_text())).validate(json.loads(release.path.read_text()))
    assert workshop.zoo("show", "theirs").exit_code == 0


def test_a_target_that_is_added_later_joins_the_release(workshop):
    file = write_foreign(workshop.root / "net.onnx")
    for target in ("onnxruntime-cpu", "openvino-cpu"):
        result = workshop.zoo(*adding(workshop, file, "-t", target, "--precision", "fp32"))
        assert result.exit_code == 0, result.output
    release = find_release(Home(workshop.home), "theirs")
    assert {one.target for one in release.measured} == {"onnxruntime-cpu", "openvino-cpu"}


def test_output_for_scripts_has_the_documented_shape(added):
    shop, file, _ = added
    words = adding(shop, file, "-t", "onnxruntime-cpu", *ABOUT, "--json")
    for name, more in (("add", ()), ("add --plan", ("--plan",))):
        result = shop.zoo(*words, *more)
        TypeAdapter(COMMANDS[name]).validate_python(json.loads(result.stdout))


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"terms": "whatever"}, "is no SPDX expression"),
        ({"terms": "not stated"}, "is no SPDX expression"),
        ({"name": "tiny"}, "tiny is a model of the catalogue"),
        ({"name": "../theirs"}, "a name consists of letters"),
        ({"file": "missing.onnx"}, "can't read the network"),
        ({"words": ["--output", "nothing"]}, "has no value 'nothing'"),
        ({"words": ["--data", "circles"]}, "no data set 'circles'"),
        ({"words": ["-t", "nowhere"]}, "no target 'nowhere'"),
        ({"words": ["--set", "distill.epochs=3"]}, "distill: unknown key"),
        ({"words": ["--set", "measure.dense=[fp32]"]}, "has no dense teacher"),
        ({"words": ["--set", "dataset=circles"]}, "options for dataset. Use --data."),
        ({"words": ["--set", "license=whatever"]}, "Use --license."),
        ({"words": ["--set", "targets=[nowhere]"]}, "Use --target."),
        ({"words": ["--set", f"foreign.sha256={'a' * 64}"]}, "options for foreign. Use --output"),
        ({"words": ["--set", "input.height=64"]}, "options for input. Use --size"),
        ({"words": ["--set", "gate.identities=50"]}, "can't be held out"),
        ({"words": ["--set", "calibrate.min_images=500", "--set", "calibrate.images=500"]}, "calibration needs"),
    ],
)  # fmt: skip
def test_bad_input_is_refused_in_a_line_and_writes_no_result(more, told, workshop):
    file = write_foreign(workshop.root / "net.onnx")
    named = {key: value for key, value in more.items() if key in ("terms", "name")}
    file = workshop.root / more.get("file", file.name)
    error = workshop.refused(*adding(workshop, file, *more.get("words", ()), **named))
    assert told in error
    assert len(error.splitlines()) <= 2
    assert not (workshop.home / "releases").exists()
    assert not list(workshop.home.rglob("*.onnx"))


def test_a_graph_with_other_embeddings_than_the_file_is_refused(workshop, monkeypatch):
    def wrong(session, images, name):
        found = run(session, images, name)
        return -found if images.dtype == np.uint8 else found  # of the graph that zoo made

    run = original.run
    monkeypatch.setattr(original, "run", wrong)
    error = workshop.refused(*adding(workshop, write_foreign(workshop.root / "net.onnx"), "-t", "onnxruntime-cpu"))
    assert "have cosine -1.000000 to the file's" in error
    assert "below export.min_cosine" in error
    assert not (workshop.home / "releases").exists()


def test_a_network_that_fails_only_when_it_runs_is_refused_before_any_stage(workshop):
    file = write_foreign(workshop.root / "net.onnx")
    error = workshop.refused(*adding(workshop, file, "--output", "d"))
    assert "Name the embedding with --output" in error
    assert not list((workshop.home / "store").glob("unfinished/*"))


@pytest.mark.parametrize(
    ("option", "told"), [(["--size", "256"], "is no size"), (["--mean", "1,2"], "is not three numbers")]
)
def test_options_that_are_not_what_they_should_be_are_named(option, told, workshop):
    result = workshop.zoo(*adding(workshop, workshop.root / "net.onnx", *option))
    assert result.exit_code == 2
    assert told in result.output
