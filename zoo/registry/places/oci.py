"""A registry in a repository of an OCI (container) registry: oci://HOST/REPOSITORY.

    blobs                         sha256:… is the digest that an index names files by, too
    files-HEX                     an artifact per publication (`oci_artifact`). It refers to the blobs, so that the
                                  registry's own garbage collection keeps them
    NAME-VERSION                  the same artifact of a release, for people and other tools
    index-NUMBER-HEX              states of the index; no tag is ever changed, and readers join them (`oci_state`)
    claim-HEX-HEX, done-HEX-HEX   so that one version has one content (`oci_claims`)

OCI registries have no conditional writes, so the index can't be one tag that is changed. Requests are in `oci_client`.
"""

from __future__ import annotations

import hashlib
import random
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from targets.installing import install_command
from zoo.errors import RegistryError
from zoo.registry.index import INDEX, Index, parse_index
from zoo.registry.index import LIMIT as INDEX_LIMIT
from zoo.registry.places.oci_artifact import (
    EMPTY,
    artifact,
    blobs_of,
    created,
    described,
    release_artifact,
    release_tag,
)
from zoo.registry.places.oci_claims import Claims
from zoo.registry.places.oci_state import TAG, State, entries, join, name_of, parse_state, tag_of
from zoo.registry.places.place import GARBAGE, PART_SECONDS, Edit, GivenUp, Later, too_long, unreached

ATTEMPTS = 60  # of a change that other writers overtake
UPLOADS = 5  # of blobs that the registry does not find when a manifest names them
READ_AGAIN = 5  # of the tags, if one that was listed is gone
LONGEST = 4 * 2**20  # bytes of an OCI manifest, the limit of the specification
CARRIER = re.compile(r"files-[0-9a-f]{16}")
CLAIM = re.compile(r"(?:claim|done)-[0-9a-f]{16}-[0-9a-f]{16}")
BLOB = re.compile(r"blobs/[0-9a-f]{2}/([0-9a-f]{64})")


def _path(digest: str) -> str:
    return f"blobs/{digest[:2]}/{digest}"


def _digest(path: str) -> str:
    found = BLOB.fullmatch(path)
    if found is None:
        raise FileNotFoundError(path)
    return found[1]


class Oci:
    """See `Place`."""

    def __init__(self, url: str) -> None:
        try:
            from zoo.registry.places.oci_client import Client
        except ModuleNotFoundError:
            raise RegistryError(f"OCI registries need oras. Run: {install_command('oci')}") from None
        self._client = Client(url)
        self.url = self._client.url
        self._states: dict[str, State] = {}  # by name; they never change

    def read(self, path: str, limit: int) -> bytes | None:
        """See `Place.read`."""
        try:
            if path != INDEX:
                return self._client.blob(_digest(path), limit)
            state = self._state()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise unreached(self.url, error) from None
        content = state.index.to_bytes() if state.seen else None
        if content and len(content) > limit:
            raise too_long(path, self.url, limit)
        return content

    def fetch(self, path: str, start: int, end: int) -> bytes:
        """See `Place.fetch`."""
        return self._client.fetch(_digest(path), start, end, PART_SECONDS)

    def publish(self, blobs: Mapping[str, Path], index: str, limit: int, edit: Edit) -> None:  # noqa: ARG002
        """See `Place.publish`."""
        sources = {_digest(path): source for path, source in blobs.items()}
        claims: dict[str, Claims] = {}
        try:
            self._upload(sources)
            for attempt in range(ATTEMPTS):
                if self._try(sources, edit, claims):
                    return
                time.sleep(random.uniform(0, min(2.0, 0.05 * 2**attempt)))
        except OSError as error:
            raise unreached(self.url, error) from None
        raise RegistryError(f"other writers of {self.url} were faster {ATTEMPTS} times. Run the command again.")

    def listing(self, below: str) -> Iterator[tuple[str, int, float]]:
        """See `Place.listing`. Only blobs that artifacts refer to can be listed, as old as the youngest of these."""
        if below != "blobs":
            return
        found: dict[str, tuple[int, float]] = {}
        try:
            for _, manifest, _ in self._manifests(CARRIER):
                for digest, size in blobs_of(manifest).items():
                    found[digest] = size, max(created(manifest), found.get(digest, (0, 0.0))[1])
        except OSError as error:
            raise unreached(self.url, error) from None
        for digest, (size, at) in found.items():
            yield _path(digest), size, at

    def remove(self, paths: list[str]) -> None:
        """See `Place.remove`. Deletes artifacts that only garbage needs, then states, claims and marks that are of no
        use any more; the registry's own garbage collection frees the space.
        """
        garbage = {_digest(path) for path in paths}
        try:
            carriers = [(digest, set(blobs_of(manifest))) for _, manifest, digest in self._manifests(CARRIER)]
            whole = {blob for _, held in carriers if not held & garbage for blob in held}
            gone = [digest for digest, held in carriers if held & garbage and held - garbage <= whole]
            self._delete(gone, must=True)
            self._delete(self._superseded(), must=False)
        except OSError as error:
            raise unreached(self.url, error) from None

    def _state(self) -> State:
        """The join of all states."""
        for _ in range(READ_AGAIN):
            heads, complete = self._heads()
            if complete:
                break
        return join(heads)

    def _heads(self) -> tuple[list[State], bool]:
        """States that no other one has in it, and whether all that were listed could be read.

        A tag may be listed shortly before it can be read, and is not written before it can be.
        """
        listed = sorted((int(found[1]), found[2], tag) for tag in self._client.tags() if (found := TAG.fullmatch(tag)))
        heads: list[State] = []
        covered, complete = set[str](), True
        for _, name, tag in reversed(listed):  # one with a smaller number has none with a larger one in it
            if name in covered:
                continue
            if name not in self._states:
                state = self._load(tag, name)
                if state is None:
                    complete = False
                    continue
                self._states[name] = state
            heads.append(self._states[name])
            covered |= self._states[name].seen
        return heads, complete

    def _load(self, tag: str, name: str) -> State | None:
        found = self._client.manifest(tag, LONGEST)
        if found is None:
            return None
        try:
            index, beside = (self._client.blob(one["digest"].removeprefix("sha256:"), INDEX_LIMIT)
                             for one in found[0]["layers"])  # fmt: skip
            return parse_state(index, beside, name, self.url)
        except (FileNotFoundError, KeyError, TypeError, AttributeError, ValueError) as error:
            raise GivenUp(None, f"its index {tag} is damaged ({error})") from None

    def _upload(self, sources: Mapping[str, Path]) -> None:
        for digest, source in sources.items():
            if not self._client.has(digest):
                self._client.upload(source, digest)

    def _try(self, sources: Mapping[str, Path], edit: Edit, claims: dict[str, Claims]) -> bool:
        """Whether the change is made, or none is needed."""
        before = self._state()
        after = _edited(before, edit, self.url)
        if after is None:
            return True
        new = _new(before.index, after)
        taken: list[Claims] = []
        try:
            for label in new:
                claim = claims.setdefault(label, Claims(label, self._client.tags, self._mark))
                if not claim.acquire():
                    return False
                taken.append(claim)
            if new:  # another one may have been faster before we had the claim
                before = self._state()
                after = _edited(before, edit, self.url)
                if after is None:
                    return True
                if not {*_new(before.index, after)} <= {*new}:
                    return False
            self._carry(sources, before.index, after)
            return self._commit(before.changed(after), taken)
        finally:
            for claim in taken:
                claim.release()

    def _carry(self, sources: Mapping[str, Path], before: Index, after: Index) -> None:
        """Write the artifact that refers to the blobs, before an index names them, so that none is collected."""
        changed = [one for one in entries(after) if before.find(one[0], one[1]) != one[2]]
        for name, version, listed in changed if sources else ():
            manifest = release_artifact(name, version, listed, sources)
            tag = f"files-{hashlib.sha256(repr(manifest).encode()).hexdigest()[:16]}"
            self._tag(manifest, tag, sources)
            known = release_tag(name, version)
            if known and before.find(name, version) is None:
                self._tag(manifest, known, sources)

    def _commit(self, state: State, claims: Iterable[Claims]) -> bool:
        """Write a new state; return whether it was written in time."""
        contents = state.to_bytes()
        name = name_of(*contents)
        digests = [hashlib.sha256(content).hexdigest() for content in contents]
        titles = (INDEX, "beside.json")
        layers = [described(d, len(c), title) for d, c, title in zip(digests, contents, titles, strict=True)]
        manifest = artifact("index", layers, {})
        with TemporaryDirectory() as scratch:
            sources = {digest: Path(scratch, digest) for digest in digests}
            for content, source in zip(contents, sources.values(), strict=True):
                source.write_bytes(content)
            self._upload(sources)
            for attempt in range(ATTEMPTS):
                if not all(claim.is_fresh for claim in claims):
                    return False
                try:
                    self._client.tag(manifest, tag_of(state, name), patient=False)
                    return True
                except (Later, FileNotFoundError) as error:
                    if attempt == ATTEMPTS - 1:
                        raise
                    if isinstance(error, FileNotFoundError):
                        self._upload(sources)  # Docker's registry sometimes does not find at once what it has
                        self._empty()
                    time.sleep(random.uniform(0, min(2.0, 0.05 * 2**attempt)))
        return False

    def _tag(self, manifest: dict[str, Any], tag: str, sources: Mapping[str, Path]) -> None:
        """Write a manifest, and again what was collected since we looked."""
        for attempt in range(UPLOADS):
            try:
                self._client.tag(manifest, tag)
                return
            except FileNotFoundError:
                if attempt == UPLOADS - 1:
                    raise
                self._upload(sources)
                self._empty()

    def _mark(self, tag: str) -> None:
        """Write a tag that says all by its name."""
        manifest = artifact("claim", [], {"dev.edge-model-zoo.claim": tag.partition("-")[2]})
        self._tag(manifest, tag, {})

    def _empty(self) -> None:
        digest = hashlib.sha256(EMPTY).hexdigest()
        if not self._client.has(digest):
            with TemporaryDirectory() as scratch:
                Path(scratch, digest).write_bytes(EMPTY)
                self._client.upload(Path(scratch, digest), digest)

    def _manifests(self, pattern: re.Pattern[str]) -> Iterator[tuple[str, dict[str, Any], str]]:
        """Tag, content and digest of the manifests under tags of a kind."""
        for tag in self._client.tags():
            if pattern.fullmatch(tag) and (found := self._client.manifest(tag, LONGEST)):
                yield tag, *found

    def _superseded(self) -> Iterator[str]:
        """Digests of manifests that are older than a day and of no use: states that others have in them, and claims."""
        heads = set(self._head_tags())
        for pattern in (TAG, CLAIM):
            for tag, manifest, digest in self._manifests(pattern):
                if tag not in heads and time.time() - created(manifest) > GARBAGE:
                    yield digest

    def _head_tags(self) -> Iterator[str]:
        heads, _ = self._heads()
        for name, state in self._states.items():
            if any(state is head for head in heads):
                yield f"index-{len(state.seen)}-{name}"

    def _delete(self, digests: Iterable[str], must: bool) -> None:
        for digest in dict.fromkeys(digests):
            if not self._client.delete(digest):
                if must:
                    raise RegistryError(
                        f"{self.url} does not allow to delete anything. Ask its keeper to allow it (docker-registry: "
                        "storage.delete.enabled), and to run its own garbage collection afterwards."
                    )
                return


def _edited(state: State, edit: Edit, url: str) -> Index | None:
    content = edit(state.index.to_bytes() if state.seen else None)
    return None if content is None else parse_index(content, url)


def _new(before: Index, after: Index) -> list[str]:
    """Releases that were not there, as name@version, in an order that is equal for all writers."""
    return sorted(f"{name}@{version}" for name, version, _ in entries(after) if before.find(name, version) is None)
