"""The bill of materials, as other programs read it."""

import json

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from tests.zoo.records import a_manifest, an_artifact, broken, estimated, pending
from tests.zoo.shelf import SIZE, a_measurement
from zoo.documents.limits import limits
from zoo.documents.origins import RISKS
from zoo.documents.sbom import write_sbom


def written(folder, manifest, records=()):
    folder.mkdir(exist_ok=True)
    return (folder / write_sbom(folder, manifest, records, SIZE)).read_text()


def valid(text):
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    return json.loads(text)


def card_of(bill):
    return bill["metadata"]["component"]["modelCard"]


@pytest.fixture
def bill(tmp_path):
    return json.loads(written(tmp_path, a_manifest()))


def named(bill):
    return {component["name"]: component for component in bill["components"]}


@pytest.mark.parametrize("terms", ["Apache-2.0", "MIT OR Apache-2.0", "research only, by request", "not stated", ""])
def test_it_follows_the_schema_of_cyclonedx(tmp_path, terms):
    licenses = dict.fromkeys(("code", "weights", "data"), terms)
    valid(written(tmp_path, a_manifest(licenses=licenses, description="")))


def test_equal_manifests_give_equal_bytes_and_others_another_serial_number(tmp_path):
    first, second = written(tmp_path / "a", a_manifest()), written(tmp_path / "b", a_manifest())
    assert first == second
    others = [
        json.loads(written(tmp_path / "c", a_manifest(version="1.0.1")))["serialNumber"],
        json.loads(written(tmp_path / "d", a_manifest(), [a_measurement()]))["serialNumber"],
    ]
    assert len({json.loads(first)["serialNumber"], *others}) == 3
    assert others[0].split("-")[2].startswith("5")  # a UUID of the content, not a random one


def test_the_subject_is_the_model(bill):
    subject = bill["metadata"]["component"]
    assert (subject["type"], subject["name"], subject["version"]) == ("machine-learning-model", "big", "1.0.0")
    assert subject["licenses"][0]["license"]["id"] == "Apache-2.0"
    assert bill["metadata"]["timestamp"] == a_manifest().created_at


def test_artifacts_are_files_by_their_digests(bill):
    for artifact in a_manifest().artifacts:
        component = named(bill)[artifact.path]
        assert component["type"] == "file"
        assert component["licenses"] == [{"license": {"id": "Apache-2.0"}}]
        assert component["hashes"] == [{"alg": "SHA-256", "content": artifact.sha256}]


def test_data_have_their_fingerprint_and_the_tool_its_license(bill):
    fingerprint = {"name": "zoo:data:fingerprint", "value": a_manifest().data.fingerprint}
    assert named(bill)["cars"]["properties"] == [fingerprint]
    (tool,) = bill["metadata"]["tools"]["components"]
    assert (tool["name"], tool["licenses"][0]["license"]["id"]) == ("edge-model-zoo", "Apache-2.0")


def test_libraries_have_versions_and_package_urls(bill):
    assert named(bill)["torch"]["purl"] == "pkg:pypi/torch@2.15.0%2Bcpu"
    libraries = {c["name"]: c["version"] for c in bill["components"] if c["type"] == "library"}
    assert libraries == a_manifest().provenance.libraries


def test_a_license_that_is_not_stated_is_not_invented(tmp_path):
    licenses = {"code": "MIT", "weights": "not stated", "data": "research only"}
    bill = json.loads(written(tmp_path, a_manifest(licenses=licenses)))
    assert "licenses" not in bill["metadata"]["component"]
    assert named(bill)["cars"]["licenses"] == [{"license": {"name": "research only"}}]


def test_the_model_depends_on_all_and_a_compiled_artifact_on_its_runtime(tmp_path):
    artifacts = [an_artifact(), an_artifact("x/model.xml", "int8", "x", "onnxruntime")]
    bill = json.loads(written(tmp_path, a_manifest(artifacts=artifacts)))
    graph = {one["ref"]: one.get("dependsOn", []) for one in bill["dependencies"]}
    assert set(graph["model:big@1.0.0"]) == {component["bom-ref"] for component in bill["components"]}
    assert graph["file:x/model.xml"] == ["pkg:pypi/onnxruntime@1.32.0"]
    assert graph["file:graph/model.onnx"] == []


def test_a_library_and_the_data_set_may_have_one_name(tmp_path):
    data = a_manifest().data.model_dump() | {"name": "torch"}
    text = written(tmp_path, a_manifest(data=data))
    valid(text)
    assert [component["name"] for component in json.loads(text)["components"]].count("torch") == 2


RECIPE = {"seed": 0, "network": {"architecture": "tf_efficientnet_lite0", "embedding": 128}}


def test_the_model_card_says_what_the_network_takes_and_gives(tmp_path):
    card = card_of(valid(written(tmp_path, a_manifest(recipe=RECIPE))))
    said = card["modelParameters"]
    assert (said["approach"]["type"], said["task"]) == ("supervised", "image-feature-extraction")
    assert said["architectureFamily"] == "convolutional neural network, timm's efficientnet"
    assert said["modelArchitecture"] == "tf_efficientnet_lite0, pruned channel by channel"
    assert said["datasets"] == [{"ref": "data:cars"}]
    assert "N×24×32×3" in said["inputs"][0]["format"]
    assert "D = 128, rows of length 1" in said["outputs"][0]["format"]


def test_the_model_card_has_map_of_every_precision_and_keeps_estimates_apart(tmp_path):
    records = [a_measurement(map_=79.5), estimated(), pending(), broken()]
    card = card_of(valid(written(tmp_path, a_manifest(), records)))
    metrics = card["quantitativeAnalysis"]["performanceMetrics"]
    found = {(one["type"], one["slice"].split(";")[0]): one["value"] for one in metrics}
    assert found["mAP %", "teacher in torch"] == "85.00"
    assert found["mAP %", "student in torch"] == "80.20"
    assert found["mAP %", "student int8 on onnxruntime-cpu"] == "79.50"
    assert found["mAP %, estimated", "student int8 on jetson-orin-nano"] == "80.00"
    assert ("mAP %", "student int8 on jetson-orin-nano") not in found
    (loss,) = [one for one in metrics if "lost" in one["type"] and "onnxruntime-cpu" in one["slice"]]
    assert (loss["value"], loss["confidenceInterval"]) == ("0.20", {"lowerBound": "0.10", "upperBound": "0.30"})


def test_the_model_card_has_the_limits_and_risks_of_the_readme(tmp_path):
    said = card_of(valid(written(tmp_path, a_manifest(), [a_measurement()])))["considerations"]
    assert said["technicalLimitations"] == limits(a_manifest(), [a_measurement()])
    assert [one["name"] for one in said["ethicalConsiderations"]] == [one.name for one in RISKS]
    assert said["useCases"]
    (trade,) = said["performanceTradeoffs"]
    assert trade.startswith("25.0% of the teacher's MACs and ")
    assert trade.endswith("; mAP in torch: 85.00 % (teacher), 80.20 % (this network).")


def test_an_architecture_that_timm_does_not_know_has_no_family(tmp_path):
    recipe = {"network": {"architecture": "of_a_plugin", "embedding": 8}}
    said = card_of(valid(written(tmp_path, a_manifest(recipe=recipe))))["modelParameters"]
    assert "architectureFamily" not in said
    assert said["modelArchitecture"].startswith("of_a_plugin")
