"""`zoo serve` as a process: how it starts, what stops it from starting, and how it ends."""

import http.client
import json
import signal
import socket
import time

import pytest
from click.testing import CliRunner

from tests.zoo.serve.client import EMBED
from tests.zoo.serve.conftest import picture
from tests.zoo.serve.process import process
from zoo.cli import main
from zoo.serve.limits import Limits


def refused(*arguments):
    result = CliRunner().invoke(main, ["serve", *arguments], catch_exceptions=False)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) <= 2
    return result.stderr


def test_requests_in_progress_are_answered_after_sigterm(released, tmp_path):
    with process(released, tmp_path, "--target", "onnxruntime") as (running, client):
        image = picture(1, (300, 300))
        connection = http.client.HTTPConnection(client.address[0], client.address[1], timeout=30)
        connection.putrequest("POST", EMBED)
        connection.putheader("Content-Type", "image/png")
        connection.putheader("Content-Length", str(len(image)))
        connection.endheaders(image[:1000])
        idle = socket.create_connection(client.address)
        kept = http.client.HTTPConnection(client.address[0], client.address[1], timeout=30)
        kept.request("GET", "/readyz")
        assert kept.getresponse().read() == b'{"status": "ready"}'
        running.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        with pytest.raises(OSError, match="refused"):
            client.ask("/healthz")
        kept.request("POST", EMBED, image, {"Content-Type": "image/png"})
        refused = kept.getresponse()
        assert (refused.status, refused.headers["Connection"], refused.headers["Retry-After"]) == (503, "close", "5")
        assert json.loads(refused.read())["what"] == "The server is shutting down."
        connection.send(image[1000:])
        answer = connection.getresponse()
        assert answer.status == 200, answer.read()
        assert len(json.loads(answer.read())["embeddings"]) == 1
        connection.close()
        assert running.wait(20) == 0
        assert idle.recv(10) == b""
        idle.close()
    assert (tmp_path / "errors").read_text() == ""


def test_clients_that_are_wrong_or_leave_write_nothing(released, tmp_path):
    head = b"POST /v1/embed HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\n"
    with process(released, tmp_path, "--target", "onnxruntime") as (running, client):
        for text in (b"hello\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", head + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n"):
            assert b" 400 " in client.send(text)
        with socket.create_connection(client.address) as leaving:
            leaving.sendall(head + b"Content-Length: 999\r\n\r\na few")
            time.sleep(0.1)
        assert client.embed_one(picture(1)).status == 200
        running.send_signal(signal.SIGTERM)
        assert running.wait(20) == 0
    assert (tmp_path / "errors").read_text() == ""


def test_the_access_log_is_json_on_standard_error(released, tmp_path):
    with process(released, tmp_path, "--access-log", "--target", "onnxruntime") as (running, client):
        client.embed(picture(1), picture(2))
        client.ask("/a\tb%0A?token=secret".replace("\t", "%09"))
        running.send_signal(signal.SIGINT)
        assert running.wait(20) == 0
    first, second = map(json.loads, (tmp_path / "errors").read_text().splitlines())
    assert set(first) == {"time", "client", "method", "path", "status", "images", "bytes", "ms"}
    assert (first["status"], first["images"]) == (200, 2)
    assert (second["path"], second["status"]) == ("/a\tb\n", 404)


def test_a_port_in_use(released):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = refused(str(released), "--port", str(port))
    assert said == (
        f"Error: port {port} of 127.0.0.1 is in use. "
        f"Stop the program that uses it, or take another: --port {port + 1}\n"
    )


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--host", "nowhere.invalid"), "the host 'nowhere.invalid' is unknown"),
        (("--host", "192.0.2.1"), "this machine has no address 192.0.2.1"),
        (("--queue", "3"), "--queue 64, or --max-images 3"),
        (("--buffer-mib", "3"), "--buffer-mib 16, or --max-mib 3"),
    ],
)
def test_what_it_refuses(released, options, words):
    assert words in refused(str(released), "--port", "0", *options)


def test_an_unknown_release(tmp_path, monkeypatch):
    monkeypatch.setenv("ZOO_HOME", str(tmp_path))
    assert "nothing" in refused("nothing", "--port", "0")


def test_without_the_extra(released, monkeypatch):
    monkeypatch.setattr("zoo.serve.run.find_spec", lambda _: None)
    assert "[serve]" in refused(str(released), "--port", "0")


def test_every_limit_has_an_option_with_its_default():
    options = {option.name: option for option in main.commands["serve"].params}
    for name, value in vars(Limits()).items():
        assert options[name].default == value or value is None, name
