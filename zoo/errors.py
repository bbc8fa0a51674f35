"""What a user can mend in front of the pipeline.

ZooError
├── CatalogueError          zoo.yaml or an override of it: every problem with file, line and key
├── CompareError            figures can't be compared, searched or drawn as asked
├── ManifestError           a release is unknown, damaged, or of a newer schema
└── RegistryError           a registry can't be reached or trusted
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
