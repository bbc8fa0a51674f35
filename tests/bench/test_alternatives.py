"""Networks of other packages beside ours: only known archives are run, exports embed as zoo does, and the table."""

import io
import tarfile
import zipfile
from collections import defaultdict
from dataclasses import replace
from hashlib import sha256

import numpy as np
import onnxruntime
import pytest
import safetensors.torch
import torch

from bench import contenders, published
from bench.alternatives import Figures, Quantised, contests, figures, main, read_options, table
from bench.contenders import CONTENDERS, Contender, Normalised, Setting, add, export, prepare, write_onnx
from bench.row_times import RowTimes, time_release
from pipeline.data.images import Input
from pipeline.networks.factory import Network, build_network
from pipeline.networks.serialization import save_network
from pipeline.progress import Silent
from pipeline.stages.export import deployed
from tests.helpers import alive_network, random_images, settle
from zoo.catalogue import load_catalogue
from zoo.errors import ZooError
from zoo.home import Home

OSNET = """
from torch import nn

class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 3, 4, bias=False)
        self.fc, self.classifier = nn.Linear(8, 8), nn.Linear(8, 1)

    def featuremaps(self, x):
        return self.conv1(x)

def osnet_x0_25(num_classes, pretrained):
    assert not pretrained
    return Small()
"""
MOBILENET = """
from torch import nn

class MobileNetV2_bottle(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Conv2d(3, 16, 3, 8), nn.AdaptiveAvgPool2d(1), nn.Flatten())
"""


@pytest.fixture
def packages(tmp_path, monkeypatch):
    """Archives like the published ones, with small networks."""
    folder = tmp_path / "packages"
    folder.mkdir()
    with tarfile.open(folder / published.TORCHREID.file, "w:gz") as archive:
        member = tarfile.TarInfo(published.TORCHREID.module)
        member.size = len(OSNET.encode())
        archive.addfile(member, io.BytesIO(OSNET.encode()))
    torch.manual_seed(0)
    scope: dict = {}
    exec(MOBILENET, scope)
    weights = io.BytesIO()
    torch.save(scope["MobileNetV2_bottle"]().state_dict(), weights)
    with zipfile.ZipFile(folder / published.DEEPSORT.file, "w") as wheel:
        wheel.writestr(published.DEEPSORT.module, MOBILENET)
        wheel.writestr(published.DEEPSORT.weights, weights.getvalue())
    for name in ("TORCHREID", "DEEPSORT"):
        known = getattr(published, name)
        digest = sha256((folder / known.file).read_bytes()).hexdigest()
        monkeypatch.setattr(published, name, replace(known, sha256=digest))
    return folder


def test_an_archive_of_other_content_is_not_run(packages):
    path = packages / published.TORCHREID.file
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(ZooError, match="is not torchreid 0.2.5 of PyPI: its sha256 is .*none of its code is run"):
        published.register_osnet(packages)


def test_a_missing_archive_names_the_command_that_gets_it(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.argv", ["alternatives", "--packages", str(tmp_path)])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert "No such file or directory. Get it: pip download" in str(stopped.value)
    assert f"--dest {tmp_path} torchreid==0.2.5" in str(stopped.value)


@pytest.fixture
def registry(monkeypatch):
    """timm's registry as it was, after a test."""
    from timm.models import _registry

    for name in ("_model_entrypoints", "_model_to_module"):
        monkeypatch.setattr(_registry, name, dict(getattr(_registry, name)))
    modules = {key: set(value) for key, value in _registry._module_to_models.items()}
    monkeypatch.setattr(_registry, "_module_to_models", defaultdict(set, modules))


def test_osnet_is_built_and_saved_like_a_network_of_timm(packages, registry, tmp_path):
    published.register_osnet(packages)
    network, size = Network(architecture=published.OSNET, last_stride=2, embedding=16), Input(height=16, width=32)
    embedder = settle(build_network(network, size), size)
    assert "backbone.osnet.conv1.weight" in embedder.state_dict()
    assert not [name for name in embedder.state_dict() if "fc" in name or "classifier" in name]
    save_network(tmp_path, embedder, network, size)
    assert safetensors.torch.load_file(tmp_path / "network.safetensors").keys() == embedder.state_dict().keys()


def test_an_exported_network_embeds_as_it_does_in_zoo(tmp_path):
    embedder = alive_network()
    size = embedder.size
    write_onnx(Normalised(embedder), size.height, size.width, tmp_path / "net.onnx")
    images = random_images(3)
    mean, std = (np.array(one, np.float32) for one in size.normalisation)
    normalised = ((images / np.float32(255) - mean) / std).transpose(0, 3, 1, 2)
    (found,) = onnxruntime.InferenceSession(tmp_path / "net.onnx").run(None, {"input": normalised})
    with torch.inference_mode():
        expected = deployed(embedder)(torch.from_numpy(images)).numpy()
    assert np.allclose(found / np.linalg.norm(found, axis=1, keepdims=True), expected, atol=1e-5)


def row(name, seed, accuracy, **int8):
    quantised = {target.replace("_", "-"): Quantised(one, 70.0, 1000, 0, 20, one > 80) for target, one in int8.items()}
    return Figures(name, seed, f"{name}@1", "0", 96, 96, accuracy, 75.0, 200_136, 82_314_880, quantised)


def test_the_table_has_a_row_for_each_network_with_the_spread_of_its_seeds():
    found = [row("osnet-96x96", seed, 80.0 + seed, openvino_cpu=80.5 - seed) for seed in (0, 1)]
    found.append(row("mobilenetv2-deepsort", None, 40.0, onnxruntime_cpu=81.0))
    lines = table(found).splitlines()
    assert len(lines) == 4
    assert "| 40.00 | 75.00 |  | 81.00 | 0.2 M | 82.3 M | – |" in lines[2]
    assert "| 80.50 ± 0.71 | 75.00 ± 0.00 | 80.00 ± 0.71 (gate fails: 1) |  | 0.2 M | 82.3 M | 2 |" in lines[3]


def test_unreliable_times_are_marked():
    found = [row("osnet-96x96", None, 80.0)]
    times = [
        RowTimes("osnet-96x96@1", "openvino-cpu", 2, {"fp32": 1.0, "int8": 0.5}, None, {}),
        RowTimes("osnet-96x96@1", "onnxruntime-cpu", 2, {"fp32": 2.0}, "other work", {}),
    ]
    assert "| 1.00, 0.50 | 2.00, – (unreliable) |" in table(found, times)


def test_published_networks_come_once_and_trained_ones_with_each_seed():
    options = read_options(["--only", "osnet-96x96", "mobilenetv2-deepsort", "--seeds", "2"])
    assert [(one.name, seed) for one, seed in contests(options)] == [
        ("mobilenetv2-deepsort", None),
        ("osnet-96x96", 0),
        ("osnet-96x96", 1),
    ]


@pytest.mark.parametrize("given", ["osnet-96x96", "mobilenetv2-deepsort=folder", "nonsense=folder"])
def test_a_folder_needs_the_name_of_a_trained_network(given, capsys):
    with pytest.raises(SystemExit):
        read_options(["--trained", given])
    assert f"--trained {given}: write NAME=FOLDER, with a network that is trained" in capsys.readouterr().err


def test_folders_have_networks_and_each_is_for_a_seed(tmp_path, capsys):
    one = ("--trained", f"osnet-96x96={tmp_path}")
    with pytest.raises(SystemExit):
        read_options(one)
    assert f"{tmp_path} has no network.json: give what stage compact or teacher wrote" in capsys.readouterr().err
    (tmp_path / "network.json").touch()
    assert read_options(one).trained == {"osnet-96x96": [tmp_path]}
    with pytest.raises(SystemExit):
        read_options([*one, *one, "--seeds", "1"])
    assert "there are more folders of osnet-96x96 than --seeds 1" in capsys.readouterr().err


def test_all_recipes_of_the_comparison_are_in_the_catalogue():
    catalogue = load_catalogue()
    recipes = {one.name: catalogue.recipe(one.recipe, one.overrides) for one in CONTENDERS if one.recipe}
    ours = recipes["resnet18-student"]
    epochs = ours.teacher.epochs + ours.distill.epochs
    osnet = recipes["osnet-96x96"]
    assert (osnet.teacher.epochs, osnet.input, osnet.sampling) == (epochs, ours.input, ours.sampling)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_networks_are_trained_added_and_timed(workshop, packages, registry, monkeypatch):
    monkeypatch.setenv("ZOO_CATALOGUE", str(workshop.catalogue))
    monkeypatch.setenv("ZOO_QUIET_SECONDS", "0")
    published.register_osnet(packages)
    short = ("calibrate.images=8", "calibrate.min_images=4", "gate.identities=2", "measure.calls=5")
    monkeypatch.setattr(contenders, "BRIEF", short)
    dataset = load_catalogue().models["tiny"].dataset
    targets = ("onnxruntime-cpu",)
    setting = Setting(
        load_catalogue(),
        Home(workshop.home),
        workshop.root / "data",
        dataset,
        packages,
        targets,
        "cpu",
        Silent(),
    )
    osnet = Contender(
        "osnet",
        "OSNet",
        "random",
        "MIT",
        "",
        "",
        "tiny",
        (f"network.architecture={published.OSNET}", "network.last_stride=2"),
        "teacher",
    )
    seen = []
    for one, seed in ((osnet, 0), (CONTENDERS[0], None)):
        folder = contenders.train(one, 0, setting) if one.recipe else None
        exported = export(one, seed, folder, setting)
        build = prepare(one, seed, exported, setting)
        seen.append(figures(one, seed, exported.file, add(build, setting)))
        (times,) = time_release(build, Silent())
        assert {*times.p50_ms} == {"fp32", "int8"}
    assert [one.release for one in seen] == ["osnet-0@1.0.0", "mobilenetv2-deepsort@1.0.0"]
    assert all({*one.int8} == {*targets} for one in seen)
    assert (seen[1].height, seen[1].width) == (224, 224)
