"""What a user can mend in front of the pipeline.

ZooError
├── CatalogueError          zoo.yaml or an override of it: every problem with file, line and key
└── ManifestError           a release is unknown, damaged, or of a newer schema
"""


class ZooError(Exception):
    """Root of what a user can mend here."""


class CatalogueError(ZooError):
    """The catalogue, or something asked of it, is not right."""


class ManifestError(ZooError):
    """A manifest can't be found or understood."""
