"""zoo.yaml: data sets, targets and models.

The user's catalogue extends the shipped one, name by name; with `base:` a model starts from another one, so that a
recipe is a few lines. Models whose names begin with an underscore serve only as bases.
"""

from zoo.catalogue.catalogue import Catalogue
from zoo.catalogue.load import load_catalogue, read_catalogue

__all__ = ["Catalogue", "load_catalogue", "read_catalogue"]
