"""`zoo clean`: what of the store neither a release nor an unfinished build needs."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.engine.claims import Result, Unneeded, cleaning, find_unneeded, remove
from pipeline.engine.store import Store
from zoo.home import Home


def _released(home: Home, store: Store) -> Iterator[Result]:
    """Records that releases lead to."""
    for link in home.releases.glob("*/*"):
        folder = link.resolve()
        if folder.parent == (store.root / "record").resolve():
            yield "record", folder.name


def clean(home: Home, dry: bool, broken_off: bool) -> Unneeded:
    """Remove what is not needed; what that is.

    A release needs all that it was made from: with another target or setting, a build goes on from there.

    Args:
        dry: only tell.
        broken_off: remove also what builds need that were broken off.

    Raises:
        StoreError: the store can't be read or written; or it can't be told what a result was made from, and nothing was
            removed.
    """
    store = Store(home.store)
    with cleaning(store):
        found = find_unneeded(store, _released(home, store), broken_off)
        if not dry:
            remove(store, found)
    return found
