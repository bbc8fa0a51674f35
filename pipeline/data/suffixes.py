"""Image files by name: the same for data sets, galleries and queries."""

from __future__ import annotations

from typing import Literal

# All of Pillow's suffixes of the decoded formats (`pipeline.data.decoding.FORMATS`); a test compares them.
SUFFIXES = (
    ".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp", ".bmp", ".gif", ".jpe", ".jfif", ".jp2", ".j2k", ".jpc", ".jpf",
    ".jpx", ".j2c", ".apng", ".pbm", ".pgm", ".ppm", ".pnm", ".pfm",
)  # fmt: skip
UNREAD = (
    ".heic", ".heif", ".hif", ".avif", ".avifs", ".jxl", ".svg", ".psd", ".eps", ".ps", ".pdf", ".tga", ".exr", ".hdr",
    ".ico", ".icns", ".cur", ".mpo", ".dcm", ".dib", ".pcx", ".ras", ".sgi", ".qoi", ".dds", ".xbm", ".xpm", ".fits",
    ".wmf", ".emf", ".dng", ".raw", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2", ".raf",
)  # fmt: skip
"""Suffixes of pictures that are not decoded."""
CONVERT = "convert such pictures to JPEG or PNG"
_IGNORED = ("@eadir", "__macosx", "thumbs.db", "desktop.ini", "$recycle.bin", "#recycle", "lost+found")

Kind = Literal["image", "unread", "other", "hidden", "loop"]


def is_hidden(name: str) -> bool:
    """Whether a file or folder is hidden, or created by a system (`.ipynb_checkpoints`, `@eaDir`)."""
    return name.startswith(".") or name.lower() in _IGNORED


def kind_of(name: str) -> Kind:
    """Kind of a file, by its name."""
    if is_hidden(name):
        return "hidden"
    lower = name.lower()
    return "image" if lower.endswith(SUFFIXES) else "unread" if lower.endswith(UNREAD) else "other"
