"""What a user can mend in front of the pipeline.

ZooError
├── CatalogueError          zoo.yaml or an override of it: every problem with file, line and key
├── CompareError            figures can't be compared, searched or drawn as asked
├── GalleryError            a gallery can't be made, read, or asked with this model
├── ImageError              no image, or not in a form that is taken
├── ManifestError           a release is unknown, damaged, or of a newer schema
├── NothingRuns             no artifact of a release can be used here
├── OutputError             a file that the user named can't be written
├── RegistryError           a registry can't be reached or trusted
│   ├── NoRegistry          none is named, or it can't be reached
│   └── NothingPrebuilt     a release has nothing for a target that was asked for
└── SheetError              a contact sheet can't be drawn under this name
"""


class ZooError(Exception):
    """Root of what a user can mend here."""


class CatalogueError(ZooError):
    """The catalogue, or something asked of it, is not right."""


class CompareError(ZooError):
    """Figures can't be compared, searched or drawn as asked."""


class ManifestError(ZooError):
    """A manifest can't be found or understood."""


class RegistryError(ZooError):
    """A registry can't be reached or written, or what it gives is not what it says."""


class NoRegistry(RegistryError):
    """There is no registry to ask."""


class NothingPrebuilt(RegistryError):
    """A release has nothing compiled for a target; perhaps it can be built."""

    def __init__(self, message: str, name: str, target: str) -> None:
        super().__init__(f"{message} Build it: zoo build {name} --target {target}")
        self.message, self.name, self.target = message, name, target


class ImageError(ZooError):
    """Something can't be embedded: not an image, or not in a form that is taken."""


class NothingRuns(ZooError):
    """No artifact of a release can be used on this machine, or not the one that was asked for."""


class GalleryError(ZooError):
    """A gallery can't be made, read, written, or asked with this model."""


class SheetError(ZooError):
    """A sheet can't be drawn under this name."""


class OutputError(ZooError):
    """A file that the user named can't be written."""
