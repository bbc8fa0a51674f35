"""`zoo export` of a release that was pulled: what it lacks is pulled, made again, or named."""

import json
import shutil
from dataclasses import replace

import onnx
import pytest

from pipeline.progress import Silent
from targets.files import sha256
from tests.conftest import Workshop
from zoo.documents.golden import least
from zoo.errors import ManifestError, NotPulled, ZooError
from zoo.home import Home
from zoo.layout import GRAPH
from zoo.loading import complete
from zoo.registry.places.folder import Folder
from zoo.registry.publish import publish
from zoo.release.local import find_release
from zoo.views import deepstream
from zoo.views import export as exporting
from zoo.views.gate import _golden


@pytest.fixture
def pulled(tiny, tmp_path):
    """The release as if it were pulled: elsewhere, without the store it was built in."""
    shutil.copytree(tiny.path.parent, tmp_path / "copy")
    return replace(tiny, path=tmp_path / "copy" / tiny.path.name)


def refused(release, tmp_path, of=ZooError):
    with pytest.raises(of) as error:
        exporting.export_release(release, Home(tmp_path / "nowhere"), exporting.Wanted("onnx"), tmp_path / "out")
    assert not (tmp_path / "out").exists()
    return str(error.value)


@pytest.mark.parametrize("path", ["golden/input.png", "golden/embedding.json", "LICENSES.md"])
def test_a_release_without_what_is_checked_or_copied_is_not_exported(pulled, tmp_path, path):
    file = pulled.path.parent / path
    content = file.read_bytes()
    file.unlink()
    assert f"{path} of tiny@1.0.0 is not here. Get it: zoo pull tiny@1.0.0" in refused(pulled, tmp_path, NotPulled)
    file.write_bytes(content.replace(b"0", b"1"))
    if path != "golden/input.png":
        assert f"{path} is damaged: its sha256 differs from the manifest" in refused(pulled, tmp_path, ManifestError)


def test_a_precision_that_does_not_ship_has_the_limit_of_its_calibrations(pulled, tiny, home, tmp_path):
    """Its golden input has none for it."""
    file = pulled.path.parent / "golden/embedding.json"
    written = json.loads(file.read_text())
    (limit := dict(written["min_cosine"])).pop("int8")
    (changed := tmp_path / "embedding.json").write_text(json.dumps({**written, "min_cosine": limit}))
    file.unlink()
    shutil.copyfile(changed, file)
    documents = [
        one.model_copy(update={"sha256": sha256(file)}) if one.path == "golden/embedding.json" else one
        for one in tiny.manifest.documents
    ]
    known = [one.agreement.min_cosine for one in tiny.manifest.calibrations if one.precision == "int8"]
    release = replace(pulled, manifest=tiny.manifest.model_copy(update={"documents": documents}))
    assert _golden(release, "int8").min_cosine == {**limit, "int8": least(known)}
    assert least(known) > 0
    (first, *_) = (one for one in tiny.manifest.calibrations if one.precision == "int8")
    far = first.agreement.model_copy(update={"min_cosine": 0.1})
    failed = first.model_copy(update={"holds": False, "agreement": far})
    calibrations = [*tiny.manifest.calibrations, failed]
    more = replace(release, manifest=release.manifest.model_copy(update={"calibrations": calibrations}))
    assert _golden(more, "int8").min_cosine["int8"] == least(known)  # one that failed the gate does not lower it
    assert _golden(release, "fp32").min_cosine == limit


def test_int8_for_deepstream_is_made_again_for_a_pulled_release(pulled, finished, tmp_path):
    out = tmp_path / "out"
    wanted, nowhere = exporting.Wanted("deepstream", "int8"), Home(tmp_path / "nowhere")
    record = exporting.export_release(pulled, nowhere, wanted, out, lambda name: finished.root / "data" / name)
    assert (
        record.origin.graph == f"artifact {GRAPH}, quantised again as for openvino-cpu: symmetric, 16 images of squares"
    )
    kinds = {one.op_type for one in onnx.load(out / deepstream.GRAPH).graph.node}
    assert {"QuantizeLinear", "DequantizeLinear"} <= kinds
    assert record.check.cosine > 0.9999


def test_the_command_looks_for_the_images_below_its_data_root(finished, tmp_path):
    """`tiny` as pulled by somebody who has the data."""
    user = Workshop(tmp_path / "user")
    shutil.copytree(finished.home / "releases/tiny", user.home / "pulled/tiny")
    user.catalogue.write_text(finished.catalogue.read_text())
    words = ["export", "tiny", "--for", "deepstream", "--precision", "int8", "--out", str(tmp_path / "out")]
    message = user.refused(*words)
    assert "16 training images of squares: no folder" in message
    assert "set --data-root (or ZOO_DATA)" in message
    assert not (tmp_path / "out").exists()
    result = user.zoo(*words, "--data-root", str(finished.root / "data"))
    assert result.exit_code == 0, result.output
    user.catalogue.write_text("{}\n")
    words[-1] += "2"
    assert "16 training images of squares: no data set 'squares' in the catalogue" in user.refused(*words)


def test_int8_of_8_bits_comes_with_a_warning_where_it_can_overflow(finished, tmp_path):
    """As zoo 0.1.0 recorded it: without the bits of its weights, which were 8."""
    user = Workshop(tmp_path / "user")
    shutil.copytree(finished.home / "releases/tiny", user.home / "pulled/tiny")
    user.catalogue.write_text(finished.catalogue.read_text())
    path = user.home / "pulled/tiny/1.0.0/manifest.json"
    words = ["export", "tiny", "--precision", "int8", "--data-root", str(finished.root / "data"), "--for"]
    told = []
    for bits in (7, None):
        content = json.loads(path.read_text())
        for one in content["calibrations"]:
            one.pop("weight_bits")
            one |= {"weight_bits": bits} if bits and one["precision"] == "int8" else {}
        path.unlink()
        path.write_text(json.dumps(content))
        for consumer in ("ovms", "boxmot", "deepstream"):
            result = user.zoo(*words, consumer, "--out", str(out := tmp_path / f"{consumer}-{bits}"))
            assert result.exit_code == 0, result.output
            assert json.loads((out / "view.json").read_text())["origin"]["weight_bits"] == (bits or 8)
            told.append("weights have 8 bits" in result.stderr)
    assert told == [False, False, False, True, True, False]


def test_files_of_a_release_that_comes_with_zoo_are_pulled_as_they_are_needed(tiny, tmp_path, monkeypatch):
    publish(tiny, Folder(tmp_path / "prebuilt"), None, Silent())
    (tmp_path / "prebuilt/index.json.lock").unlink()
    monkeypatch.setenv("ZOO_PREBUILT", str(tmp_path / "prebuilt"))
    monkeypatch.delenv("ZOO_REGISTRY", raising=False)
    user = Workshop(tmp_path / "user")
    user.root.mkdir()
    user.catalogue.write_text("{}\n")
    assert user.zoo("pull", "tiny", "--target", "onnxruntime-cpu").exit_code == 0
    folder = user.home / "pulled/tiny/1.0.0"
    assert not (folder / "openvino-cpu").exists()
    (folder / "LICENSES.md").unlink()
    words = ["export", "tiny", "--for", "ovms", "--precision", "int8", "--out"]
    result = user.zoo(*words, str(tmp_path / "out"))
    assert result.exit_code == 0, result.output
    assert (folder / "openvino-cpu/model.xml").is_file()
    assert (folder / "onnxruntime-cpu/model.onnx").is_file()
    assert (tmp_path / "out/LICENSES.md").is_file()

    shutil.rmtree(folder / "openvino-cpu")
    monkeypatch.setenv("ZOO_REGISTRY", str(tmp_path / "elsewhere"))
    assert user.refused(*words, str(tmp_path / "other")).endswith("Get it: zoo pull tiny@1.0.0 --target openvino-cpu")

    monkeypatch.delenv("ZOO_REGISTRY")
    home = Home(user.home)
    release = find_release(home, "tiny")
    fewer = release.manifest.model_copy(update={"artifacts": release.manifest.artifacts[:1]})
    assert not complete(home, replace(release, manifest=fewer), "openvino-cpu", Silent()), "another one of that name"
    assert not (folder / "openvino-cpu").exists()
    assert complete(home, release, "openvino-cpu", Silent())
