"""Stage `calibrate`: its images, the loss of accuracy, float layers."""

import hashlib
import json
from contextlib import nullcontext
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

import pipeline.stages.calibrate as stage
from calibration.errors import TooFewImages
from pipeline.data.gate import Gate, hold_out
from pipeline.data.images import Input
from pipeline.data.samples import Index, Samples
from pipeline.engine.processes import Processes
from pipeline.engine.work import Work
from pipeline.errors import CheckFailed
from pipeline.progress import Silent
from pipeline.retrieval.agreement import agreement, answer
from pipeline.stages.calibrate import HOST, Calibrate, halve_graph, quantize_graph
from pipeline.stages.compile import compile_graph
from pipeline.stages.reference import GALLERY, GATE, QUERY, read_reference
from tests.graphs import unquantised
from zoo.release.manifest import Calibration

SIZE = Input(height=16, width=16)
CHANNELS = 8
TRAIN, TEST = 12, 30  # identities
FEW = Calibrate(images=20, min_images=8, max_map_drop_points=2, max_float_layers=1)


def draw(root, identity, camera, colour, random):
    """A vehicle drawn as a colour, in the light of a camera."""
    pixels = np.clip(colour + 2 * camera + random.normal(0, 8, (16, 16, 3)), 0, 255).astype(np.uint8)
    name = f"{identity:02d}_{camera}.png"
    Image.fromarray(pixels).save(root / name)
    return name


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Training identities 0 … 11, test identities 12 … 41; each once under each of two or three cameras."""
    root, random = tmp_path_factory.mktemp("images"), np.random.default_rng(0)
    colours = random.integers(30, 220, (TRAIN + TEST, 3))

    def split(identities, cameras):
        rows = [(identity, camera) for identity in identities for camera in cameras]
        paths = tuple(draw(root, identity, camera, colours[identity], random) for identity, camera in rows)
        return Samples(root, paths, *np.array(rows, np.int64).T)

    test = range(TRAIN, TRAIN + TEST)
    return Index(split(range(TRAIN), (0, 1, 2)), split(test, (0,)), split(test, (1, 2)), "fingerprint")


def network(loud):
    """Two convolutions and a linear layer: uint8 N×16×16×3 → N×8 of length 1.

    Args:
        loud: factor on the first channel of the first convolution, undone in the second: the
            result stays, but one step of int8 over the values in between is then more than all other channels hold.
    """
    random = np.random.default_rng(1)
    scale = np.ones(CHANNELS, np.float32)
    scale[0] = loud
    first = random.normal(0, 0.02, (CHANNELS, 3, 3, 3)).astype(np.float32) * scale[:, None, None, None]
    second = random.normal(0, 0.2, (CHANNELS, CHANNELS, 3, 3)).astype(np.float32) / scale[None, :, None, None]
    constants = {
        "middle": np.float32(128),
        "first.weight": first,
        "first.bias": scale,
        "second.weight": second,
        "second.bias": np.zeros(CHANNELS, np.float32),
        "head.weight": random.normal(0, 1, (CHANNELS, CHANNELS)).astype(np.float32),
        "head.bias": random.normal(0, 0.1, CHANNELS).astype(np.float32),
        "axes": np.array([1], np.int64),
        "least": np.float32(1e-12),
    }
    make = helper.make_node
    nodes = [
        make("Cast", ["images"], ["float"], "cast", to=TensorProto.FLOAT),
        make("Transpose", ["float"], ["planes"], "transpose", perm=[0, 3, 1, 2]),
        make("Sub", ["planes", "middle"], ["centred"], "sub"),
        make("Conv", ["centred", "first.weight", "first.bias"], ["a"], "first", strides=[2, 2]),
        make("Relu", ["a"], ["b"], "relu1"),
        make("Conv", ["b", "second.weight", "second.bias"], ["c"], "second", strides=[2, 2]),
        make("Relu", ["c"], ["d"], "relu2"),
        make("GlobalAveragePool", ["d"], ["e"], "pool"),
        make("Flatten", ["e"], ["f"], "flatten"),
        make("Gemm", ["f", "head.weight", "head.bias"], ["g"], "head"),
        make("ReduceL2", ["g", "axes"], ["length"], "length", keepdims=1),
        make("Max", ["length", "least"], ["clamped"], "clamp"),
        make("Div", ["g", "clamped"], ["embeddings"], "div"),
    ]
    images = helper.make_tensor_value_info("images", TensorProto.UINT8, ["n", 16, 16, 3])
    embeddings = helper.make_tensor_value_info("embeddings", TensorProto.FLOAT, ["n", CHANNELS])
    initial = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "g", [images], [embeddings], initial)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model, full_check=True)
    return model


def pixels(samples):
    return np.stack([np.asarray(Image.open(samples.root / path)) for path in samples.paths])


def embed(path, samples):
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(None, {"images": pixels(samples)})[0]


class Bench:
    """Runs the stage on one network: `out` is its result, `told` its messages."""

    def __init__(self, root, data, loud):
        self.data, self.root, self.told, self.count = data, root, [], 0
        for name in ("graph", "reference"):
            (root / name).mkdir()
        onnx.save(network(loud), root / "graph" / "model.onnx")
        for name, samples in ((QUERY, data.query), (GALLERY, data.gallery)):
            np.save(root / "reference" / name, embed(root / "graph" / "model.onnx", samples))

    def run(self, settings, function=quantize_graph, data=None, **more):
        self.count += 1
        self.out = self.root / f"out{self.count}"
        scratch = self.root / f"scratch{self.count}"
        self.out.mkdir()
        scratch.mkdir()
        progress = Silent()
        progress.say = self.told.append
        given = {"graph": self.root / "graph", "reference": self.root / "reference", "settings": settings, **more}
        if function is quantize_graph:
            given = {"seed": 0, "activations": "asymmetric", "judge": HOST, **given}
        function(Work(self.out, scratch, Processes("cpu"), progress), data=data or self.data, input=SIZE, **given)
        return SimpleNamespace(**json.loads((self.out / "calibration.json").read_text()))

    def cost(self):
        """The loss of the written graph, measured independently of the stage."""
        query, gallery = (embed(self.out / "model.onnx", some) for some in (self.data.query, self.data.gallery))
        reference = read_reference(self.root / "reference", self.data)
        return flat(agreement(reference, answer(query, gallery, self.data.query, self.data.gallery)).model_dump())


def flat(figures):
    """Figures in a row, for comparing."""
    return pytest.approx([*figures["map_drop_interval"], *(v for k, v in figures.items() if k != "map_drop_interval")])


def told(found):
    """Figures recorded by the stage."""
    return flat(found.agreement).expected


@pytest.fixture(scope="module")
def quiet(data, tmp_path_factory):
    """A network that quantises well."""
    return Bench(tmp_path_factory.mktemp("quiet"), data, 1)


@pytest.fixture(scope="module")
def loud(data, tmp_path_factory):
    """The same function, with activations that quantise badly."""
    return Bench(tmp_path_factory.mktemp("loud"), data, 300)


def test_both_networks_are_the_same_and_worth_measuring(quiet, loud):
    for name in (QUERY, GALLERY):
        rows = [np.load(bench.root / "reference" / name) for bench in (quiet, loud)]
        assert np.allclose(*rows, atol=1e-4)  # type: ignore[misc]
    assert 40 < read_reference(quiet.root / "reference", quiet.data).accuracy.map < 99


# Images


@pytest.mark.parametrize("how", ["k_centre", "random"])
def test_calibration_images_come_from_training_and_are_recorded(quiet, data, how, monkeypatch):
    fed = []
    ours = stage.Quantizer  # type: ignore[attr-defined]

    def watched(graph, images, *more):
        fed.append(images)
        return ours(graph, images, *more)

    monkeypatch.setattr(stage, "Quantizer", watched)
    found = quiet.run(FEW.model_copy(update={"choose": how}))
    assert len({*found.images}) == 20
    assert {*found.images} <= {*data.train.paths}
    assert not {*found.images} & {*data.query.paths, *data.gallery.paths}
    assert {int(path[:2]) for path in found.images} <= set(range(TRAIN))
    places = [data.train.paths.index(path) for path in found.images]
    images = pixels(data.train.subset(np.array(places)))
    assert np.array_equal(fed[0], images)  # the recorded images are those of the ranges
    assert found.images_sha256 == hashlib.sha256(images.tobytes()).hexdigest()


def test_chosen_images_cover_the_others_better_than_random_ones(quiet):
    found = {how: quiet.run(FEW.model_copy(update={"choose": how})).coverage for how in ("k_centre", "random")}
    assert found["k_centre"]["largest_distance"] < 0.7 * found["random"]["largest_distance"]


def test_the_seed_does_not_matter_if_all_images_are_candidates(quiet):
    first, second = (quiet.run(FEW, seed=seed).images for seed in (0, 1))
    assert first == second
    assert quiet.run(FEW.model_copy(update={"choose": "random"}), seed=1).images != first


def test_all_images_are_taken_if_there_are_too_few(quiet, data):
    found = quiet.run(FEW.model_copy(update={"images": 300}))
    assert sorted(found.images) == sorted(data.train.paths)
    assert found.coverage["largest_distance"] == pytest.approx(0, abs=1e-3)


def test_fewer_images_than_the_minimum_are_an_error(quiet, data):
    few = Index(data.train.subset(np.arange(7)), data.query, data.gallery, "other")
    with pytest.raises(TooFewImages, match=r"7 training images, but int8 calibration needs calibrate.min_images \(8\)"):
        quiet.run(FEW, data=few)


# The gate


@pytest.mark.parametrize("activations", ["asymmetric", "symmetric"])
def test_where_the_gate_holds_every_layer_is_int8(quiet, activations):
    found = quiet.run(FEW.model_copy(update={"max_map_drop_points": 5}), activations=activations)
    assert found.holds
    assert (found.float_layers, found.sensitivities, found.layers) == ([], {}, 3)
    assert (found.precision, found.activations, found.judge) == ("int8", activations, "onnxruntime")
    assert found.agreement == found.before_fallback
    assert told(found) == quiet.cost()
    assert unquantised(quiet.out / "model.onnx") == []


def test_layers_that_quantise_badly_go_back_to_float_and_no_others(loud):
    loud.told.clear()
    found = loud.run(FEW)
    assert found.before_fallback["map_drop_points"] > 10
    assert found.float_layers == ["second", "first"]
    assert found.holds
    assert found.agreement["map_drop_points"] <= 2
    assert [*found.sensitivities] == ["second", "first", "head"]
    assert [*found.sensitivities.values()] == sorted(found.sensitivities.values(), reverse=True)
    assert found.sensitivities["first"] > 100 * found.sensitivities["head"]
    assert sorted(unquantised(loud.out / "model.onnx")) == ["first", "second"]  # the file matches the record
    assert told(found) == loud.cost()
    drop = found.before_fallback["map_drop_points"]
    said = f"int8 costs {drop:.2f} mAP points, more than 2: the most sensitive layers return to float"
    assert loud.told == [said]


@pytest.mark.parametrize(("share", "layers"), [(0, []), (0.33, []), (0.34, ["second"])])
def test_a_failed_gate_is_reported_with_the_loss(loud, share, layers):
    found = loud.run(FEW.model_copy(update={"max_float_layers": share}))
    assert not found.holds
    assert found.agreement["map_drop_points"] > 2
    assert found.float_layers == layers
    assert len(found.sensitivities) == 3
    assert (found.agreement == found.before_fallback) == (not layers)
    assert unquantised(loud.out / "model.onnx") == layers
    assert told(found) == loud.cost()


def test_fp16_is_judged_too(quiet):
    found = quiet.run(FEW, halve_graph)
    assert (found.precision, found.judge, found.holds) == ("fp16", "onnxruntime", True)
    assert found.agreement["min_cosine"] > 0.9999
    weights = {tensor.name: tensor.data_type for tensor in onnx.load(quiet.out / "model.onnx").graph.initializer}
    assert weights["second.weight"] == TensorProto.FLOAT16


@pytest.mark.parametrize(("value", "refused"), [(np.nan, False), (0.25, True), (8**-0.5, False)])
def test_embeddings_that_are_not_finite_are_refused_by_the_gate(quiet, tmp_path, monkeypatch, value, refused):
    """Others of the same target may pass; embeddings of a wrong length are a fault in any precision."""

    class Runtime:
        def compile(self, *_): ...

        def load(self, *_):
            return SimpleNamespace(embed=lambda images: np.full((len(images), CHANNELS), value, np.float32))

    monkeypatch.setattr("pipeline.stages.compile.make_target", lambda _: Runtime())
    work = Work(tmp_path, tmp_path, Processes("cpu"), Silent())
    with pytest.raises(CheckFailed, match="of length 0.707, not 1") if refused else nullcontext():
        compile_graph(work, input=SIZE, target=HOST, batches=(1,), tried=True, graph=quiet.root / "graph")


# The splits of the gate


@pytest.fixture
def held_out(data):
    """The data set with a third of its training identities held out."""
    return hold_out(data, Gate(identities=4), needed=2)


@pytest.mark.parametrize("function", [quantize_graph, halve_graph])
def test_layers_and_precisions_are_judged_on_identities_that_are_held_out_and_the_test_set_is_not_read(
    held_out, tmp_path, function
):
    stages = Bench(tmp_path, held_out, loud=True)
    np.save(tmp_path / "reference" / GATE, embed(tmp_path / "graph" / "model.onnx", held_out.gate))
    for name in (QUERY, GALLERY):
        (tmp_path / "reference" / name).unlink()
    gone = [replace(split, root=tmp_path / "gone") for split in (held_out.query, held_out.gallery)]
    blind = replace(held_out, query=gone[0], gallery=gone[1])
    settings = FEW.model_copy(update={"max_map_drop_points": 0.0, "images": 20, "max_float_layers": 0})
    found = stages.run(settings, function, data=blind)
    rows = embed(stages.out / "model.onnx", held_out.gate)
    exact = np.load(tmp_path / "reference" / GATE)
    expected = agreement(*(answer(some, some, *held_out.judged) for some in (exact, rows)))
    assert flat(expected.model_dump()) == [
        *found.agreement["map_drop_interval"], *(v for k, v in found.agreement.items() if k != "map_drop_interval")
    ]  # fmt: skip
    if function is quantize_graph:
        assert not {*found.images} & {*held_out.gate.paths}


# Layers by speed


def test_layers_are_chosen_by_speed_only_on_the_target(quiet, monkeypatch):
    monkeypatch.setattr(stage, "TIMED_SECONDS", 0.5)
    monkeypatch.setenv("ZOO_QUIET_SECONDS", "0")
    fastest = FEW.model_copy(update={"layers": "fastest"})
    assert not hasattr(quiet.run(fastest), "fastest")
    found = quiet.run(fastest, here=True)
    assert {*found.fastest["alone"]} == {"first", "second", "head"}
    assert found.fastest["for_accuracy"] == []
    faster = found.fastest["faster"]
    assert (faster is None) == (found.float_layers == [])
    assert faster is None or faster["low"] > 1
    assert found.agreement["map_drop_points"] <= FEW.max_map_drop_points
    assert quiet.cost() == told(found)
    recorded = Calibration.model_validate({"network": "student", "target": "onnxruntime-cpu", **vars(found)})
    assert recorded.model_dump(mode="json")["fastest"] == found.fastest


def test_a_setting_that_is_not_used_does_not_change_a_recipe():
    assert "layers" not in Calibrate().model_dump()
    assert Calibrate(layers="fastest").model_dump()["layers"] == "fastest"
