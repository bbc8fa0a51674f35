"""The folder of a data set of the catalogue."""

from __future__ import annotations

from pathlib import Path

from pipeline.data.dataset import dataset_folder
from pipeline.engine.store import explain
from pipeline.progress import Progress
from zoo.catalogue import load_catalogue
from zoo.data.overview import named_dataset
from zoo.home import Home


def find_folder(home: Home, name: str, root: Path, progress: Progress) -> Path:
    """The folder that paths of a data set's images are relative to; it is drawn first if the catalogue says so.

    Args:
        root: folder of data sets.

    Raises:
        CatalogueError: the catalogue does not have it, or can't be read.
        DataError, StoreError: it is not there, or can't be drawn.
    """
    catalogue = load_catalogue()
    name = named_dataset(catalogue, name)
    try:
        return dataset_folder(name, catalogue.datasets[name], root, home.data, progress.say)
    except OSError as error:
        raise explain(error, home.root) from None
