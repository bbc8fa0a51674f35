"""Reads the metadata of an ONNX file where neither onnx nor ONNX Runtime is installed, without reading its weights.

The base of zoo has no library for protobuf. A message is a row of fields: number and type, then a value, or a length
and so many bytes. Source: https://protobuf.dev/programming-guides/encoding/; onnx.proto, `ModelProto.metadata_props`
and `StringStringEntryProto`.
"""

from __future__ import annotations

import io
from collections.abc import Container, Iterator
from os import SEEK_CUR
from pathlib import Path
from typing import BinaryIO

METADATA, KEY, VALUE = 14, 1, 2  # numbers of fields
VARINT, EIGHT_BYTES, LENGTH, FOUR_BYTES = 0, 1, 2, 5  # types
LONGEST = 10  # bytes of a variable-length integer


def _varint(file: BinaryIO) -> int:
    """The next variable-length integer: seven bits in each byte, the lowest first; the eighth says that more follow."""
    value = 0
    for place in range(LONGEST):
        byte = file.read(1)
        if not byte:
            raise ValueError("the file is cut off")
        value |= (byte[0] & 127) << (7 * place)
        if byte[0] < 128:
            return value
    raise ValueError("it is not protobuf")


def _fields(file: BinaryIO, size: int, wanted: Container[int]) -> Iterator[tuple[int, bytes]]:
    """Number and content of the wanted fields of a message; others are skipped.

    Args:
        size: bytes of the message.
    """
    while file.tell() < size:
        tag = _varint(file)
        number, kind = tag >> 3, tag & 7
        if kind == VARINT:
            _varint(file)
        elif kind in (EIGHT_BYTES, FOUR_BYTES):
            file.seek(8 if kind == EIGHT_BYTES else 4, SEEK_CUR)
        elif kind == LENGTH:
            length = _varint(file)
            if file.tell() + length > size:
                raise ValueError("the file is cut off")
            if number in wanted:
                yield number, file.read(length)
            else:
                file.seek(length, SEEK_CUR)
        else:
            raise ValueError("it is not protobuf")


def metadata(path: Path) -> dict[str, str]:
    """`metadata_props` of an ONNX file.

    Raises:
        ValueError: it is not one, or is cut off.
        OSError: it can't be read.
    """
    found = {}
    with path.open("rb") as file:
        for _, entry in _fields(file, path.stat().st_size, (METADATA,)):
            pair = dict(_fields(io.BytesIO(entry), len(entry), (KEY, VALUE)))
            found[pair.get(KEY, b"").decode()] = pair.get(VALUE, b"").decode()
    return found
