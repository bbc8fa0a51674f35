"""The outcome of a build for a board elsewhere."""

import json
from pathlib import Path

from targets.bundles.archive import read_list
from targets.bundles.bundle import BUNDLE_LIST
from targets.files import sha256
from tests.zoo.elsewhere.boards import (
    NAME,
    build,
    contents,
    release_of,
)


def test_a_build_for_a_board_elsewhere_prints_what_to_run_there(waiting):
    shop, printed = waiting
    path = shop.home / "bundles" / f"{NAME}.zoo"
    assert printed.exit_code == 0
    lines = printed.stdout.splitlines()
    assert lines[-2:] == [f"board is pending. Copy {path} to the device and run:", f"python3 {NAME}.zoo"]
    assert path.is_file()
    assert [path.name for path in path.parent.iterdir()] == [path.name]


def test_the_manifest_names_the_pending_bundle_and_keeps_measurements(waiting):
    shop, _ = waiting
    release = release_of(shop)
    assert [one.model_dump() for one in release.pending] == [
        {
            "schema_version": 1,
            "release": "tiny@1.0.0",
            "target": "board",
            "kind": "pending",
            "bundle": f"{NAME}.zoo",
            "bundle_sha256": sha256(shop.home / "bundles" / f"{NAME}.zoo"),
        }
    ]
    assert {one.target for one in release.measured} == {"onnxruntime-cpu", "openvino-cpu"}
    shipped = {(artifact.target, artifact.precision) for artifact in release.manifest.artifacts if artifact.target}
    assert shipped == {("onnxruntime-cpu", "int8"), ("openvino-cpu", "int8")}
    assert "board" in {one.target for one in release.manifest.calibrations}


def test_other_commands_show_the_pending_target(waiting):
    shop, _ = waiting
    assert shop.zoo("show", "tiny").output.splitlines()[-1] == f"python3 {NAME}.zoo"
    assert "board" in shop.zoo("list").output
    rows = json.loads(shop.zoo("list", "--json").output)["built"]
    assert rows[0]["targets"] == ["board (pending)", "onnxruntime-cpu", "openvino-cpu"]
    assert shop.zoo("compare", "tiny").exit_code == 0


def test_a_second_build_runs_no_step_and_leaves_no_files(shop):
    again = build(shop)
    assert [line.partition(":")[0] for line in again.stderr.splitlines()] == ["train", "gate", "query", "gallery"]
    assert again.stdout.splitlines()[-1] == f"python3 {NAME}.zoo"
    assert [path.name for path in (shop.home / "bundles").iterdir()] == [f"{NAME}.zoo"]


def test_a_bundle_holds_code_graphs_test_set_and_its_origin(bundle):
    names = set(contents(bundle))
    graphs = {"teacher-fp32", "student-fp32", "student-int8"}
    assert {f"graphs/{name}.onnx" for name in graphs} == {name for name in names if name.startswith("graphs/")}
    assert {"__main__.py", "targets/bundles/program.py", "test/images.npy", "reference/query.npy"} <= names
    assert not [name for name in names if name.startswith(("zoo/", "pipeline/", "calibration/"))]
    told = json.loads(contents(bundle)["manifest.json"])
    assert told["calibrations"]["student/int8"]["images_sha256"]
    about = read_list(bundle, BUNDLE_LIST)
    assert (about["release"], about["target"]) == ("tiny@1.0.0", "board")
    assert str(Path.home()) not in json.dumps(about["settings"])
