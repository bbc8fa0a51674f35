"""The libraries of the pages, as published on npm: `python -m zoo.site.vendor` fetches them anew and compares.

static/vendor/vendor.json names, for each, its version, license, npm's digest of the package, and which of its files are
here with their sha256. To take another version, change the version there, remove its digests and run this command: it
writes files and digests, and what it writes is what is committed.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zoo.errors import SiteError

FOLDER = Path(__file__).parent / "static" / "vendor"
LIST = FOLDER / "vendor.json"
LARGEST = 1_500_000  # bytes of all libraries together; onnxruntime-web, in static/try, is apart


def listed() -> list[dict[str, Any]]:
    """The libraries, as vendor.json has them."""
    found: list[dict[str, Any]] = json.loads(LIST.read_text(encoding="utf-8"))
    return found


def _package(name: str, version: str) -> bytes:
    """A package from npm's registry, by npm, which checks it against the registry's digest.

    Raises:
        SiteError: npm is missing or fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        command = ["npm", "pack", "--silent", "--pack-destination", folder, f"{name}@{version}"]
        try:
            subprocess.run(command, check=True, capture_output=True, text=True)
        except FileNotFoundError:
            raise SiteError("npm is not installed. Install it: https://nodejs.org") from None
        except subprocess.CalledProcessError as error:
            raise SiteError(f"npm can't fetch {name}@{version}: {error.stderr.strip()[:300]}") from None
        (package,) = Path(folder).iterdir()
        return package.read_bytes()


def integrity(package: bytes) -> str:
    """npm's digest of a package."""
    return "sha512-" + base64.b64encode(hashlib.sha512(package).digest()).decode()


def contents(package: bytes, files: Mapping[str, Any]) -> dict[str, bytes]:
    """Files of a package, by their path in it.

    Raises:
        SiteError: one is not there.
    """
    with tarfile.open(fileobj=io.BytesIO(package)) as archive:
        found = {}
        for path in files:
            try:
                member = archive.extractfile(f"package/{path}")
            except KeyError:
                member = None
            if member is None:
                raise SiteError(f"the package has no {path}. Change vendor.json.")
            found[path] = member.read()
    return found


def fetch(library: dict[str, Any]) -> None:
    """Fetch a library and write its files and their digests.

    Raises:
        SiteError: its package or a file of it is not the one that is listed.
    """
    label = f"{library['name']}@{library['version']}"
    package = _package(library["name"], library["version"])
    if library.setdefault("integrity", integrity(package)) != integrity(package):
        raise SiteError(f"{label} is another package than the listed one: {integrity(package)}")
    for path, content in contents(package, library["files"]).items():
        entry = library["files"][path]
        digest = hashlib.sha256(content).hexdigest()
        if entry.setdefault("sha256", digest) != digest:
            raise SiteError(f"{path} of {label} has sha256 {digest}, not the listed one.")
        entry["size_bytes"] = len(content)
        (FOLDER / entry["as"]).write_bytes(content)


def main() -> None:
    """Fetch all of them, and write vendor.json."""
    libraries = listed()
    for library in libraries:
        fetch(library)
        print(f"{library['name']}@{library['version']}: as listed")
    LIST.write_text(json.dumps(libraries, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    try:
        main()
    except SiteError as error:
        sys.exit(f"Error: {error}")
