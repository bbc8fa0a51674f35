"""File names of pages. They are made of safe characters, whatever strangers call their devices and data sets."""

from __future__ import annotations

import hashlib
import re
import unicodedata

from zoo.release.manifest import Manifest

LONGEST = 40  # characters of a name that are kept


def slug(text: str, *more: object) -> str:
    """A name for a file: what is plain in a text, and a digest of all of it, so that two texts never share a name.

    Args:
        more: what else identifies the page.
    """
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    words = re.sub(r"[^a-z0-9]+", "-", plain)[:LONGEST].strip("-")
    digest = hashlib.sha256(repr((text, *more)).encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{words}-{digest}" if words else digest


def release_page(manifest: Manifest) -> str:
    """Path of a release's page. Names of releases are valid file names; two may differ in case only."""
    name = manifest.name
    plain = name if name == name.lower() else slug(name)
    return f"release/{plain}@{manifest.version}.html"
