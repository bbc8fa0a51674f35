"""From a URL to the place that it names."""

from __future__ import annotations

from pathlib import Path

from zoo.errors import RegistryError
from zoo.registry.places.place import CREDENTIALS, Place


def open_place(url: str) -> Place:
    """The place of a URL or a folder's path. Its `url` may be shown: it has no user, password or query.

    Raises:
        RegistryError: the kind of place is unknown, its library is not installed, or the URL holds credentials that it
            does not use.
    """
    scheme, mark, rest = url.partition("://")
    scheme = scheme.lower() if mark else "file"
    if scheme == "file":
        from zoo.registry.places.folder import Folder

        return Folder(Path(url.removeprefix("file://")).expanduser())
    if scheme in ("http", "https"):
        from zoo.registry.places.web import Web

        return Web(url)
    if scheme in CREDENTIALS and ("@" in rest.partition("/")[0] or "?" in rest):
        raise RegistryError(
            f"an address with {scheme}:// must not hold user, password or signature. {CREDENTIALS[scheme]}"
        )
    if scheme == "s3":
        from zoo.registry.places.s3 import S3

        return S3(url)
    if scheme == "hf":
        from zoo.registry.places.hub import Hub

        return Hub(url)
    if scheme == "oci":
        from zoo.registry.places.oci import Oci

        return Oci(url)
    if url == "zoo://prebuilt":
        from zoo.registry.places.shipped import Shipped

        return Shipped()
    raise RegistryError(
        f"{scheme}:// is not supported for registries. Use a folder, http(s):// (read only), s3://BUCKET/FOLDER, "
        "hf://datasets/OWNER/NAME, oci://HOST/REPOSITORY, or zoo://prebuilt (read only)."
    )
