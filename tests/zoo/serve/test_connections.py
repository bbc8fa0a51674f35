"""Clients that open many connections, and say little or read nothing, keep no others out."""

import asyncio
import resource
import signal
import socket
import time
from contextlib import ExitStack

import pytest

from tests.zoo.serve.conftest import picture
from tests.zoo.serve.process import process
from zoo.serve.connections import BACKLOG, OTHERS, REFUSED, Connections, room

HEAD = b"POST /v1/embed HTTP/1.1\r\nHost: x\r\n"  # not complete: no empty line
BODY = HEAD + b"Content-Type: image/png\r\nContent-Length: 999\r\n\r\n"  # nothing of it arrives


def opened(stack, client, content=b""):
    connection = stack.enter_context(socket.create_connection(client.address, timeout=30))
    connection.sendall(content)
    return connection


def is_closed(connection):
    """Whether the other side has ended it, after some time."""
    connection.settimeout(5)
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


def until_busy(client, bodies):
    """Wait until requests of so many empty bodies are in progress; over a connection that is there."""
    for _ in range(200):
        client.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        if f"zoo_buffer_bytes {999.0 * bodies}".encode() in client.recv(2**20):
            return
        time.sleep(0.02)
    raise AssertionError("never busy")


@pytest.mark.parametrize("said", [b"", HEAD], ids=["nothing", "half a head"])
def test_connections_without_a_request_give_way_to_new_ones(start, said):
    client = start(connections=4)
    with ExitStack() as stack:
        silent = [opened(stack, client, said) for _ in range(4)]
        assert client.embed_one(picture(1)).status == 200
        assert is_closed(silent[0])
        assert client.embed(picture(1), picture(2)).status == 200  # in the place of the first one
        silent[3].sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n" if not said else b"\r\n")
        assert silent[3].recv(100).startswith(b"HTTP/1.1")  # one gave way, not all


def test_the_connection_that_answered_last_gives_way_last(start):
    client = start(connections=3)
    with ExitStack() as stack:
        first, second, third = (opened(stack, client) for _ in range(3))
        first.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"200 OK" in first.recv(1000)
        opened(stack, client), opened(stack, client)
        assert is_closed(second)
        assert is_closed(third)
        first.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"200 OK" in first.recv(1000)


def test_a_connection_with_a_request_in_progress_does_not_give_way(start):
    client = start(connections=3)
    with ExitStack() as stack:
        asking = opened(stack, client)
        busy = [opened(stack, client, BODY) for _ in range(2)]
        until_busy(asking, 2)
        for _ in range(50):
            opened(stack, client, BODY)  # in the place of the one that asked
            time.sleep(0.05)  # until its head has been read: before, it gives way, too
            answer = client.ask("/healthz")
            if answer.status == 503:
                break
        assert is_closed(asking)
        assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
        assert answer.json["why"] == "It has 3 connections, and each has a request in progress."
        busy[1].close()
        for _ in range(200):
            if client.ask("/healthz").status == 200:
                break
            time.sleep(0.02)
        assert b'zoo_refused_total{reason="connections"}' in client.ask("/metrics").content
        busy[0].sendall(bytes(999))
        assert busy[0].recv(100).startswith(b"HTTP/1.1 415")  # it was received to its end


def test_a_connection_that_is_lost_with_its_request_makes_room(start):
    client = start(connections=3)
    ask = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    with ExitStack() as stack:
        quiet, asking = opened(stack, client, ask), opened(stack, client)
        assert b"200 OK" in quiet.recv(1000)
        lost = opened(stack, client, BODY)
        until_busy(asking, 1)
        lost.close()
        until_busy(asking, 0)
        assert b"200 OK" in opened(stack, client, ask).recv(1000)
        quiet.sendall(ask)
        assert b"200 OK" in quiet.recv(1000)  # it did not give way


def test_a_client_that_reads_no_answers_gives_way(start):
    client = start(connections=1)
    with ExitStack() as stack:
        greedy = stack.enter_context(socket.socket())
        greedy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        greedy.connect(client.address)
        greedy.settimeout(0.2)
        requests = b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * 1_000_000
        with pytest.raises(TimeoutError):  # the server reads no more
            greedy.sendall(requests)
        for _ in range(200):
            if client.ask("/healthz").status == 200:
                break
            time.sleep(0.02)
        else:
            raise AssertionError("it kept others out")


class Wire(asyncio.Transport):
    """A connection's transport; keeps what is written to it."""

    def __init__(self):
        super().__init__()
        self.written, self.aborted = b"", False

    def write(self, data):
        self.written += data

    def abort(self):
        self.aborted = True


def test_only_so_many_refused_connections_get_an_answer():
    async def answers(again):
        serving, wires, told = asyncio.Protocol(), [], []
        connections = Connections(1, told.append)
        new = connections.of(lambda: serving)
        new()

        def refused():
            wires.append(Wire())
            (one := new()).connection_made(wires[-1])
            if wires[-1].aborted:
                one.connection_lost(None)
            return one

        with connections.request(serving):
            first, *_ = [refused() for _ in range(REFUSED + 1)]
            if again:
                first.connection_lost(None)
                refused()
        assert told == ["connections"] * len(wires)
        assert all(one.aborted or b" 503 " in one.written for one in wires)
        return [bool(one.written) for one in wires]

    assert asyncio.run(answers(again=False)) == [True] * REFUSED + [False]
    assert asyncio.run(answers(again=True)) == [True] * REFUSED + [False, True]


def test_files_that_the_system_allows_bound_connections(monkeypatch):
    limits = {"now": (1024, 1024)}
    monkeypatch.setattr(resource, "getrlimit", lambda _: limits["now"])
    monkeypatch.setattr(resource, "setrlimit", lambda _, to: limits.update(now=to))
    most, backlog = room(512)
    assert (most, backlog) == (512, 128)
    most, backlog = room(10_000)
    assert most + 2 * backlog + OTHERS == 1024
    limits["now"] = (256, 1_048_576)
    assert room(512) == (512, BACKLOG)
    assert limits["now"] == (512 + 2 * BACKLOG + OTHERS, 1_048_576)
    limits["now"] = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    assert room(60_000) == (60_000, BACKLOG)


def test_a_system_that_allows_no_more_files_is_taken_as_it_is(monkeypatch):
    """As macOS, whose hard limit is infinite and whose real one is not."""

    def refuse(_, to):
        raise ValueError("current limit exceeds maximum limit")

    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, resource.RLIM_INFINITY))
    monkeypatch.setattr(resource, "setrlimit", refuse)
    most, backlog = room(60_000)
    assert 100 < most + 2 * backlog + OTHERS == 256


@pytest.mark.slow
def test_more_connections_than_open_files(released, tmp_path):
    """Without a limit asyncio writes tracebacks, hundreds a second, and answers nobody."""
    few = ("--connections", "60000")
    with (
        process(released, tmp_path, "--target", "onnxruntime", *few, files=256) as (running, client),
        ExitStack() as stack,
    ):
        told = client.ask("/v1/model").json["limits"]["connections"]
        assert 100 < told < 256
        for _ in range(400):
            opened(stack, client, HEAD)
        assert client.embed_one(picture(1)).status == 200
        running.send_signal(signal.SIGTERM)
        assert running.wait(20) == 0
    assert (tmp_path / "errors").read_text() == ""
