"""Registry servers are untrusted: no more is read, or waited for, than was requested."""

import gzip
import os
import ssl
import time
import tracemalloc
from contextlib import suppress
from http.server import ThreadingHTTPServer
from importlib.util import find_spec
from threading import Event, Thread

import aiohttp
import fsspec
import pytest

from tests.zoo.registry.conftest import Quiet
from tests.zoo.registry.hub_registry import imported_anew
from zoo.errors import RegistryError
from zoo.registry.cache import Cache
from zoo.registry.download import fetch
from zoo.registry.index import INDEX, Blob
from zoo.registry.places.by_url import open_place
from zoo.registry.places.patience import ATTEMPTS
from zoo.registry.places.place import GivenUp, check_redirects

PATTERN = os.urandom(2**16)
PART = 5000  # bytes requested
BLOB = Blob(sha256="0" * 64, size_bytes=PART)
HUB_ANSWER = b'{"id": "team/nets", "sha": "%s"}' % (b"a" * 40)


def part_of_pattern(start, end):
    return (PATTERN * (end // len(PATTERN) + 1))[start:end]


class Hostile:
    """Responses in place of files.

    Attributes:
        asked: paths, in order.
        sent_bytes: of bodies without an end.
        hung_up: that the client closed the connection.
    """

    def __init__(self) -> None:
        self.asked, self.sent_bytes, self.hung_up = [], 0, Event()

    def answer(self, request) -> None:
        """Send the response."""

    def forever(self, request, body, pause=0.0) -> None:
        """Repeat until the client hangs up."""
        with suppress(OSError):
            while True:
                request.wfile.write(body)
                self.sent_bytes += len(body)
                time.sleep(pause)
        self.hung_up.set()


class Endless(Hostile):
    """A body without an end."""

    def __init__(self, head=b"200 OK", body=PATTERN, pause=0.0) -> None:
        super().__init__()
        self.head, self.body, self.pause = head, body, pause

    def answer(self, request) -> None:
        request.wfile.write(b"HTTP/1.1 %s\r\n\r\n" % self.head)
        self.forever(request, self.body, self.pause)


class Says(Hostile):
    """The same few bytes, always."""

    def __init__(self, head, body=b"") -> None:
        super().__init__()
        self.content = b"HTTP/1.1 %s\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s" % (head, len(body), body)

    def answer(self, request) -> None:
        request.wfile.write(self.content)


def slow():
    return Endless(b"200 OK\r\nContent-Length: 100000", b" ", 0.02)


@pytest.fixture
def url_of(serve, tmp_path):
    def start(hostile):
        def do_get(request):
            request.close_connection = True
            if request.path.startswith("/api/"):  # the Hub is asked for the newest commit
                Says(b"200 OK", HUB_ANSWER).answer(request)
                return
            hostile.asked.append(request.path)
            hostile.answer(request)

        return serve(tmp_path, type("Handler", (Quiet,), {"do_GET": do_get}))

    return start


@pytest.fixture
def web(url_of):
    return lambda hostile: open_place(url_of(hostile))


@pytest.fixture
def s3(url_of, monkeypatch):
    s3fs = pytest.importorskip("s3fs")

    def start(hostile):
        keys = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_DEFAULT_REGION": "us-east-1"}
        for name, value in {**keys, "AWS_ENDPOINT_URL": url_of(hostile)}.items():
            monkeypatch.setenv(name, value)
        s3fs.S3FileSystem.clear_instance_cache()
        place = open_place("s3://bucket/folder")
        place._files.connect()  # type: ignore[attr-defined]  # reads what S3 is: a second
        return place

    yield start
    s3fs.S3FileSystem.clear_instance_cache()


@pytest.fixture
def hub(url_of, monkeypatch, tmp_path):
    pytest.importorskip("huggingface_hub")
    with imported_anew("huggingface_hub"):

        def start(hostile):
            settings = {"HF_ENDPOINT": url_of(hostile), "HF_HOME": str(tmp_path / "hub"), "HF_HUB_OFFLINE": "0"}
            for name, value in {**settings, "NO_PROXY": "127.0.0.1", "HF_HUB_DISABLE_TELEMETRY": "1"}.items():
                monkeypatch.setenv(name, value)
            return open_place("hf://datasets/team/nets")

        yield start


@pytest.fixture
def old_hub(hub, monkeypatch):
    """Requests as by huggingface_hub before 1.0."""
    requests = pytest.importorskip("requests")

    def start(hostile):
        place = hub(hostile)
        monkeypatch.setattr(place._utils, "get_session", requests.Session)
        monkeypatch.setattr(place._utils, "hf_raise_for_status", lambda answer: answer.raise_for_status())
        return place

    return start


@pytest.fixture
def oci(url_of, monkeypatch):
    pytest.importorskip("oras")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return lambda hostile: open_place(url_of(hostile).replace("http:", "oci:") + "/team/nets")


@pytest.fixture(params=["web", "s3", "hub", "old_hub", "oci"])
def place_of(request):
    return request.getfixturevalue(request.param)


def refused(place, cache, blob=BLOB):
    """The error for a blob that can't be downloaded, in one line."""
    with pytest.raises(RegistryError) as caught:
        fetch(blob, [place], cache, lambda _: None)
    assert str(caught.value).isprintable()
    return str(caught.value)


@pytest.fixture
def cache(home):
    return Cache(home.cache)


@pytest.mark.parametrize("status", [b"200 OK", b"206 Partial Content\r\nContent-Range: bytes 8000000-8004999/9000000"])
def test_an_endless_body_is_read_only_as_far_as_requested(place_of, status):
    hostile, start = Endless(status), 8_000_000
    place, first = place_of(hostile), start if status.startswith(b"200") else 0
    tracemalloc.start()
    try:
        content, (_, peak) = place.fetch(BLOB.path, start, start + PART), tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert content == part_of_pattern(first, first + PART)
    assert peak < 4_000_000
    assert hostile.hung_up.wait(5)
    assert hostile.sent_bytes < first + 30_000_000  # buffers of the system


def test_a_small_file_without_an_end_is_refused(place_of):
    hostile = Endless()
    with pytest.raises(RegistryError, match="index.json of .* exceeds the limit of 1 MB"):
        place_of(hostile).read(INDEX, 1_000_000)
    assert hostile.hung_up.wait(5)


def test_an_endless_error_body_is_not_read_completely(hub):
    hostile = Endless(b"500 Internal Server Error")
    with pytest.raises(OSError, match="500"):
        hub(hostile).fetch(BLOB.path, 0, PART)
    assert hostile.hung_up.wait(5)


def test_compressed_responses_are_refused(place_of, cache):
    hostile = Says(b"206 Partial Content\r\nContent-Encoding: gzip", gzip.compress(b"x" * PART))
    place = place_of(hostile)
    assert r"the server compresses its response (gzip)" in refused(place, cache)
    assert len(hostile.asked) == 1  # a retry would be compressed again
    with pytest.raises(RegistryError, match=r"can't be used: the server compresses its response \(gzip\)"):
        place.read(INDEX, PART)


@pytest.fixture
def impatient(monkeypatch):
    for module in ("web", "s3", "hub"):
        monkeypatch.setattr(f"zoo.registry.places.{module}.FILE_SECONDS", 0.5)
        monkeypatch.setattr(f"zoo.registry.places.{module}.PART_SECONDS", 0.5)
    if find_spec("oras"):
        monkeypatch.setattr("zoo.registry.places.oci_client.FILE_SECONDS", 0.5)
        monkeypatch.setattr("zoo.registry.places.oci_connection.FILE_SECONDS", 0.5)
        monkeypatch.setattr("zoo.registry.places.oci.PART_SECONDS", 0.5)
    monkeypatch.setattr("zoo.registry.places.hub.PIECE", 1)


@pytest.mark.timeout(30)
def test_a_very_slow_server_is_given_up(place_of, cache, impatient):
    hostile = slow()
    place = place_of(hostile)
    assert "the transfer took longer than 0.5 s" in refused(place, cache)
    assert len(hostile.asked) == 1  # eight times the time would be a long time
    with pytest.raises(RegistryError, match="can't be used: the transfer took longer than"):
        place.read(INDEX, PART)


@pytest.mark.timeout(30)
@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes that have a name")
@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: path.symlink_to("/dev/zero")])
def test_only_regular_files_are_read(folder, cache, make):
    for path in (folder.root / INDEX, folder.root / BLOB.path):
        path.parent.mkdir(parents=True, exist_ok=True)
        make(path)
    with pytest.raises(RegistryError, match=r"can't be used: index.json is not a regular file\."):
        folder.read(INDEX, 1_000_000)
    assert f"{BLOB.sha256} is not a regular file" in refused(folder, cache)


def test_a_servers_reason_is_printed_without_control_characters(web, cache, monkeypatch):
    monkeypatch.setattr("zoo.registry.places.patience.LONGEST_PAUSE", 0.001)
    hostile = Says(b"500 \x1b]0;PWN\x07\x1b[2J" + b"so " * 1000)
    place = web(hostile)
    told = refused(place, cache)
    assert "HTTP 500 ?]0;PWN??[2Jso so" in told
    assert len(told) < 400
    assert len(hostile.asked) == ATTEMPTS  # a retry may help
    with pytest.raises(RegistryError, match="HTTP 500") as caught:
        place.read(INDEX, PART)
    assert str(caught.value).isprintable()


@pytest.fixture
def tls(tmp_path):
    """A server with a certificate that nobody signed; its URL redirects to another."""
    x509 = pytest.importorskip("cryptography.x509")
    from datetime import datetime, timedelta, timezone

    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(timezone.utc)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    signed = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + timedelta(days=1)).sign(
        key, hashes.SHA256()
    )
    pem = serialization.Encoding.PEM
    (tmp_path / "server.pem").write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + signed.public_bytes(pem)
    )
    servers = []

    def start(target):
        def do_get(request):
            request.send_response(302)
            request.send_header("Location", target + request.path)
            request.end_headers()

        server = ThreadingHTTPServer(("127.0.0.1", 0), type("Redirects", (Quiet,), {"do_GET": do_get}))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tmp_path / "server.pem")
        server.socket = context.wrap_socket(server.socket, server_side=True)
        Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        servers.append(server)
        return f"https://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def unverified(url):
    """A place that accepts any certificate."""

    async def client(**settings):
        return aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=False), auto_decompress=False)

    place = open_place(url)
    place._files = fsspec.filesystem("http", skip_instance_cache=True, get_client=client)  # type: ignore[attr-defined]
    return place


def test_a_redirect_that_leaves_https_is_refused(tls, url_of, cache):
    other = Says(b"206 Partial Content", PATTERN[:PART])
    place = unverified(tls(url_of(other)))
    assert "redirects from https to http" in refused(place, cache)
    assert len(other.asked) == 1
    with pytest.raises(RegistryError, match="can't be used: the server redirects from https to http, where"):
        place.read(INDEX, PART)


def test_redirects_to_other_hosts_are_followed(place_of, url_of):
    """Redirects of S3 are handled by its libraries."""
    other = Says(b"206 Partial Content\r\nContent-Range: bytes 0-4999/5000", PATTERN[:PART])
    place = place_of(Says(b"302 Found\r\nLocation: " + url_of(other).encode() + b"/there"))
    if place.url.startswith("s3:"):
        pytest.skip("S3 has redirects of its own")
    assert place.fetch(BLOB.path, 0, PART) == PATTERN[:PART]
    assert other.asked == ["/there"]


@pytest.mark.parametrize("kind", ["hub", "oci"])
def test_a_redirect_with_a_body_without_an_end_is_followed(kind, url_of, request):
    other = Says(b"206 Partial Content", PATTERN[:PART])
    hostile = Endless(b"302 Found\r\nLocation: " + url_of(other).encode() + b"/there")
    assert request.getfixturevalue(kind)(hostile).fetch(BLOB.path, 0, PART) == PATTERN[:PART]
    assert hostile.hung_up.wait(5)


def test_endless_redirects_are_not_followed_for_ever(hub, web, oci, cache, monkeypatch):
    monkeypatch.setattr("zoo.registry.places.patience.ATTEMPTS", 1)
    for start in (hub, web, oci):
        hostile = Says(b"302 Found\r\nLocation: /again")
        assert "can't get 000000000000" in refused(start(hostile), cache)
        assert len(hostile.asked) < 20


@pytest.mark.parametrize(
    ("urls", "refuse"),
    [
        (["https://a/", "https://b/"], False),
        (["http://a/", "http://b/"], False),
        (["http://a/", "https://b/"], False),
        (["https://a/", "http://b/"], True),
        (["https://a/", "http://b/", "https://c/"], True),
        (["http://a/", "https://b/", "http://c/"], True),
    ],
)
def test_no_step_may_leave_https(urls, refuse):
    if not refuse:
        check_redirects(urls)
        return
    with pytest.raises(GivenUp):
        check_redirects(urls)


@pytest.mark.parametrize("server", ["new", "old"])
def test_a_hub_that_redirects_from_https_is_refused(hub, monkeypatch, server):
    """Old ones have the HTTP library follow redirects."""
    place = hub(Hostile())
    http = pytest.importorskip("httpx2" if server == "new" else "requests")
    if server == "new":

        def answer(request):
            return http.Response(302, headers={"Location": f"{'http' if 's:' in str(request.url) else 'https'}://b/"})

        session = http.Client(transport=http.MockTransport(answer))
    else:
        session = http.Session()
        given = http.Response()
        given.url, given.status_code, given.history = "http://b/", 200, [http.Response()]
        given.history[0].url = "https://a/"
        monkeypatch.setattr(given, "close", lambda: None)
        monkeypatch.setattr(session, "get", lambda *_, **__: given)
    monkeypatch.setattr(place._utils, "get_session", lambda: session)
    with pytest.raises(GivenUp, match="redirects from https to http"):
        place.fetch(BLOB.path, 0, PART)


def test_an_s3_server_that_truncates_its_index_is_reported(s3):
    hostile = Says(b"200 OK")
    hostile.content = b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{"
    with pytest.raises(RegistryError, match=r"^the registry s3://bucket/folder can't be used: .+") as caught:
        s3(hostile).read(INDEX, PART)
    assert str(caught.value).isprintable()
