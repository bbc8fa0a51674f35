"""Redirects of registry servers: followed to other hosts, but never from https to http, and not for ever."""

import ssl
from http.server import ThreadingHTTPServer
from threading import Thread

import aiohttp
import fsspec
import pytest

from tests.zoo.registry.conftest import Quiet
from tests.zoo.registry.hostile_servers import (
    BLOB,
    PART,
    PATTERN,
    Endless,
    Hostile,
    Says,
    cache,
    hub,
    oci,
    old_hub,
    place_of,
    refused,
    s3,
    url_of,
    web,
)
from zoo.errors import RegistryError
from zoo.registry.index import INDEX
from zoo.registry.places.by_url import open_place
from zoo.registry.places.place import GivenUp, check_redirects

__all__ = ["cache", "hub", "oci", "old_hub", "place_of", "s3", "url_of", "web"]


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
