"""Errors that a user can fix, of everything above the pipeline.

ZooError                    root of all errors that a user can fix, those of lower packages too (`targets.errors`)
├── CatalogueError          zoo.yaml or an override is not valid: every problem with file, line and key
├── CompareError            figures can't be compared, searched or drawn as asked
├── EmulationError          another machine can't be emulated here, or an artifact does not run there
├── ExportError             a release can't be written for a consumer as asked, or what was made is not the release
│   └── NotPulled           a file of the release is not on this machine
├── GalleryError            a gallery can't be built, read, or searched with this model
├── ImageError              not an image, or not in a form that is accepted
├── LicenseError            a release does not fit the licenses that its user accepts
├── ManifestError           a release is unknown, damaged, or of a newer schema
├── NothingRuns             no artifact of a release can run here
├── OutputError             a file or folder that the user named can't be written
├── RegistryError           a registry can't be reached or trusted
│   ├── NoRegistry          none is configured, or it can't be reached
│   └── NothingPrebuilt     a release has nothing compiled for a target
├── ServeError              a server can't start: its port is in use, or limits exclude each other
├── SheetError              a contact sheet can't be drawn under this name
├── SiteError               a site can't be made
└── SubmissionError         measurements that somebody sent are not of a release here, or can't be true
"""

from targets.errors import ZooError as ZooError


class CatalogueError(ZooError):
    """The catalogue, or a request to it, is not valid."""


class CompareError(ZooError):
    """Figures can't be compared, searched or drawn as asked."""


class LicenseError(ZooError):
    """A release does not fit the licenses that its user accepts, or one of these is unknown."""


class EmulationError(ZooError):
    """Another machine can't be emulated here, or an artifact does not run there."""


class ExportError(ZooError):
    """A release can't be written for a consumer as asked, or what was made is not the release."""


class NotPulled(ExportError):
    """A file of a release was not pulled; `target` is the target that it belongs to, None for a file of all targets."""

    def __init__(self, what: str, label: str, target: str | None) -> None:
        only = f" --target {target}" if target else ""
        super().__init__(f"{what} of {label} is not here. Get it: zoo pull {label}{only}")
        self.target = target


class ManifestError(ZooError):
    """A manifest can't be found or read."""


class RegistryError(ZooError):
    """A registry can't be reached or written, or its content does not match its description."""


class NoRegistry(RegistryError):
    """There is no registry to ask."""


class NothingPrebuilt(RegistryError):
    """A release has nothing compiled for a target; it may be possible to build it."""

    def __init__(self, message: str, command: str) -> None:
        """`command` builds the release again with that target, as its manifest says."""
        super().__init__(f"{message} Build it: {command}")
        self.message, self.command = message, command


class ImageError(ZooError):
    """An input can't be embedded: not an image, or not in a form that is accepted."""


class NothingRuns(ZooError):
    """No artifact of a release can run on this machine, or not the requested one."""


class GalleryError(ZooError):
    """A gallery can't be built, read, written, or searched with this model."""


class ServeError(ZooError):
    """A server can't start."""


class SheetError(ZooError):
    """A sheet can't be drawn under this name."""


class OutputError(ZooError):
    """A file or folder that the user named can't be written."""


class SiteError(ZooError):
    """A site can't be made."""


class SubmissionError(ZooError):
    """Measurements that somebody sent can't be read, are not of a release here, or can't be true."""
