"""Addresses of OCI registries, and who may use them: credentials of Docker, tokens, TLS."""

import base64
import json
import sys

import pytest

from pipeline.progress import Silent
from tests.conftest import Workshop
from tests.zoo.registry.conftest import Quiet, running_registry
from tests.zoo.registry.samples import put_release
from zoo.errors import RegistryError
from zoo.home import Home
from zoo.registry.places.by_url import open_place
from zoo.registry.publish import publish

pytest.importorskip("oras", reason="needs the extra oci")


@pytest.fixture
def locked(tmp_path):
    """A server that asks for the password of `keeper`, s3cret."""
    (tmp_path / "htpasswd").write_text("keeper:$2b$05$abcdefghijklmnopqrstuuLK7U1u6pVRmL7L1BBM2aS35PSZnDXlK\n")
    with running_registry(tmp_path, auth={"htpasswd": {"realm": "nets", "path": str(tmp_path / "htpasswd")}}) as host:
        yield host


def log_in(folder, host, password):
    folder.mkdir(exist_ok=True)
    auth = base64.b64encode(f"keeper:{password}".encode()).decode()
    (folder / "config.json").write_text(json.dumps({"auths": {host: {"auth": auth}}}))


@pytest.fixture
def shop(tmp_path):
    """The command line in this process."""
    shop = Workshop(tmp_path / "shop")
    shop.root.mkdir()
    shop.catalogue.write_text("{}\n")
    return shop


def test_credentials_are_those_of_docker_and_are_never_printed(locked, shop, tmp_path, monkeypatch):
    url, docker = f"oci://{locked}/team/nets", tmp_path / "docker"
    docker.mkdir()
    monkeypatch.setenv("DOCKER_CONFIG", str(docker))
    monkeypatch.setenv("HOME", str(tmp_path))
    put_release(Home(shop.home))
    for password in (None, "wr0ng"):
        if password:
            log_in(docker, locked, password)
        said = shop.refused("publish", "tiny", "--registry", url)
        assert said.startswith(f"{locked} refuses {url}: HTTP 401 authentication required. Run: docker login HOST")
        assert "\n" not in said
    log_in(docker, locked, "s3cret")
    away = Workshop(tmp_path / "away")
    away.root.mkdir()
    away.catalogue.write_text("{}\n")
    for where, command in ((shop, "publish tiny"), (away, "--verbose pull tiny --events"), (away, "verify tiny")):
        done = where.zoo(*command.split(), "--registry", url)
        assert done.exit_code == 0, done.output
        for secret in ("s3cret", base64.b64encode(b"keeper:s3cret").decode()):
            assert secret not in done.output


def test_a_configuration_of_docker_that_is_no_json_is_reported(locked, shop, tmp_path, monkeypatch):
    (tmp_path / "config.json").write_text("{")
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    assert "can't be used: " in shop.refused("pull", "tiny", "--registry", f"oci://{locked}/nets")


class Tokens(Quiet):
    """A registry and its token service in one: tokens expire after three requests."""

    served, given = [], 0

    def do_GET(self) -> None:
        if self.path.startswith("/token"):
            type(self).given += 1
            self._say(200, json.dumps({"token": f"t{self.given}"}).encode())
            return
        known = self.headers["Authorization"] == f"Bearer t{self.given}" and len(self.served) < 3 * self.given
        if not known:
            realm = f'Bearer realm="http://{self.headers["Host"]}/token",service="x",scope="repository:nets:pull"'
            self._say(401, b"{}", {"Www-Authenticate": realm})
            return
        self.served.append(self.path)
        self._say(200, b'{"tags": []}' if "tags" in self.path else b"content")

    def _say(self, status, body, headers=()):
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **dict(headers)}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


def test_a_token_is_fetched_and_fetched_again_when_it_expires(serve, tmp_path):
    handler = type("Handler", (Tokens,), {"served": [], "given": 0})
    place = open_place(serve(tmp_path, handler).replace("http:", "oci:") + "/nets")
    path = f"blobs/00/{'0' * 64}"
    assert [place.fetch(path, 0, 7) for _ in range(7)] == [b"content"] * 7
    assert handler.given == 3  # type: ignore[attr-defined]


class Elsewhere(Tokens):
    """Sends downloads to another host, as registries with a CDN do."""

    target, seen = "", []

    def do_GET(self) -> None:
        if self.target and "blobs" in self.path and self.headers["Authorization"]:
            self._say(307, b"", {"Location": self.target + self.path})
        else:
            self.seen.append(self.headers["Authorization"])
            super().do_GET() if self.target else self._say(200, b"content")


def test_the_token_is_not_sent_to_another_host(serve, tmp_path):
    last = type("Last", (Elsewhere,), {"seen": []})
    first = type("First", (Elsewhere,), {"served": [], "given": 0, "seen": [], "target": ""})
    first.target = serve(tmp_path, last).replace("127.0.0.1", "localhost")  # type: ignore[attr-defined]
    place = open_place(serve(tmp_path, first).replace("http:", "oci:") + "/nets")
    assert place.fetch(f"blobs/00/{'0' * 64}", 0, 7) == b"content"
    assert last.seen == [None]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "url",
    ["oci://", "oci://host", "oci://host/", "oci://host/Team/nets", "oci://host/nets:latest", "oci://host/a b",
     "oci:///nets", "oci://host/nets@sha256:00"],
)  # fmt: skip
def test_addresses_that_name_no_repository_are_refused(url):
    with pytest.raises(RegistryError, match=r"^oci://.* names no repository. Write oci://HOST/REPOSITORY"):
        open_place(url)


@pytest.mark.parametrize(
    ("url", "scheme"),
    [("oci://localhost:5000/nets", "http"), ("oci://127.0.0.1:5000/nets", "http"), ("oci://[::1]:5000/nets", "http"),
     ("oci://localhost/nets", "http"), ("oci://host/nets", "https"), ("oci://10.0.0.1:5000/a/b.c/d", "https")],
)  # fmt: skip
def test_only_registries_on_this_machine_are_spoken_to_without_tls(url, scheme):
    client = open_place(url)._client  # type: ignore[attr-defined]
    assert client._registry.prefix == scheme
    assert client._at.api_prefix == url.removeprefix("oci://").partition("/")[2]


@pytest.mark.parametrize("command", [("publish", "tiny"), ("pull", "tiny"), ("gc",)])
def test_an_unreachable_registry_is_reported_in_one_line(shop, command):
    put_release(Home(shop.home))
    said = shop.refused(*command, "--registry", "oci://127.0.0.1:9/nets")
    assert said == (
        "the registry oci://127.0.0.1:9/nets can't be used: Connection refused. Check address, network and permissions."
    )


def test_a_missing_library_is_reported_with_the_command_that_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "zoo.registry.places.oci_client", None)  # as if its imports failed
    with pytest.raises(RegistryError, match=r"OCI registries need oras\. Run: .*\[oci\]"):
        open_place("oci://host/nets")


def test_a_catalogue_may_name_one(home, oci_url, shop):
    publish(put_release(home), open_place(oci_url), None, Silent())
    shop.catalogue.write_text(f"registry: {{url: '{oci_url}'}}\n")
    assert shop.zoo("pull", "tiny").exit_code == 0
    assert shop.zoo("verify", "tiny").exit_code == 0
