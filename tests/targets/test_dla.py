"""Targets on a DLA: where they are possible, and how engines for them are built.

No DLA is here: TensorRT-RTX builds, and a stand-in answers for it what a DLA supports.
"""

import sys
from types import SimpleNamespace
from typing import Any

import pytest

from targets.contract import Job, make_target, precisions_of
from targets.errors import ArtifactFailed, BadOption, ForeignEngine, UnsupportedPrecision, Unusable
from targets.nvidia.dla import check_dla
from targets.nvidia.engine import read_engine
from targets.nvidia.jetpacks import AGX_ORIN, AGX_THOR, ORIN_NANO, ORIN_NX
from targets.nvidia.tensorrt import TensorRt
from targets.settings import PRECISIONS, TargetSettings
from tests.targets.boards import jetson_here
from tests.targets.fake_cuda import FakeCuda
from tests.targets.refusal import refusal

AGX = "NVIDIA Jetson AGX Orin Developer Kit"


def dla(board=None, versions="", device="DLA", runtime="tensorrt", **more):
    return TargetSettings(runtime, device, board=board, options={"versions": versions}, **more)


@pytest.mark.parametrize(
    ("board", "versions", "why"),
    [
        (ORIN_NANO, "", "a Jetson Orin Nano has no DLA"),
        (ORIN_NANO, ">=11.4.1,<12", "a Jetson Orin Nano has no DLA"),
        (AGX_THOR, ">=11.4.1,<12", "a Jetson Thor has no DLA"),
        (AGX_ORIN, ">=10.3,<10.4", "JetPack 6 stays at TensorRT 10.3, whose parser lacks ADJUST_FOR_DLA"),
        (AGX_ORIN, ">=10.16,<10.17", "TensorRT 10.16 does not support the DLA of an Orin"),
        (AGX_ORIN, ">=11.3,<11.4", "TensorRT >=11.3,<11.4 does not support the DLA of a Jetson"),
        (ORIN_NX, "", "and TensorRT 11 only that of an AGX Orin"),
        (ORIN_NX, ">=11.4.1", "and TensorRT 11 only that of an AGX Orin"),
        (None, ">=10.3,<10.4", "JetPack 6 stays at TensorRT 10.3"),
        ("Acme X1", ">=10.3,<10.4", "TensorRT >=10.3,<10.4 does not support the DLA of a Jetson"),
    ],
)
def test_a_dla_that_is_not_possible_is_refused_when_the_target_is_made(board, versions, why):
    message = refusal(make_target, dla(board, versions), of=BadOption)
    assert message.startswith("device: DLA is not possible for this target: ")
    assert message.endswith(". Set `device: GPU`.")
    assert why in message


@pytest.mark.parametrize(
    ("board", "versions"), [(AGX_ORIN, ">=11.4.1,<12"), (AGX_ORIN, ""), (None, ""), ("Acme X1", "")]
)
def test_a_dla_that_may_be_possible_is_not_refused(board, versions):
    assert isinstance(make_target(dla(board, versions)), TensorRt)


@pytest.mark.parametrize(
    ("runtime", "device", "said"),
    [
        ("tensorrt-rtx", "DLA", "TensorRT-RTX runs on GPU (GPU.1 is the second one), not on DLA"),
        (
            "tensorrt",
            "DLA.-1",
            "TensorRT runs on GPU (GPU.1 is the second one) or DLA (DLA.1 is the second one), not on DLA.-1",
        ),
        ("tensorrt", "NPU", "(DLA.1 is the second one), not on NPU"),
    ],
)
def test_a_device_that_there_is_not_is_refused_for_a_board_elsewhere_too(runtime, device, said):
    """A bundle for it would fail there."""
    message = refusal(make_target, dla(AGX_ORIN, device=device, runtime=runtime), of=BadOption)
    assert message.startswith("device: ")
    assert said in message


@pytest.mark.parametrize(
    ("name", "version", "cores", "core", "why"),
    [
        (AGX, "10.3.0", 2, 0, "JetPack 6 stays at TensorRT 10.3"),
        (AGX, "10.16.2.10", 2, 0, "TensorRT 10.16 does not support the DLA of an Orin"),
        (
            AGX,
            "11.4.0.106",
            2,
            0,
            "TensorRT 11.4.0.106 is installed here, and TensorRT supports it on Jetsons in >=11.4.1",
        ),
        (AGX, "11.4.1.1", 0, 0, "TensorRT sees none here"),
        (AGX, "11.4.1.1", 2, 2, "there is no DLA.2 here, only 0 to 1"),
        ("NVIDIA Jetson AGX Thor", "11.4.1.1", 0, 0, "a Jetson Thor has no DLA"),
        ("NVIDIA Jetson Orin NX", "11.4.1.1", 2, 0, "TensorRT 11 only that of an AGX Orin"),
        ("AMD EPYC", "11.4.1.1", 0, 0, "TensorRT sees none here"),
    ],
)
def test_a_machine_without_a_usable_dla_is_refused_with_the_reason(name, version, cores, core, why):
    trt, builder = SimpleNamespace(__version__=version), SimpleNamespace(num_DLA_cores=cores)
    message = refusal(check_dla, trt, builder, name, core, of=Unusable)
    assert message.startswith("a DLA can't be used: ")
    assert message.endswith(". Use `device: GPU`.")
    assert why in message


def test_an_orin_with_tensorrt_11_has_two():
    for core in (0, 1):
        check_dla(SimpleNamespace(__version__="11.4.1.1"), SimpleNamespace(num_DLA_cores=2), AGX, core)


def test_fp32_is_built_as_the_reference_and_never_ships():
    settings = dla(AGX_ORIN)
    target = make_target(settings)
    assert target.precisions == PRECISIONS
    assert precisions_of(target, settings) == ("fp16", "int8")
    assert precisions_of(target, settings, "int8") == ("int8",)
    message = refusal(precisions_of, target, settings, "fp32", of=UnsupportedPrecision)
    assert message.startswith("tensorrt on DLA ships fp16, int8 only: fp32 would not compute there.")
    wrong = dla(AGX_ORIN, precisions=("fp32", "int8"))
    assert "fp32 would not compute there" in refusal(precisions_of, make_target(wrong), wrong, of=UnsupportedPrecision)
    on_gpu = TargetSettings("tensorrt", "GPU")
    assert precisions_of(make_target(on_gpu), on_gpu) == PRECISIONS


class Stand:
    """An object of TensorRT-RTX in its place: what is set and called through it is noted."""

    def __init__(self, real: Any, noted: list[tuple[str, Any]], **answers: Any) -> None:
        self.__dict__.update(_real=real, _noted=noted, **answers)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def __setattr__(self, name: str, value: Any) -> None:
        self._noted.append((name, value))
        if name not in ("default_device_type", "DLA_core"):  # which this machine refuses
            setattr(self._real, name, value)


class Tensorrt:
    """TensorRT 11.4.1 on a board with two DLAs, simulated by TensorRT-RTX."""

    __name__, __version__ = "tensorrt", "11.4.1.1"

    def __init__(self, real: Any, supported: tuple[Any, ...]) -> None:
        self._real, self._supported, self.noted = real, supported, []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def Builder(self, log: Any) -> Any:
        builder = self._real.Builder(log)
        config = builder.create_builder_config()

        def can_run_on_DLA(layer: Any) -> bool:
            return layer.type in self._supported and layer.get_output(0).dtype in (
                self._real.DataType.HALF,
                self._real.DataType.INT8,
            )

        def set_flag(flag: Any) -> None:
            self.noted.append(("set_flag", flag.name))
            config.set_flag(flag)

        return Stand(
            builder,
            self.noted,
            num_DLA_cores=2,
            create_builder_config=lambda: Stand(
                config, self.noted, can_run_on_DLA=can_run_on_DLA, set_flag=set_flag, itself=config
            ),
            build_serialized_network=lambda network, given: builder.build_serialized_network(network, given.itself),
        )

    def OnnxParser(self, network: Any, log: Any) -> Any:
        parser = self._real.OnnxParser(network, log)

        def set_flag(flag: Any) -> None:
            self.noted.append(("set_flag", flag.name))
            parser.set_flag(flag)

        return Stand(parser, self.noted, set_flag=set_flag)


@pytest.fixture
def board(monkeypatch, tmp_path):
    """An AGX Orin whose DLAs support convolutions."""
    real = pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX is not installed")
    trt = Tensorrt(real, (real.LayerType.CONVOLUTION,))
    monkeypatch.setitem(sys.modules, "tensorrt", trt)
    monkeypatch.setattr("targets.carried.version", lambda _: trt.__version__)
    FakeCuda(sm=87).install(monkeypatch)
    jetson_here(monkeypatch, tmp_path, AGX, "39.2.1")
    return trt


def test_an_engine_for_a_dla(board, graphs, tmp_path):
    target = make_target(dla(AGX_ORIN, ">=11.4.1,<12", "DLA.1"))
    assert target.check() == "TensorRT 11.4.1.1 on DLA.1 of Fake (SM 87)"
    told: list[str] = []
    target.compile(graphs["fp16"], tmp_path, Job(32, 32, (1, 4), tell=lambda what, _: told.append(what)))
    assert ("default_device_type", board.DeviceType.DLA) in board.noted
    assert ("DLA_core", 1) in board.noted
    assert [value for name, value in board.noted if name == "set_flag"] == ["GPU_FALLBACK", "ADJUST_FOR_DLA"]
    record, _ = read_engine(tmp_path)
    assert record.dla is not None
    assert record.dla.core == 1
    assert 0 < record.dla.layers < record.dla.of
    assert told[0] == f"DLA.1 supports {record.dla.layers} of {record.dla.of} layers"
    assert record.batches == (1, 1, 1)  # a DLA takes no other shape than the one that was built for
    assert (record.built.board, record.built.l4t) == (AGX, "39.2.1")
    on_gpu = make_target(TargetSettings("tensorrt", "GPU"))
    assert "built for a DLA, but this target computes on the GPU" in refusal(on_gpu.load, tmp_path, of=ForeignEngine)


def test_an_engine_in_fp32_is_built_for_the_gpu_alone(board, graphs, tmp_path):
    make_target(dla(AGX_ORIN)).compile(graphs["fp32"], tmp_path, Job(32, 32, (1, 4)))
    record, _ = read_engine(tmp_path)
    assert record.dla.layers == 0


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_an_engine_without_a_layer_for_the_dla_is_refused(precision, board, graphs, tmp_path):
    board._supported = ()
    with pytest.raises(
        ArtifactFailed, match=rf"the DLA supports none of the \d+ layers of {precision}.onnx. Use `device: GPU`"
    ):
        make_target(dla(AGX_ORIN)).compile(graphs[precision], tmp_path, Job(32, 32, (1, 4)))
    assert not [*tmp_path.glob("*.engine")]


def test_a_board_whose_tensorrt_is_too_old_compiles_nothing(board, graphs, tmp_path, monkeypatch):
    monkeypatch.setattr(board, "__version__", "10.16.2.10", raising=False)
    target = make_target(dla(None))
    message = refusal(target.compile, graphs["fp16"], tmp_path, Job(32, 32, (1, 4)), of=Unusable)
    assert "TensorRT 10.16 does not support the DLA of an Orin" in message
    assert not [*tmp_path.glob("*.engine")]
