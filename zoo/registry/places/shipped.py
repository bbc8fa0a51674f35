"""The releases that come with zoo: a folder of this installation, or of this checkout, that is only read.

They are trusted like the code beside them, and verified all the same: a file is named by its sha256. A file that is
missing or damaged is restored from where zoo came from; no other place would help.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from targets.files import sha256
from zoo.errors import RegistryError
from zoo.home import shipped_releases
from zoo.registry.index import INDEX, parse_index
from zoo.registry.places.folder import Folder
from zoo.registry.places.place import Edit

URL = "zoo://prebuilt"
NAME = "the releases that come with zoo"


class Shipped(Folder):
    """See `Place`."""

    def __init__(self, root: Path | None = None) -> None:
        super().__init__(root or shipped_releases())
        self.url = NAME

    def read(self, path: str, limit: int) -> bytes | None:
        """See `Place.read`; a file that is not there is an error.

        Raises:
            RegistryError: the file is missing or damaged; the message says how to restore it.
        """
        if path != INDEX:
            self._check(path)
        content = super().read(path, limit)
        if content is None:
            raise RegistryError(
                f"{NAME} are not here: {self.root / path} is missing. {self._mend(path)} "
                "Or name a registry: --registry URL"
            )
        if path == INDEX:
            try:
                parse_index(content, NAME)
            except RegistryError as error:
                why = str(error).partition(": ")[2].partition(" Tell its owner")[0]
                raise RegistryError(f"{self.root / path} is damaged: {why} {self._mend(path)}") from None
        return content

    def fetch(self, path: str, start: int, end: int) -> bytes:
        """See `Place.fetch`. The whole file is verified first.

        Raises:
            RegistryError: see `read`.
        """
        self._check(path)
        return super().fetch(path, start, end)

    def publish(self, blobs: Mapping[str, Path], index: str, limit: int, edit: Edit) -> None:  # noqa: ARG002
        """Refused: they change with zoo only.

        Raises:
            RegistryError: always.
        """
        raise RegistryError(f"{NAME} can't be changed. Name another registry: --registry URL")

    def remove(self, paths: list[str]) -> None:  # noqa: ARG002
        """Refused, see `publish`.

        Raises:
            RegistryError: always.
        """
        self.publish({}, INDEX, 0, lambda _: None)

    def _check(self, path: str) -> None:
        """Compare a file with its name.

        Raises:
            RegistryError: it is missing, damaged or unreadable.
        """
        file, named = self.root / path, Path(path).name
        try:
            found = sha256(file)
        except FileNotFoundError:
            raise RegistryError(f"{file} is missing. {self._mend(path)}") from None
        except OSError as error:
            raise RegistryError(f"can't read {file}: {error.strerror}. {self._mend(path)}") from None
        if found != named:
            raise RegistryError(f"{file} is damaged: its sha256 is {found}, not {named}. {self._mend(path)}")

    def _mend(self, path: str) -> str:
        if os.environ.get("ZOO_PREBUILT"):
            return "Restore it, or unset ZOO_PREBUILT."
        if (self.root.parent / ".git").exists():
            return f"Restore it: git -C {self.root.parent} checkout -- {self.root.name}/{path}"
        return "Install the same version of zoo again, with pip's --force-reinstall."
