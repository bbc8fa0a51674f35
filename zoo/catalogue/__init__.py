"""zoo.yaml: data sets, targets and models, read as a whole or refused as a whole.

The user's catalogue lies on top of the shipped one, name by name; a model says with `base:` which other model it
starts from, so that a recipe is a few lines. Models whose names begin with an underscore are only there to start from.
"""

from zoo.catalogue.load import Catalogue, load_catalogue, read_catalogue

__all__ = ["Catalogue", "load_catalogue", "read_catalogue"]
