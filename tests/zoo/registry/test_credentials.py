"""User, password and signature in a registry's URL go to its server, and nowhere else."""

import base64
from urllib.parse import urlsplit

import pytest

from pipeline.progress import Silent
from tests.conftest import Workshop
from tests.zoo.registry.conftest import Quiet
from tests.zoo.registry.samples import put_release, tree
from zoo.errors import RegistryError
from zoo.registry.index import INDEX
from zoo.registry.places.by_url import open_place
from zoo.registry.publish import publish
from zoo.sanitize import without_secrets

USER, PASSWORD, SIGNATURE = "keeper", "s3cr:t@/", "sv=1&sig=s3cret%2Bxy%3D"
SECRETS = ("keeper", "s3cr", "sig=", "xy")
BASIC = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()


class Locked(Quiet):
    """Asks for user and password, or for a signature of the folder, byte by byte."""

    def do_GET(self) -> None:
        if self.headers["Authorization"] != BASIC and urlsplit(self.path).query != SIGNATURE:
            self.send_error(403)
        else:
            super().do_GET()


def with_user(url):
    return url.replace("://", f"://{USER}:s3cr%3At%40%2F@")


def with_signature(url):
    return f"{url}/?{SIGNATURE}"


WAYS = pytest.mark.parametrize("way", [with_user, with_signature])


@pytest.fixture
def published(home, folder):
    publish(put_release(home), folder, None, Silent())
    return folder


@pytest.fixture
def shop(tmp_path):
    (tmp_path / "shop").mkdir()
    shop = Workshop(tmp_path / "shop")
    shop.catalogue.write_text("{}\n")
    return shop


def silent_about(text, plain):
    assert not [secret for secret in SECRETS if secret in text], text
    assert plain in text


@WAYS
@pytest.mark.parametrize("form", [[], ["--events"]], ids=["words", "events"])
def test_a_release_is_pulled_without_leaking_the_secret(published, serve, shop, way, form):
    url = serve(published.root, Locked)
    assert shop.zoo("pull", "tiny", "--registry", url).exit_code == 1  # the server does ask
    for command in ("pull", "verify"):
        done = shop.zoo(command, "tiny", "--registry", way(url), *form)
        assert done.exit_code == 0, done.output
        silent_about(done.output, "tiny")
    for path in tree(shop.home):
        content = (shop.home / path).read_bytes()
        assert b"s3cr" not in content, path


@WAYS
@pytest.mark.parametrize("command", ["pull tiny --events", "publish tiny", "gc"])
def test_errors_do_not_leak_the_secret(published, serve, shop, home, way, command):
    put_release(home.__class__(shop.home))
    url = serve(published.root / "blobs", Locked)
    done = shop.zoo(*command.split(), "--registry", way(url))
    assert done.exit_code == 1
    silent_about(done.output, url)


@WAYS
def test_a_missing_server_is_reported_without_the_secret(shop, way):
    done = shop.zoo("pull", "tiny", "--registry", way("http://127.0.0.1:9"))
    silent_about(done.output, "http://127.0.0.1:9")


@WAYS
def test_a_misplaced_secret_in_the_catalogue_is_not_printed(shop, way):
    shop.catalogue.write_text(f"registry: {{mirrors: '{way('https://mirror')}'}}\n")
    done = shop.zoo("list")
    assert done.exit_code == 1
    silent_about(done.output, "registry.mirrors")


class Redirects(Quiet):
    """Redirects to another host, as seen from the client."""

    elsewhere, seen = "", []

    def do_GET(self) -> None:
        if self.elsewhere:
            self.send_response(302)
            self.send_header("Location", self.elsewhere + urlsplit(self.path).path)
            self.send_header("Content-Length", "0")
            self.end_headers()
        else:
            self.seen.append((self.path, self.headers["Authorization"]))
            super().do_GET()


@WAYS
def test_the_secret_is_not_sent_to_another_host_after_a_redirect(published, serve, way):
    last = type("Last", (Redirects,), {"seen": []})
    elsewhere = serve(published.root, last)
    first = serve(published.root, type("First", (Redirects,), {"elsewhere": elsewhere}))
    assert open_place(way(first)).read(INDEX, 10_000)
    assert last.seen == [(f"/{INDEX}", None)]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("s3://key:s3cret@bucket/folder", "Set AWS_ACCESS_KEY_ID"),
        ("s3://bucket/folder?X-Amz-Signature=s3cret", "Set AWS_ACCESS_KEY_ID"),
        ("hf://s3cret@datasets/a/b", "Set HF_TOKEN"),
        ("oci://keeper:s3cret@host/team/nets", "Run: docker login HOST"),
        ("https://keeper:s3cr/et@host/x", "is not valid. Write https://HOST/FOLDER"),
        ("https://", "is not valid. Write https://HOST/FOLDER"),
        ("https://host:port/x?sig=s3cret", "is not valid. Write https://HOST/FOLDER"),
        ("https://host/x#s3cret", "is not valid. Write https://HOST/FOLDER"),
        ("ftp://keeper:s3cret@host/x", "ftp:// is not supported"),
    ],
)
def test_addresses_without_credentials_are_refused_without_printing_them(url, told):
    with pytest.raises(RegistryError) as caught:
        open_place(url)
    silent_about(str(caught.value), told)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("see https://a:b@host:8/x?sig=1&b=2, and", "see https://…@host:8/x?… and"),
        ("'https://token@host/x'", "'https://…@host/x'"),
        ("https://host/a@b and a@b.org", "https://host/a@b and a@b.org"),
        ("why? hf://datasets/a/b@main", "why? hf://datasets/a/b@main"),
    ],
)
def test_urls_lose_only_their_secrets(text, shown):
    assert without_secrets(text) == shown
