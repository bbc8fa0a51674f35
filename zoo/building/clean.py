"""`zoo clean`: results in the store that neither a release nor an unfinished build needs."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.engine.claims import Result, Unneeded, cleaning, find_unneeded, remove
from pipeline.engine.store import Store
from zoo.home import Home


def _released(home: Home, store: Store) -> Iterator[Result]:
    """Records that releases link to."""
    for link in home.releases.glob("*/*"):
        folder = link.resolve()
        if folder.parent == (store.root / "record").resolve():
            yield "record", folder.name


def clean(home: Home, dry: bool, broken_off: bool) -> Unneeded:
    """Remove unneeded results and return them.

    A release needs every result it was made from, so that a build with another target or setting can reuse them.

    Args:
        dry: only list them.
        broken_off: also remove the results of interrupted builds.

    Raises:
        StoreError: the store can't be read or written, or the inputs of a result are unknown; then nothing was removed.
    """
    store = Store(home.store)
    with cleaning(store):
        found = find_unneeded(store, _released(home, store), broken_off)
        if not dry:
            remove(store, found)
    return found
