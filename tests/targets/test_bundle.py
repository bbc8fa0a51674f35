"""An untrusted bundle for `zoo compile`: it runs no code of its own, and no file outside is used."""

import io
import sys

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from targets.bundles.archive import read_list, write_archive
from targets.bundles.bundle import BUNDLE_LIST, RESULT_LIST, open_bundle
from targets.bundles.pixels import pack
from targets.bundles.program import compile_bundle
from targets.contract import make_target
from targets.errors import ArtifactFailed, BadBundle, TargetError
from targets.settings import TargetSettings
from tests.targets.refusal import refusal

SIZE = 8


def graph(outputs=("n", 4)):
    """Mean colour of uint8 N×8×8×3, by a matrix, as bytes of ONNX."""
    nodes = [
        helper.make_node("Cast", ["x"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["float"], ["mean"], axes=[1, 2], keepdims=0),
        helper.make_node("MatMul", ["mean", "matrix"], ["rows"]),
        helper.make_node("Identity" if len(outputs) == 2 else "ReduceSum", ["rows"], ["y"]),
    ]
    images = helper.make_tensor_value_info("x", TensorProto.UINT8, ["n", SIZE, SIZE, 3])
    rows = helper.make_tensor_value_info("y", TensorProto.FLOAT, outputs)
    matrix = numpy_helper.from_array(np.arange(1, 13, dtype=np.float32).reshape(3, 4), "matrix")
    made = helper.make_graph(nodes, "g", [images], [rows], [matrix])
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 13)], ir_version=8).SerializeToString()


def npy(content):
    np.save(out := io.BytesIO(), np.array(content))
    return out.getvalue()


ABOUT = {
    "release": "tiny@1.0.0", "target": "cpu", "settings": {"runtime": "onnxruntime", "threads": 1},
    "entry": "targets.onnxruntime:OnnxRuntime", "height": SIZE, "width": SIZE, "batches": [1], "calls": 2,
    "max_seconds": 0.1, "broken": [],
}  # fmt: skip
STUDENT = {"network": "student", "precision": "fp32", "graph": "graphs/student-fp32.onnx"}
IMAGES = np.arange(3 * SIZE * SIZE * 3, dtype=np.uint8).reshape(3, SIZE, SIZE, 3)
FILES = {
    STUDENT["graph"]: graph(), "test/images.npy": npy(pack(IMAGES)), "test/query.npy": npy([0]),
    "test/gallery.npy": npy([1, 2]), "test/query-labels.npy": npy([[1], [1], [0]]),
    "test/gallery-labels.npy": npy([[1, 2], [2, 1], [1, 2]]),
}  # fmt: skip


@pytest.fixture
def room(tmp_path, monkeypatch):
    """Folder of the bundle and its result, beside the cache and a module that must not be imported."""
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "intruder.py").write_text("class Target:\n    def __init__(self, settings):\n        print('ran')\n")
    (tmp_path / "room").mkdir()
    return tmp_path / "room"


def bundle(room, files=None, **about):
    there = {name: content for name, content in {**FILES, **(files or {})}.items() if content is not None}
    write_archive(room / "x.zoo", BUNDLE_LIST, {**ABOUT, "variants": [STUDENT], **about}, there)
    return room / "x.zoo"


def refused(room, files=None, of=BadBundle, **about):
    """The error for a refused bundle, which must leave no file."""
    path, said = bundle(room, files, **about), []
    before = sorted(one for one in room.parent.rglob("*") if "cache" not in one.parts)
    message = refusal(compile_bundle, path, room / "result", said.append, of=of)
    assert sorted(one for one in room.parent.rglob("*") if not {"cache", "__pycache__"} & {*one.parts}) == before
    assert not [*(room.parent / "cache").iterdir()]
    assert "".join([message, *said]).replace("\n", "").isprintable()
    return message


def test_a_valid_bundle_is_compiled(room):
    compile_bundle(bundle(room), room / "result", lambda _: None)
    assert [row["precision"] for row in read_list(room / "result", RESULT_LIST)["rows"]] == ["fp32"]


OUTSIDE = [
    {"network": "../../victim"}, {"network": "nobody"}, {"network": ["student"]}, {"precision": "x"},
    {"precision": "../fp32"}, {"precision": None}, {"graph": "../../x.onnx"}, {"graph": "/etc/passwd"},
    {"graph": "graphs/none.onnx"}, {"graph": "."}, {"graph": ["x"]}, {"graph": 7}, {"more": 1},
]  # fmt: skip


@pytest.mark.parametrize("change", OUTSIDE, ids=str)
def test_a_variant_that_leads_elsewhere_is_refused(room, change):
    assert "is not a bundle this version can read" in refused(room, variants=[{**STUDENT, **change}])


def test_a_folder_outside_is_not_written_to(room):
    assert "network: " in refused(room, variants=[{**STUDENT, "network": str(room.parent / "victim")}])


def test_a_graph_that_lies_outside_does_not_get_into_the_result(room):
    (room / "secret.onnx").write_bytes(graph())
    assert "graph: " in refused(room, variants=[{**STUDENT, "graph": str(room / "secret.onnx")}])


@pytest.mark.parametrize("variants", [[], [STUDENT, STUDENT], ["student"], {}, 7, None], ids=str)
def test_invalid_variants_are_refused(room, variants):
    refused(room, variants=variants)


ENTRIES = [
    "intruder:Target", "intruder:Nothing", "os:system", "builtins:print", "", ":", "x", ".:x", "targets:x", 7, None,
    "targets.openvino:OpenVino", "targets.bundles.program:main", "targets.contract:Target",
    "targets.onnxruntime:OnnxRuntime:x",
]  # fmt: skip


@pytest.mark.parametrize("entry", ENTRIES, ids=str)
def test_a_target_that_is_not_installed_as_the_runtime_is_not_imported(room, entry, capsys):
    assert "is not a bundle this version can read" in refused(room, entry=entry)
    assert "intruder" not in sys.modules
    assert not capsys.readouterr().out


def test_a_runtime_that_is_not_installed_is_reported(room):
    message = refused(room, of=TargetError, entry="intruder:Target", settings={"runtime": "intruder"})
    assert "no installed package provides the runtime 'intruder'" in message
    assert "intruder" not in sys.modules


def test_an_installed_third_party_package_is_used(room, monkeypatch):
    """By its entry point; its code in the bundle is not run."""
    site = room.parent / "site"
    (site / "other-1.dist-info").mkdir(parents=True)
    (site / "other-1.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: other\nVersion: 1\n")
    (site / "other-1.dist-info" / "entry_points.txt").write_text("[zoo.targets]\nother = others_target:Other\n")
    (site / "others_target.py").write_text(
        "from targets.onnxruntime import OnnxRuntime\nclass Other(OnnxRuntime): 'x'\n"
    )
    monkeypatch.syspath_prepend(site)
    about = {"entry": "others_target:Other", "settings": {"runtime": "other", "threads": 1}}
    try:
        path = bundle(room, {"others_target.py": b"raise SystemExit('the carried one')"}, **about)
        compile_bundle(path, room / "result", lambda _: None)
    finally:
        sys.modules.pop("others_target", None)
    assert read_list(room / "result", RESULT_LIST)["runtime"]["name"] == "other"


NONSENSE = [
    {"release": "tiny\x1b[2J@1.0.0"}, {"release": "tiny"}, {"release": 7}, {"target": "x\x1b]0;PWN\x07"},
    {"target": "a/b"}, {"height": "x"}, {"height": 0}, {"height": True}, {"width": 8.0}, {"width": -1}, {"height": 9},
    {"width": 10**9}, {"batches": ["a"]}, {"batches": []}, {"batches": [0]}, {"batches": "12"}, {"batches": [10**12]},
    {"batches": {"1": 1}}, {"calls": "x"}, {"calls": 0}, {"calls": 1.5}, {"max_seconds": "x"}, {"max_seconds": 0},
    {"max_seconds": True}, {"max_seconds": float("nan")},
]  # fmt: skip
SETTINGS = [
    {"threads": "a"}, {"threads": 0}, {"threads": 1.5}, {"threads": True}, {"threads": [1]}, {"device": 7},
    {"device": "C\x1b[2J"}, {"board": 7}, {"board": "x\x1b[2J"}, {"about": None}, {"host": 7}, {"python": None},
    {"precisions": "fp32"}, {"precisions": ["fp64"]}, {"precisions": [["fp32"]]}, {"options": [1]}, {"options": None},
    {"runtime": 7}, {"runtime": ["onnxruntime"]}, {"unknown": 1}, {"computing": 1},
]  # fmt: skip


@pytest.mark.parametrize("change", NONSENSE, ids=str)
def test_a_list_that_no_build_writes_is_refused(room, change):
    assert "x.zoo is not a bundle this version can read" in refused(room, **change)


@pytest.mark.parametrize("change", SETTINGS, ids=str)
def test_invalid_settings_are_refused(room, change):
    message = refused(room, settings={**ABOUT["settings"], **change})
    assert "x.zoo is not a bundle this version can read" in message


def test_all_valid_settings_are_accepted(room):
    more = {
        "board": "AMD\nEPYC",
        "about": "a board",
        "host": "ssh://x@y:22",
        "precisions": ["fp32", "int8"],
        "options": {},
    }
    settings = {**ABOUT["settings"], "device": "CPU", "python": "python3", **more}
    opened = open_bundle(bundle(room, settings=settings, max_seconds=30), room / "opened")
    assert opened.settings == TargetSettings(**{**settings, "precisions": ("fp32", "int8")})  # type: ignore[arg-type]


def archive_of_arrays():
    np.savez(out := io.BytesIO(), np.zeros(3))
    return out.getvalue()


def far_too_large():
    """Its header declares 8 TB."""
    return npy([0]).replace(b"(1,), }" + b" " * 12, b"(1000000000000,), }")


ARRAYS = {
    "junk": b"junk", "nothing": b"", "half": npy([0])[:-9], "an archive": archive_of_arrays(), "objects": npy([None]),
    "a head that ends early": b"\x93NUMPY\1\0\x10\0{'descr': '<i8' ", "too large": far_too_large(),
    "a number": npy(0), "floats": npy([0.0]), "text": npy(["0"]), "empty": npy(np.zeros(0, int)), "beyond": npy([9]),
    "below": npy([-1]), "no file": None, "deep": npy([[0]]),
}  # fmt: skip


@pytest.mark.parametrize("name", ["test/query.npy", "test/query-labels.npy", "test/images.npy"])
@pytest.mark.parametrize("what", ARRAYS)
def test_an_array_that_is_not_of_a_test_set_is_refused(room, name, what):
    assert "x.zoo is not a bundle this version can read" in refused(room, {name: ARRAYS[what]})


@pytest.mark.parametrize(
    "images", [IMAGES, pack(IMAGES).astype(np.float32), pack(IMAGES)[:, :, 1:], pack(IMAGES)[:, :2]]
)
def test_images_of_another_shape_are_refused_in_a_line(room, images):
    assert "images of " in refused(room, {"test/images.npy": npy(images)})


def test_the_runtimes_error_for_images_of_another_size_is_reported(room):
    """List and images agree, but not with the graph."""
    images = npy(np.zeros((3, 3, SIZE + 1, SIZE), np.uint8))
    message = refused(room, {"test/images.npy": images}, of=ArtifactFailed, height=SIZE + 1)
    assert message.startswith("ONNX Runtime can't run on uint8 1×9×8×3: Error in execution: Got invalid dimensions")


def test_a_graph_that_gives_no_rows_is_refused_in_a_line(room):
    message = refused(room, {STUDENT["graph"]: graph(outputs=(1, 1, 1))}, of=TargetError)
    assert "float32" in message


@pytest.mark.parametrize(("runtime", "said"), [("openvino", "OpenVINO"), ("onnxruntime", "ONNX Runtime")])
def test_a_session_refuses_images_of_another_size_in_a_line_and_goes_on(runtime, said, exported, tmp_path):
    path, images, expected = exported
    target = make_target(TargetSettings(runtime, threads=1))
    target.compile(path, tmp_path, None)
    session = target.load(tmp_path)
    for other, given in ((images[:, 1:], "9×31×32×3"), (images[:, :, 1:], "9×32×31×3"), (images[0], "32×32×3")):
        message = refusal(session.embed, np.ascontiguousarray(other))
        assert message.startswith(f"{said} can't run on uint8 {given}: ")
        assert message.isprintable()
        assert "Exception from" not in message
    np.testing.assert_allclose(session.embed(images), expected, atol=1e-4)
