"""Artifacts in bundles: packed, unpacked, and not trusted."""

import io
import zipfile

import pytest

from targets.bundles.packed import is_packed, make_artifact, pack
from targets.contract import Job
from targets.errors import BadBundle
from targets.onnxruntime import OnnxRuntime
from targets.settings import TargetSettings

JOB = Job(32, 32, (1,))


class Portable(OnnxRuntime):
    """A target whose artifacts are the same on every board."""

    portable = True

    def compile(self, graph, folder, job):
        assert job == JOB
        (folder / "compiled").write_bytes(graph.read_bytes())


HERE = TargetSettings("onnxruntime")


def packed(folder):
    """An artifact of two files, packed."""
    (made := folder / "made").mkdir()
    (made / "model.param").write_text("7767517\n")
    (made / "model.bin").write_bytes(bytes(range(256)))
    pack(made, path := folder / "model.artifact")
    return path


def test_files_come_out_as_they_went_in_and_equal_ones_give_equal_bytes(tmp_path):
    path = packed(tmp_path)
    before = path.read_bytes()
    pack(tmp_path / "made", path)
    assert path.read_bytes() == before
    (out := tmp_path / "out").mkdir()
    make_artifact(Portable(HERE), path, out, JOB)
    assert {one.name: one.read_bytes() for one in out.iterdir()} == {
        one.name: one.read_bytes() for one in (tmp_path / "made").iterdir()
    }


def test_a_graph_is_compiled(exported, tmp_path):
    assert not is_packed(exported[0])
    make_artifact(Portable(HERE), exported[0], tmp_path, JOB)
    assert [path.name for path in tmp_path.iterdir()] == ["compiled"]


def test_a_runtime_that_compiles_on_the_device_takes_no_artifact(tmp_path):
    path = packed(tmp_path)
    with pytest.raises(BadBundle, match="is an artifact, but its runtime takes a graph"):
        make_artifact(OnnxRuntime(HERE), path, tmp_path, JOB)


@pytest.mark.parametrize("name", ["../out", "/tmp/out", "a/b", "con", "-x"])
def test_a_name_that_leads_elsewhere_is_refused(name, tmp_path):
    with zipfile.ZipFile(content := io.BytesIO(), "w") as archive:
        archive.writestr(name, "x")
    (path := tmp_path / "model.artifact").write_bytes(content.getvalue())
    (out := tmp_path / "folder").mkdir()
    with pytest.raises(BadBundle, match="model.artifact is damaged"):
        make_artifact(Portable(HERE), path, out, JOB)
    assert not list(out.iterdir())


def test_damage_is_noticed(tmp_path):
    path = packed(tmp_path)
    content = bytearray(path.read_bytes())
    for changed in (content[: len(content) // 2], content.replace(bytes(range(9)), bytes(9))):
        path.write_bytes(changed)
        (out := tmp_path / f"out{len(changed)}").mkdir()
        with pytest.raises(BadBundle, match="model.artifact is damaged"):
            make_artifact(Portable(HERE), path, out, JOB)
