"""Archives that cross a network: a list of all files with size and sha256, and no file outside the list.

A ZIP file whose first file is the list. Its content is untrusted. Names that lead out of the folder or are invalid on
some system, links, devices, names that differ only in case, and content that is longer than declared are refused before
anything becomes visible; content that would fill the disk is refused before anything is written.
"""

from __future__ import annotations

import errno
import hashlib
import json
import shutil
import stat
import struct
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from targets.errors import BadBundle, first_line
from targets.files import sha256

SCHEMA = 1
LIST_BYTES = 16 * 2**20  # more than any list needs
MOST_BYTES = 16 * 2**30  # of all files of an archive, unpacked
BOMB_BYTES, BOMB_FOLD = 100 * 10**6, 1000  # no image or graph of this size compresses so well
PART_BYTES = 200  # of a folder's or file's name; systems allow 255, and some add a suffix
DEVICES = {"con", "prn", "aux", "nul"} | {f"{port}{n}" for port in ("com", "lpt") for n in "0123456789¹²³"}
MOMENT = (1980, 1, 1, 0, 0, 0)  # equal content gives equal archives
CHUNK = 2**20
TOO_MUCH = f"more than the limit of {MOST_BYTES // 2**30} GiB"
PACKED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
# Errors of zipfile on invalid content.
DAMAGED = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, NotImplementedError, RuntimeError, ValueError)
# Errors for names that the disk does not allow.
NAMES = (errno.EEXIST, errno.EISDIR, errno.ENOTDIR, errno.ENAMETOOLONG, errno.EINVAL)


def _info(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, MOMENT)
    info.external_attr = (stat.S_IFREG | 0o644) << 16
    info.compress_type = zipfile.ZIP_DEFLATED
    return info


def write_archive(path: Path, list_name: str, about: Mapping[str, Any], files: Mapping[str, Path | bytes]) -> None:
    """Write an archive of files by name, with the list `about` them, in one rename.

    Raises:
        BadBundle: it would exceed the limit of `read_archive`.
    """
    listed: dict[str, dict[str, Any]] = {
        name: {"size_bytes": len(source), "sha256": hashlib.sha256(source).hexdigest()}
        if isinstance(source, bytes)
        else {"size_bytes": source.stat().st_size, "sha256": sha256(source)}
        for name, source in files.items()
    }
    if sum(one["size_bytes"] for one in listed.values()) > MOST_BYTES:
        raise BadBundle(f"{path.name} would unpack to {TOO_MUCH}. Use fewer test images, or a smaller input.")
    content = json.dumps({"schema_version": SCHEMA, **about, "files": listed}, indent=1).encode()
    fresh = path.with_name(f".{path.name}.new")
    try:
        with zipfile.ZipFile(fresh, "w") as archive:
            archive.writestr(_info(list_name), content)
            for name, source in files.items():
                if isinstance(source, bytes):
                    archive.writestr(_info(name), source)
                else:
                    with source.open("rb") as file, archive.open(_info(name), "w", force_zip64=True) as out:
                        shutil.copyfileobj(file, out, CHUNK)
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)


def safe_name(name: str) -> bool:
    """Whether a name stays inside any folder it is joined to, on any system, and is not an option of a program."""
    parts = PurePosixPath(name).parts
    plain = name == "/".join(parts) and not set(name) & set('\\:*?"<>|') and name.isprintable()
    return bool(parts) and plain and not name.startswith("/") and all(map(_safe_part, parts))


def _safe_part(part: str) -> bool:
    stem = part.partition(".")[0].rstrip(" ").casefold()
    plain = not part.startswith((" ", "-", "~")) and not part.endswith((".", " "))  # "." and ".." too
    return plain and stem not in DEVICES and len(part.encode()) <= PART_BYTES


def _check_members(path: Path, archive: zipfile.ZipFile, list_name: str, listed: Mapping[str, Any]) -> None:
    names = [info.filename for info in archive.infolist()]
    for info in archive.infolist():
        mode = info.external_attr >> 16
        if not safe_name(info.filename):
            raise BadBundle(
                f"{path.name} holds a file named {info.filename!r:.200}, which leads out of its folder, or is not a "
                "valid name on every system. Refused."
            )
        if info.is_dir() or (mode and not stat.S_ISREG(mode)):
            raise BadBundle(f"{path.name} holds {info.filename!r}, which is a link or a folder, not a file. Refused.")
        if info.compress_type not in PACKED:
            raise BadBundle(f"{path.name} stores {info.filename!r} in an unsupported form. Refused.")
    if len({name.casefold() for name in names}) < len(names):
        raise BadBundle(f"{path.name} holds a name twice, perhaps in different case. Refused.")
    if missing := {*listed} ^ ({*names} - {list_name}):
        raise BadBundle(f"{path.name}: {sorted(missing)[0]!r} is in its list or in the archive, but not in both.")


def _check_sizes(path: Path, archive: zipfile.ZipFile, listed: Mapping[str, Any], folder: Path) -> None:
    """Check, before unpacking, that the size is at most what the list says, and the compression plausible."""
    total, whole = sum(entry["size_bytes"] for entry in listed.values()), path.stat().st_size
    if total > MOST_BYTES:
        raise BadBundle(f"{path.name} unpacks to {TOO_MUCH}. Refused.")
    packed = [(entry["size_bytes"], archive.getinfo(name).compress_size) for name, entry in listed.items()]
    for size, found in (*packed, (total, whole)):  # files may share compressed data
        if size > BOMB_BYTES and size > BOMB_FOLD * found:
            told = f"{size / 1e6:.0f} MB into {found / 1e6:.2f} MB"
            raise BadBundle(f"{path.name} compresses {told}, which is not plausible. Refused.")
    there = next(place for place in folder.absolute().parents if place.exists())
    if total > (free := shutil.disk_usage(there).free):
        raise BadBundle(
            f"{path.name} unpacks to {total / 1e6:.0f} MB, but {there} has {free / 1e6:.0f} MB left. Free some space."
        )


def read_list(path: Path, list_name: str) -> dict[str, Any]:
    """The list of an archive, without reading its files; `key`, the sha256 of the list, identifies everything.

    Raises:
        BadBundle: it is not an archive of this kind, is damaged, or was written by a newer version.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            listed = archive.getinfo(list_name)
            if listed.compress_type not in PACKED:
                raise BadBundle(f"{path.name} stores {list_name} in an unsupported form. Refused.")
            if listed.file_size > LIST_BYTES:
                raise BadBundle(f"the list of {path.name} exceeds its size limit. Refused.")
            with archive.open(list_name) as file:
                text = file.read(LIST_BYTES)
        content = json.loads(text)
    except (*DAMAGED, KeyError, OverflowError) as error:
        raise BadBundle(
            f"{path} is damaged, or not an archive ({first_line(error)}). Build or copy it again."
        ) from None
    except OSError as error:
        raise BadBundle(f"can't read {path}: {error.strerror or error}. Name a bundle or its result.") from None
    schema = content.get("schema_version") if isinstance(content, dict) else None
    if schema != SCHEMA:
        raise BadBundle(f"{path} has schema {schema!r:.40}; this version reads {SCHEMA}. Use the one that wrote it.")
    if not _is_list(content.get("files")):
        raise BadBundle(f"{path} is damaged: its list is not valid. Build or copy it again.")
    return {**content, "key": hashlib.sha256(text).hexdigest()}


def _is_list(files: Any) -> bool:
    return isinstance(files, dict) and all(
        isinstance(one, dict)
        and isinstance(one.get("sha256"), str)
        and isinstance(one.get("size_bytes"), int)
        and one["size_bytes"] >= 0
        for one in files.values()
    )


def read_archive(path: Path, list_name: str, folder: Path) -> dict[str, Any]:
    """Unpack into a new folder, which appears in one rename once every byte is verified; return the list.

    Raises:
        BadBundle: see `read_list`; a file differs from the list; or the files exceed `MOST_BYTES`, the free disk space,
            or a plausible compression.
    """
    content = read_list(path, list_name)
    fresh = folder.with_name(f".{folder.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    try:
        with zipfile.ZipFile(path) as archive:
            _check_members(path, archive, list_name, content["files"])
            _check_sizes(path, archive, content["files"], folder)
            for name, entry in content["files"].items():
                place = fresh / name
                place.parent.mkdir(parents=True, exist_ok=True)
                found, left = hashlib.sha256(), entry["size_bytes"]
                with archive.open(name) as source, place.open("wb") as out:
                    while block := source.read(min(CHUNK, left + 1)):
                        found.update(block)
                        left -= len(block)
                        if left < 0:
                            break
                        out.write(block)
                if left or found.hexdigest() != entry["sha256"]:
                    raise BadBundle(f"{path.name} is damaged: {name} differs from its list (sha256). Copy it again.")
        shutil.rmtree(folder, ignore_errors=True)
        fresh.mkdir(parents=True, exist_ok=True)
        fresh.rename(folder)
    except (*DAMAGED, OverflowError) as error:
        raise BadBundle(f"{path.name} is damaged: {first_line(error)}. Copy it again.") from None
    except OSError as error:
        if error.errno not in NAMES:
            raise
        raise BadBundle(f"{path.name} holds a name that the disk does not allow: {error.strerror}. Refused.") from None
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return content
