"""Gets ONNX Runtime Web again, through npm and pip: `python -m tests.targets.browser.carry [VERSION]`.

Without a version, the pinned one: the archive must have the sha512 in carried.json, and its files the sha256. With one,
carried.json is written anew. The licenses are not in npm's archive; the wheel of the same version of ONNX Runtime, from
the same repository, has them.
"""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory

import targets.browser

FOLDER = Path(targets.browser.__file__).parent / "static/ort"
FILES = ("ort.wasm.min.js", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")
LICENSES = ("LICENSE", "ThirdPartyNotices.txt")


def fetch(version: str, folder: Path) -> tuple[str, dict[str, bytes]]:
    """npm's integrity of the archive, and the files to carry."""
    package = f"onnxruntime-web@{version}"
    run = {"cwd": folder, "check": True, "capture_output": True, "text": True}
    told = json.loads(subprocess.run(["npm", "pack", "--json", package], **run).stdout)[0]  # type: ignore[call-overload]
    archive = folder / told["filename"]
    integrity = "sha512-" + base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
    assert integrity == told["integrity"], f"{archive.name} is not what npm says"
    found = {}
    with tarfile.open(archive) as tar:
        for name in FILES:
            member = tar.extractfile(f"package/dist/{name}")
            assert member is not None
            found[name] = member.read()
    wheel = ["-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", f"onnxruntime=={version}"]
    subprocess.run([sys.executable, *wheel], **run)  # type: ignore[call-overload]
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as archived:
        found |= {name: archived.read(f"onnxruntime/{name}") for name in LICENSES}
    return integrity, found


def main(version: str | None) -> None:
    """Write the files; with a version, pin it."""
    pinned = json.loads((FOLDER / "carried.json").read_text())
    with TemporaryDirectory() as folder:
        integrity, found = fetch(version or pinned["version"], Path(folder))
    digests = {name: hashlib.sha256(found[name]).hexdigest() for name in sorted(found)}
    if version is None and (integrity, digests) != (pinned["integrity"], pinned["files"]):
        sys.exit(f"onnxruntime-web {pinned['version']} has other content than carried.json says. Nothing was written.")
    for name, content in found.items():
        (FOLDER / name).write_bytes(content)
    pinned |= {"version": version or pinned["version"], "integrity": integrity, "files": digests}
    (FOLDER / "carried.json").write_text(json.dumps(pinned, indent=1) + "\n")
    print(f"onnxruntime-web {pinned['version']}: {sum(map(len, found.values())) / 1e6:.1f} MB in {FOLDER}")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else None)
