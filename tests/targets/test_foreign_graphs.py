"""Runtimes with converters of their own take what exporters write: computed shapes, a norm behind the last layer."""

import numpy as np
import onnx
import pytest

from targets.contract import Job, make_target
from targets.errors import Unusable
from targets.settings import TargetSettings
from tests.foreign import HEIGHT, PICTURES, WIDTH, foreign_model, taken, with_computed_shape, with_norm


@pytest.mark.parametrize("runtime", ["ncnn", "litert", "executorch", "openvino"])
def test_a_foreign_graph_embeds_as_its_file_does(runtime, tmp_path):
    target = make_target(TargetSettings(runtime, threads=1))
    try:
        target.check()
        target.check_compiler()
    except Unusable as error:
        pytest.skip(str(error))
    onnx.save(with_norm(with_computed_shape(foreign_model())), tmp_path / "net.onnx")
    wrapped = taken(tmp_path / "net.onnx")
    onnx.save(wrapped.model, tmp_path / "graph.onnx")
    target.compile(tmp_path / "graph.onnx", tmp_path, Job(HEIGHT, WIDTH, (1,)))
    session = target.load(tmp_path)
    found = np.concatenate([session.embed(PICTURES[place : place + 1]) for place in range(len(PICTURES))])
    np.testing.assert_allclose(found, wrapped.original.embed(PICTURES), atol=1e-4)
