"""ExecuTorch: it agrees with torch and ONNX Runtime, int8 included, and says what is wrong. Needs its extra;
without it, the torch network that it starts from is compared.
"""

import os
import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from onnx import helper

from calibration.quantize import Quantizer
from targets.contract import compiles_slowly, is_portable, make_target, precisions_of
from targets.errors import ArtifactFailed, BadOption, UnsupportedPrecision, Unusable
from targets.executorch.network import make_network
from targets.executorch.target import ARTIFACT, DIGEST, ExecuTorch
from targets.plain_graph import make_plain
from targets.settings import TargetSettings
from tests.helpers import assert_embeds_at_any_batch, random_images
from tests.targets.parity import CASES, JOB, REFUSED, SHORT, compiled_by, cosine, exactly, short, small

HERE = TargetSettings("executorch", threads=1)
INSTALLED = pytest.mark.skipif(not find_spec("executorch"), reason="the extra `executorch` is not installed")


def embedded(graph, images):
    """What the torch network of a graph gives."""
    with torch.inference_mode():
        return make_network(graph.name, make_plain(graph))(torch.from_numpy(images)).numpy()


def compiled(graph, folder, job=JOB):
    """A session of a graph."""
    return compiled_by(ExecuTorch(HERE), graph, folder, job)


@pytest.mark.parametrize("network", ["plain", "depthwise"])
def test_the_network_is_that_of_the_graph_also_in_int8(network, exported, depthwise, tmp_path):
    graph, images = exported[:2] if network == "plain" else depthwise
    whole = exactly(graph, images)
    assert np.allclose(embedded(graph, images), whole, atol=1e-5)
    quantizer = Quantizer(graph, images, "symmetric", tmp_path)
    for layer in (*quantizer.layers[:5:2], quantizer.layers[-1]):  # the last one is linear
        quantizer.write(path := tmp_path / "int8.onnx", only=layer)
        found, expected = embedded(path, images), exactly(path, images)
        # Where a result lies beside a half, it may be rounded to the next step.
        assert 1 - cosine(found, expected) < 1e-5 + 0.05 * (1 - cosine(whole, expected)), layer
        assert not np.allclose(found, whole, atol=1e-5), layer


@pytest.mark.parametrize("case", [*CASES, *SHORT])
def test_operations_are_those_of_the_graph_on_images_that_are_not_square(case, tmp_path):
    images = random_images(3)[:, :, :31].copy()
    graph = (small if case in CASES else short)(tmp_path, *{**CASES, **SHORT}[case])
    assert np.allclose(embedded(graph, images), exactly(graph, images), atol=1e-5)


def test_an_unknown_operation_is_named(tmp_path):
    graph = small(tmp_path, [helper.make_node("Erf", ["x"], ["y"])], [])
    with pytest.raises(ArtifactFailed, match="small.onnx can't be converted for ExecuTorch: zoo does not know its Erf"):
        make_network(graph.name, make_plain(graph))


@pytest.mark.parametrize("why", REFUSED)
def test_what_it_can_not_convert_is_named(why, tmp_path):
    graph = small(tmp_path, *REFUSED[why])
    with pytest.raises(ArtifactFailed, match=f"small.onnx can't be converted for ExecuTorch: .*{why}"):
        make_network(graph.name, make_plain(graph))


def test_rows_of_more_than_images_are_refused(tmp_path):
    nodes = [helper.make_node("GlobalAveragePool", ["x"], ["z"]), helper.make_node("Flatten", ["z"], ["y"], axis=2)]
    graph = short(tmp_path, nodes, [])
    with pytest.raises(ArtifactFailed, match="Flatten y keeps other axes than that of images, which ExecuTorch can't"):
        embedded(graph, random_images(3))


def test_fp16_is_refused_with_what_is_possible():
    with pytest.raises(UnsupportedPrecision, match="can't compute in fp16, only in fp32, int8"):
        precisions_of(ExecuTorch(HERE), HERE, "fp16")


def test_what_is_missing_is_named(exported, tmp_path, monkeypatch):
    with pytest.raises(BadOption, match="device: ExecuTorch runs on CPU here, not on GPU"):
        make_target(TargetSettings("executorch", "GPU", board="a board elsewhere"))
    with pytest.raises(BadOption, match="has no option 'backend'"):
        ExecuTorch(TargetSettings("executorch", options={"backend": "x"}))
    monkeypatch.setattr("targets.on_cpu.find_spec", lambda name: None if name == "executorch" else name)
    with pytest.raises(Unusable, match=r"executorch not installed, which ExecuTorch's artifacts .* Run: pip install"):
        ExecuTorch(HERE).compile(exported[0], tmp_path, JOB)


def test_importing_the_target_imports_no_runtime():
    script = (
        "import sys, targets.executorch.target, targets.executorch.network; "
        "assert not {'executorch', 'onnx', 'torch'} & {*sys.modules}"
    )
    subprocess.run([sys.executable, "-c", script], check=True, env=os.environ)


@INSTALLED
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # it and its libraries warn of one another
def test_it_embeds_as_torch_does_at_any_batch_and_refuses_damage(exported, tmp_path, capfd):
    graph, images, expected = exported
    target = make_target(HERE)
    assert is_portable(target)
    assert compiles_slowly(target)
    assert target.check().endswith("with XNNPACK on CPU")
    session = compiled(graph, tmp_path)
    assert_embeds_at_any_batch(session, images, expected)
    assert session.compute_ms > 0
    for shape in ((10, 32, 32, 3), (1, 16, 32, 3)):
        with pytest.raises(ArtifactFailed, match="takes 1 to 9 images of 32×32×3, not "):
            session.embed(np.zeros(shape, np.uint8))
    with pytest.raises(ArtifactFailed, match="ExecuTorch can't run on float32"):
        session.embed(np.zeros((1, 32, 32, 3), np.float32))
    assert np.allclose(session.embed(images[:2]), expected[:2], atol=1e-5)
    capfd.readouterr()
    whole = (tmp_path / ARTIFACT).read_bytes()
    for content in (b"", b"nonsense", whole[: len(whole) // 2]):
        (tmp_path / ARTIFACT).write_bytes(content)
        with pytest.raises(ArtifactFailed, match="ExecuTorch can't load .*: it is damaged"):
            target.load(tmp_path)
    (tmp_path / DIGEST).unlink()
    with pytest.raises(ArtifactFailed, match="ExecuTorch can't load"):
        target.load(tmp_path)
    assert capfd.readouterr().err == ""


@INSTALLED
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # it and its libraries warn of one another
@pytest.mark.parametrize("network", ["plain", "depthwise"])
def test_int8_quarters_the_file_and_is_that_of_the_network(network, exported, depthwise, tmp_path):
    graph, images = exported[:2] if network == "plain" else depthwise
    quantizer = Quantizer(graph, images, "symmetric", tmp_path)
    quantizer.write(tmp_path / "all.onnx")
    session = compiled(tmp_path / "all.onnx", tmp_path / "all")
    assert np.allclose(np.linalg.norm(session.embed(images), axis=1), 1, atol=1e-4)
    assert (tmp_path / "all" / ARTIFACT).stat().st_size < 0.35 * graph.stat().st_size
    quantizer.write(tmp_path / "one.onnx", only=quantizer.layers[2])
    found = compiled(tmp_path / "one.onnx", tmp_path / "one").embed(images)
    whole = exactly(graph, images)
    # Where a result lies beside a half, it may be rounded to the next step.
    expected = exactly(tmp_path / "one.onnx", images)
    assert 1 - cosine(found, expected) < 1e-5 + 0.05 * (1 - cosine(whole, expected))
