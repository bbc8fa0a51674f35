"""Bad input ends in a 4xx that says what, why and what next; the server goes on."""

import io
import json
import struct
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest
from PIL import Image

from tests.zoo.serve.client import EMBED, form
from tests.zoo.serve.conftest import picture
from zoo.errors import ImageError
from zoo.serve.limits import Limits
from zoo.serve.rates import Rates, client_of
from zoo.serve.refusal import Refusal


def refused(answer, status, *words):
    """The answer is a problem with this status, and some words."""
    assert answer.status == status, answer.content
    assert answer.headers["Content-Type"].startswith("application/json")
    problem = answer.json
    assert set(problem) == {"status", "what", "why", "next"}
    assert problem["status"] == status
    for key in ("what", "why", "next"):
        assert problem[key][0].isupper() or problem[key].startswith("/")
        assert problem[key].endswith(".")
        assert "\n" not in problem[key]
    for word in words:
        assert word in " ".join(map(str, problem.values()))
    return answer


def a_bomb(width, height):
    """A PNG of some bytes that promises many pixels."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(10))) + chunk(b"IEND", b"")


def a_float_tiff():
    content = io.BytesIO()
    Image.new("F", (4, 4)).save(content, "TIFF")
    return content.getvalue()


@pytest.mark.parametrize(
    ("content", "status", "words"),
    [
        (b"", 422, "Image 0 is empty"),
        (b"hello", 415, "JPEG, PNG, WEBP"),
        (a_float_tiff(), 415, "JPEG, PNG, WEBP"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", 415, "JPEG, PNG, WEBP"),
        (picture(1)[:-40], 422, "can't be decoded"),
        (picture(1, form="JPEG")[:200], 422, "can't be decoded"),
        (a_bomb(5000, 4000), 413, "It has 20.0 megapixels; the limit is 16"),
        (a_bomb(12_000, 8_000), 413, "megapixels"),  # above what Pillow warns of
        (a_bomb(100_000, 100_000), 413, "megapixels"),  # above what Pillow refuses
    ],
    ids=["empty", "text", "tiff", "postscript", "cut-png", "cut-jpeg", "large", "warned", "bomb"],
)
def test_images_that_are_none(server, content, status, words):
    refused(server.embed_one(content), status, words)
    refused(server.embed(picture(1), content), status, words.replace("Image 0", "Image 1"))
    assert server.embed_one(picture(1)).status == 200


@pytest.mark.parametrize(
    ("kind", "status"),
    [("text/plain", 415), ("application/json", 415), ("multipart/mixed; boundary=edge", 415), ("image/tiff", 415)],
)
def test_other_content_types(server, kind, status):
    refused(server.embed_one(picture(1), kind), status, kind.partition(";")[0])


def nested():
    inner = b"--in\r\nContent-Disposition: form-data\r\n\r\nx\r\n--in--\r\n"
    return b"--edge\r\nContent-Type: multipart/mixed; boundary=in\r\n\r\n" + inner + b"\r\n--edge--\r\n"


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (form(picture(1))[0], "multipart/form-data", 400),
        (form(picture(1))[0], f"multipart/form-data; boundary={'x' * 99}", 400),
        (form(picture(1))[0], "multipart/form-data; boundary=other", 400),
        (form(picture(1))[0][:-100], "multipart/form-data; boundary=edge", 400),
        (b"", "multipart/form-data; boundary=edge", 400),
        (b"x" * 300_000, "multipart/form-data; boundary=edge", 400),
        (b"--edge\r\n" + b"A: b\r\n" * 500 + b"\r\nx\r\n--edge--\r\n", "multipart/form-data; boundary=edge", 400),
        (nested(), "multipart/form-data; boundary=edge", 400),
        (b"--edge--\r\n", "multipart/form-data; boundary=edge", 422),
    ],
    ids=["no boundary", "long", "other", "cut", "empty", "no line", "headers", "nested", "no part"],
)
def test_forms_that_are_none(server, body, kind, status):
    refused(server.ask(EMBED, "POST", body, Content_Type=kind), status, "form")
    assert server.embed(picture(1)).status == 200


def test_compressed_bodies_are_not_unpacked(server):
    import gzip

    bomb = gzip.compress(bytes(50_000_000))
    refused(server.embed_one(bomb, Content_Encoding="gzip"), 415, "Content-Encoding")


def test_no_form_of_the_answer_is_acceptable(server):
    refused(server.embed_one(picture(1), Accept="text/html"), 406, "application/octet-stream")
    refused(server.embed_one(picture(1), Accept="application/json;q=0"), 406)


def test_other_paths_and_methods(server):
    refused(server.ask("/"), 404, "/openapi.json")
    answer = refused(server.ask(EMBED), 405, "/openapi.json")
    assert answer.headers["Allow"] == "POST"
    refused(server.ask("/healthz", "POST", b""), 405)
    refused(server.ask("/v1/embed/../../etc/passwd"), 404)


def test_what_is_not_http(server):
    assert server.send(b"hello\r\n\r\n").startswith(b"HTTP/1.0 400")
    assert (
        b" 400 " in server.send(b"POST /v1/embed HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n").split(b"\r\n")[0]
    )
    assert b" 400 " in server.send(b"GET /" + b"x" * 99_999 + b" HTTP/1.1\r\nHost: x\r\n\r\n").split(b"\r\n")[0]
    assert server.ask("/healthz").status == 200


def test_too_large_a_body(start):
    client = start(body_mib=1, buffer_mib=4)
    large = bytes(2**20 + 1)
    refused(client.embed_one(large), 413, "The limit is 1 MiB.")
    parts = (bytes(2**16) for _ in range(40))  # its length is not known before
    chunked = client.ask(EMBED, "POST", parts, Content_Type="image/png", Transfer_Encoding="chunked")
    refused(chunked, 413, "The limit is 1 MiB.")
    refused(client.embed(*[picture(1)] * 4, bytes(2**20)), 413, "The limit is 1 MiB.")
    assert client.embed_one(picture(1)).status == 200


def test_too_many_images(start):
    client = start(images=3)
    assert client.embed(*[picture(1)] * 3).status == 200
    refused(client.embed(*[picture(1)] * 4), 413, "The limit is 3.")


def test_a_body_that_does_not_arrive(start):
    client = start(receive_seconds=0.2)
    head = b"POST /v1/embed HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nContent-Length: 999\r\n\r\n"
    begun = time.monotonic()
    answer = client.send(head + b"a few")
    assert time.monotonic() - begun < 15
    assert answer.startswith(b"HTTP/1.1 408")
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["what"] == "The body did not arrive in time."


def test_bodies_of_all_requests_are_bounded(start):
    client = start(body_mib=1, buffer_mib=1)
    import socket

    head = b"POST /v1/embed HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nContent-Length: 1000000\r\n\r\n"
    with socket.create_connection(client.address) as slow:
        slow.sendall(head)  # the whole of it counts at once
        client.wait_for("zoo_buffer_bytes 1e+06")
        answer = refused(client.embed_one(bytes(400_000)), 503, "1 MiB")
        assert answer.headers["Retry-After"] == "1"
    client.wait_for("zoo_buffer_bytes 0.0")  # the memory of a client that is gone is free again
    refused(client.embed_one(bytes(400_000)), 415)


class Held:
    """A model that computes only when it is let."""

    def __init__(self, model):
        self._model, self.let = model, Event()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.let.set()

    def __getattr__(self, name):
        return getattr(self._model, name)

    def embed_pixels(self, pixels):
        assert self.let.wait(30)
        return self._model.embed_pixels(pixels)


def test_a_client_that_leaves_while_it_sends_is_no_failure(start, caplog):
    import socket

    client = start()
    part = form(picture(1))[0][:200]
    kinds = {b"image/png": b"a few", b"multipart/form-data; boundary=edge": part}
    for kind, some in kinds.items():
        head = b"POST /v1/embed HTTP/1.1\r\nHost: x\r\nContent-Length: 999\r\nContent-Type: " + kind + b"\r\n\r\n"
        with socket.create_connection(client.address) as impatient:
            impatient.sendall(head + some)
            client.wait_for("zoo_buffer_bytes 999.0")
        told = client.wait_for("zoo_buffer_bytes 0.0")
        assert b'status="500"' not in told
        assert b"zoo_refused_total{" not in told
    assert caplog.text == ""


def test_a_full_queue(start, model):
    held = Held(model)
    client = start(held, queue=4, images=4)
    with ThreadPoolExecutor(4) as others, held:
        waiting = [others.submit(client.embed_one, picture(seed)) for seed in range(4)]
        client.wait_for("zoo_queue_images 4.0")
        answer = refused(client.embed_one(picture(1)), 503, "The queue holds 4 images")
        assert int(answer.headers["Retry-After"]) >= 1
        head = b"POST /v1/embed HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nContent-Length: 999\r\n\r\n"
        assert client.send(head).startswith(b"HTTP/1.1 503")  # before its body is read
        refused(client.ask("/readyz"), 503)
        assert client.ask("/healthz").status == 200
        held.let.set()
        assert [one.result().status for one in waiting] == [200] * 4
    assert client.ask("/readyz").status == 200
    assert client.embed_one(picture(1)).status == 200


def test_the_work_for_a_client_that_is_gone_is_dropped(start, model):
    import socket

    held = Held(model)
    client = start(held, queue=4, images=4)
    body, kind = form(*[picture(1)] * 4)
    head = f"POST /v1/embed HTTP/1.1\r\nHost: x\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    with socket.create_connection(client.address) as impatient:
        impatient.sendall(head.encode() + body)
        client.wait_for("zoo_queue_images 4.0")
    client.wait_for("zoo_queue_images 0.0")
    held.let.set()
    assert client.embed_one(picture(1)).status == 200


def test_a_client_that_sends_too_many(start):
    client = start(rate=2)
    answers = [client.embed_one(picture(1)) for _ in range(5)]
    assert [one.status for one in answers[:2]] == [200, 200]
    refused(answers[-1], 429, "The limit is 2 per second.")
    assert answers[-1].headers["Retry-After"] == "1"
    assert [client.ask(path).status for path in ("/healthz", "/readyz", "/metrics") * 3] == [200] * 9  # probes are free


def test_rates_are_per_client_and_refill():
    now = [0.0]
    rates = Rates(2, lambda: now[0])

    def allowed(client):
        try:
            rates.take(client)
        except Refusal:
            return False
        return True

    assert [allowed("a") for _ in range(3)] == [True, True, False]
    assert allowed("b")
    now[0] = 0.5
    assert [allowed("a") for _ in range(2)] == [True, False]
    now[0] = 99
    assert [allowed("a") for _ in range(3)] == [True, True, False]


def test_a_client_is_an_address_or_a_network_of_ipv6():
    assert client_of("10.0.0.1") != client_of("10.0.0.2")
    assert client_of("2001:db8::1") == client_of("2001:db8::2") == "2001:db8::/64"
    assert client_of("2001:db8:0:1::1") != client_of("2001:db8::1")
    assert client_of("::ffff:10.0.0.1") == "10.0.0.1"
    assert client_of(None) == "unknown"


def test_clients_that_are_remembered_are_bounded(monkeypatch):
    monkeypatch.setattr("zoo.serve.rates.CLIENTS", 3)
    rates = Rates(1, lambda: 0.0)
    for number in range(9):
        rates.take(str(number))
    assert len(rates._buckets) == 3


class Broken(Held):
    """A model whose embedding of a dark image is not finite, and that fails on a white one."""

    def embed_pixels(self, pixels):
        if (pixels == 255).all((1, 2, 3)).any():
            raise RuntimeError("the device is lost\nat 0x123")
        if (pixels == 0).all((1, 2, 3)).any():
            raise ImageError("image 0: its embedding is not finite. Use another target.")
        return self._model.embed_pixels(pixels)


def plain(colour):
    content = io.BytesIO()
    Image.new("RGB", (40, 30), colour).save(content, "PNG")
    return content.getvalue()


def test_an_image_without_embedding_fails_alone(start, model):
    client = start(Broken(model), wait_ms=200)
    with ThreadPoolExecutor(4) as others:
        answers = list(others.map(client.embed_one, [picture(1), plain("black"), picture(2), picture(3)]))
    assert [one.status for one in answers] == [200, 422, 200, 200]
    refused(answers[1], 422, "not finite")
    refused(client.embed(picture(1), plain("black")), 422, "Image 1 has no embedding")


def test_a_runtime_that_fails_is_told_and_may_recover(start, model):
    client = start(Broken(model))
    refused(client.embed_one(plain("white")), 500, "--verbose")
    refused(client.ask("/readyz"), 503, "The device is lost.")
    assert client.embed_one(picture(1)).status == 200
    assert client.ask("/readyz").status == 200


def test_limits_that_exclude_each_other():
    assert Limits().problem() is None
    assert "--queue 64" in (Limits(queue=10).problem() or "")
    assert "--buffer-mib 16" in (Limits(buffer_mib=8).problem() or "")
