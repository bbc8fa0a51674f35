"""`zoo serve` in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.zoo.cli.conftest import document
from tests.zoo.serve.client import Client


@contextmanager
def process(release: Path, scratch: Path, *options: str, files: int | None = None) -> Iterator[tuple[Any, Client]]:
    """The process and a client. Standard error goes to `scratch/errors`.

    Args:
        files: that it may open.
    """
    limited = ["sh", "-c", f'ulimit -n {files}; exec "$@"', "sh"] if files else []
    command = [*limited, sys.executable, "-m", "zoo", "serve", str(release), "--port", "0", "--json", *options]
    environment = {**os.environ, "ZOO_HOME": str(scratch / "home"), "ZOO_CACHE": str(scratch / "cache")}
    with (scratch / "errors").open("wb") as errors:
        running: Any = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment)
    try:
        said = ""
        while not said.endswith("}\n"):
            line = running.stdout.readline()
            assert line, (scratch / "errors").read_text()
            said += line
        about = document("serve", said)
        assert about["process"] == running.pid
        yield running, Client(about["url"])
    finally:
        running.kill()
        running.wait()
        running.stdout.close()
