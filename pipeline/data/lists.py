"""Lists of a split's images: one path per line, lines parsed by a pattern, or columns of a table."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Literal

from pipeline.data.account import Tally
from pipeline.data.suffixes import SUFFIXES
from pipeline.data.unicode_names import NamesOnDisk
from pipeline.errors import DataError

if TYPE_CHECKING:
    from pipeline.data.splits import Split

Group = Literal["path", "identity", "camera"]
Groups = dict[str, str]  # what a list says about an image, by group
UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)  # as Windows PowerShell writes redirected output


def _read(path: Path, shown: str) -> str:
    """The text of a list, without a byte order mark, with \\n at the end of lines."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(
            f"can't read the list {shown}: {error.strerror}. `names` is a file below the data set's folder, {path}."
        ) from None
    try:
        text = content.decode("utf-16" if content.startswith(UTF16) else "utf-8-sig")
    except UnicodeDecodeError:
        raise DataError(f"the list {shown} is not UTF-8. Save it as UTF-8.") from None
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _unquoted(text: str) -> str:
    """A field of a CSV file, without surrounding quotes."""
    return text[1:-1].replace('""', '"') if len(text) > 1 and text[0] == text[-1] == '"' else text


def _columns(text: str, columns: Mapping[Group, str], shown: str) -> Iterator[Groups]:
    """Rows of a CSV file with a header, by the groups that `columns` maps to its columns."""
    head = text.split("\n", 1)[0]
    delimiter = max(",;\t", key=head.count)
    table = csv.DictReader(io.StringIO(text), delimiter=delimiter, skipinitialspace=True)
    header = [name.strip() for name in table.fieldnames or ()]
    table.fieldnames = header
    for column in columns.values():
        if column not in header:
            raise DataError(
                f"the list {shown} has no column {column!r}. It has: {', '.join(header)}. Correct `columns`."
            )
    for row in table:
        found: Groups = {group: (row[column] or "").strip() for group, column in columns.items()}
        if not found["path"]:
            raise DataError(
                f"line {table.line_num} of the list {shown} has no {columns['path']!r}. Fill it in, or remove the line."
            )
        yield found


def _lines(text: str, line: str | None, tally: Tally) -> Iterator[Groups]:
    pattern = re.compile(line or r"\s*(?P<path>.*\S)")
    for one in text.split("\n"):
        if match := pattern.match(one):
            yield {name: _unquoted(value) for name, value in match.groupdict().items() if value is not None}
        elif one.strip():
            tally.add("line", one.strip())


def _joined(folder: str, path: str) -> str:
    """Faster than `PurePosixPath` for paths that need no normalisation."""
    text = f"{folder}/{path}" if folder else path
    tidy = "//" not in text and "/." not in text and not path.startswith(("/", "."))
    return text if tidy else str(PurePosixPath(folder) / path)


def _missing(paths: list[str], named: int, shown: str, root: Path, names: NamesOnDisk) -> DataError:
    """The error for paths in a list that do not exist."""
    first = paths[0]
    suffix = next((suffix for suffix in SUFFIXES if names.exists(first + suffix)), None)
    inner = first.partition("/")[2]
    remedy = "Add them, or remove them from the list."
    if suffix:
        remedy = f"There is {first}{suffix}: set `suffix: {suffix}` beside `names`."
    elif inner and names.exists(inner):
        remedy = f"There is {inner}: paths in a list are relative to the split's `folder`."
    how_many = "" if named == 1 else f" ({len(paths)} of {named} such)"
    return DataError(f"{shown} lists {first}, which is not in {root}{how_many}. {remedy}")


def listed(root: Path, split: Split, names: str, tally: Tally) -> list[tuple[str, Groups]]:
    """Images of a list, in its order: path relative to `root`, as it is on disk, and what the list says.

    Args:
        tally: counts skipped lines.

    Raises:
        DataError: the list can't be read, lacks a column, or lists a missing file, or one twice.
    """
    on_disk = NamesOnDisk(root)
    text = _read(root / on_disk.find(names), names)
    found = _columns(text, split.columns, names) if split.columns else _lines(text, split.line, tally)
    seen: dict[str, Groups] = {}
    missing, twice = [], []
    for groups in found:
        path = on_disk.find(_joined(split.folder, groups.pop("path") + split.suffix))
        if path in seen:
            twice.append(path)
        elif not on_disk.exists(path):
            missing.append(path)
        seen[path] = groups
    if twice:
        raise DataError(f"{names} lists {twice[0]} twice ({len(twice)} such lines). Remove the repeats.")
    if missing:
        raise _missing(missing, len(seen), names, root, on_disk)
    return list(seen.items())
