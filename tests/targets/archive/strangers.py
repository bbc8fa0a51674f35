"""Untrusted archives, written with `zipfile` alone, without the checks of `targets.bundles.archive`."""

import hashlib
import json
import stat
import warnings
import zipfile

from targets.bundles.archive import read_archive
from targets.errors import BadBundle
from tests.targets.refusal import refusal

LIST = "bundle.json"


FILES = {"__main__.py": b"print(1)\n" * 9, "graphs/student.onnx": bytes(range(256)) * 4, "test/empty.npy": b""}


REGULAR = stat.S_IFREG | 0o644


def entry(content):
    return {"size_bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def craft(path, members, listed=None, text=None, packing=zipfile.ZIP_DEFLATED):
    """Write any archive: (name or ZipInfo, content) pairs, and a list that need not match them."""

    def info(name, mode=REGULAR):
        made = zipfile.ZipInfo("x")
        made.filename, made.external_attr, made.compress_type = name, mode << 16, packing
        return made

    members = [(info(one) if isinstance(one, str) else one, content) for one, content in members]
    listed = {one.filename: entry(content) for one, content in members} if listed is None else listed
    text = json.dumps({"schema_version": 1, "files": listed}) if text is None else text
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w") as archive:
        warnings.simplefilter("ignore")  # zipfile warns about repeated names
        for one, content in [(info(LIST), text), *members]:
            archive.writestr(one, content)
    return path


def unpacked(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def refused(path):
    """The error for an archive that is refused, after which no file of it may exist."""
    folder = path.with_name("folder")
    before = sorted(path.parent.rglob("*"))
    message = refusal(read_archive, path, LIST, folder, of=BadBundle)
    assert sorted(path.parent.rglob("*")) == before
    assert path.name in message
    return message


def places(content, mark):
    """Offsets of all headers that begin with a mark."""
    return [at for at in range(len(content)) if content.startswith(mark, at)]
