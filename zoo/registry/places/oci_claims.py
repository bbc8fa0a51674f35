"""Claims: that no two different releases are published under one name and version, where tags can't be locked.

A publisher of a new release writes a claim, a tag that nobody else writes, and only then looks at the claims of others
for the same name and version. Of two publishers, at least one therefore sees the other. Claims have random numbers:
who sees a smaller one withdraws, and tries again later; who sees larger ones only waits until they are withdrawn or
done. So one of two goes first, and the other finds its release in the index.

    the smaller one saw nobody       it came first: the larger one sees it, and withdraws
    the larger one saw nobody        it came first: the smaller one sees it, and waits until it is done

A publisher that dies leaves its claim. It had to write its release within `LEASE` of its claim, or withdraw; so whoever
has watched a claim for `ABANDONED`, by the own clock, declares it done. Clocks of two machines are not compared.

This needs a registry whose list of tags shows a tag once it is written, as the filesystem and S3 behind the usual
servers do. Where the list lags, still nothing is lost; but two builds under one version could both be published, of
which all readers then take the same one (`oci_state`).

It is the idea of Lamport's bakery (1974), with withdrawal in place of waiting in one of the two directions.
"""

from __future__ import annotations

import hashlib
import logging
import re
import secrets
import time
from collections.abc import Callable, Collection

logger = logging.getLogger(__name__)
CLAIM = re.compile(r"claim-([0-9a-f]{16})-([0-9a-f]{16})")
LEASE, ABANDONED = 30.0, 150.0  # s. A write takes up to 80 s (`oci_connection.TIMEOUT`); the second is longer than both
PAUSE = 0.05  # s between two looks at the tags


def _done(claim: str) -> str:
    return claim.replace("claim-", "done-", 1)


class Claims:
    """The claims of one publisher for one release.

    Args:
        label: name@version.
        tags: lists the registry's tags.
        write: writes a tag.
    """

    def __init__(self, label: str, tags: Callable[[], Collection[str]], write: Callable[[str], None]) -> None:
        self._label, self._tags, self._write = hashlib.sha256(label.encode()).hexdigest()[:16], tags, write
        self._watched: dict[str, float] = {}  # since when, by claim of another
        self._own, self._at = "", 0.0

    def acquire(self) -> bool:
        """Claim the release; return whether nobody else may publish it now. Otherwise the claim is withdrawn."""
        self._own, self._at = f"claim-{self._label}-{secrets.token_hex(8)}", time.monotonic()
        self._write(self._own)
        while others := self._others():
            if min(others) < self._own or not self.is_fresh:
                self.release()
                return False
            time.sleep(PAUSE)
        return True

    @property
    def is_fresh(self) -> bool:
        """Whether there is time left to write what was claimed."""
        return time.monotonic() - self._at < LEASE

    def release(self) -> None:
        """Say that it is done, or withdrawn."""
        self._write(_done(self._own))

    def _others(self) -> set[str]:
        """Open claims of others."""
        tags, now = set(self._tags()), time.monotonic()
        found = {tag for tag in tags if (match := CLAIM.fullmatch(tag)) and match[1] == self._label}
        found = {tag for tag in found - {self._own} if _done(tag) not in tags}
        for tag in found:
            if tag not in self._watched:
                logger.info("another publisher has %s; waiting until it is done, or for %g s", tag, ABANDONED)
            if now - self._watched.setdefault(tag, now) > ABANDONED:
                self._write(_done(tag))
        return {tag for tag in found if now - self._watched[tag] <= ABANDONED}
