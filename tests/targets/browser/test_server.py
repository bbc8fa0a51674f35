"""What the page's server answers, and to whom."""

import http.client
import json
from hashlib import sha256
from importlib.resources import files
from urllib.parse import urlsplit

import pytest

from pipeline.stages.bundle import device_code
from targets.browser.files import SERVED
from targets.browser.server import Server
from targets.carried import CARRIED, carried_version


@pytest.fixture
def server():
    server = Server()
    yield server
    server.close()


def get(server, path=None, host=None, method="GET"):
    address = urlsplit(server.url)
    connection = http.client.HTTPConnection(address.hostname, address.port, timeout=5)
    connection.request(method, address.path if path is None else path, headers={"Host": host} if host else {})
    response = connection.getresponse()
    return response, response.read()


def test_pages_are_isolated_and_may_reach_their_own_server_only(server):
    response, _ = get(server)
    assert response.status == 200
    assert response.headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert response.headers["Cross-Origin-Embedder-Policy"] == "require-corp"
    policy = response.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe-inline" not in policy
    assert "'unsafe-eval'" not in policy
    assert "http" not in policy


@pytest.mark.parametrize("path", ["/", "/measure.html", "/guess/measure.html", "/guess/next"])
def test_who_does_not_know_the_path_gets_nothing(server, path):
    assert get(server, path)[0].status == 404
    assert get(server, path, method="POST")[0].status == 404


def test_a_page_of_another_name_that_leads_here_gets_nothing(server):
    assert get(server, host="evil.example")[0].status == 404


@pytest.mark.parametrize("name", ["../server.py", "ort/../../target.py", "nothing", "", "ort/carried.json"])
def test_only_the_pages_files_are_served(server, name):
    folder = urlsplit(server.url).path.rpartition("/")[0]
    assert get(server, f"{folder}/{name}")[0].status == 404


def test_a_model_is_served_once(server):
    folder = urlsplit(server.url).path.rpartition("/")[0]
    server.offer("models/1", b"content")
    assert get(server, f"{folder}/models/1")[1] == b"content"
    assert get(server, f"{folder}/models/1")[0].status == 404


def test_what_is_carried_is_what_npm_has():
    folder = files("targets").joinpath(CARRIED["onnxruntime-web"].rpartition("/")[0])
    told = json.loads(folder.joinpath("carried.json").read_text())
    there = {path.name for path in folder.iterdir()} - {"carried.json"}
    assert there == {*told["files"]}
    for name, digest in told["files"].items():
        assert sha256(folder.joinpath(name).read_bytes()).hexdigest() == digest
    assert {"LICENSE", "ThirdPartyNotices.txt"} < there
    assert carried_version("onnxruntime-web") == told["version"]
    assert f"ONNX Runtime Web v{told['version']}" in folder.joinpath("ort.wasm.min.js").read_text()
    assert {name.partition("/")[2] for name in SERVED if name.startswith("ort/")} < there


def test_a_bundle_carries_the_runtime_for_a_browser_and_no_other_bundle_does():
    static = {name for name in device_code("onnxruntime-web") if name.startswith("targets/browser/static/")}
    assert {f"targets/browser/static/{name}" for name in SERVED} < static
    assert not [name for name in device_code("onnxruntime") if not name.endswith(".py")]
