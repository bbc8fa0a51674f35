"""The index of a registry that can't change a tag conditionally: a set of states that only grows, and their join.

Each change writes one new state under a tag of its own, named by its content: all releases as its writer saw them, with
the change, and the names of all states that went into it. Two writers never write the same tag with different content,
so none overwrites another, whatever happens. A reader lists the tags, reads the states that no other one has in it
(usually one), and joins them:

- releases, signatures and measurements: the union of all
- whether a release is hidden: by the later of two changes, counted in states, since clocks of machines differ
- the revision of the index: the number of states; so it rises with each change, for every reader

Joining is commutative, associative and idempotent, so every reader comes to the same index (a state-based CRDT:
Shapiro et al., "Conflict-free Replicated Data Types", 2011). What a union can't prevent is two different releases under
one name and version; see `zoo.registry.places.oci_claims`.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import reduce

from zoo.registry.index import Index, Listed, parse_index
from zoo.sanitize import parse_json

TAG = re.compile(r"index-([0-9]{1,9})-([0-9a-f]{16})")
Hidden = tuple[int, str | None]  # at which state, and the reason; None: shown again


@dataclass(frozen=True)
class State:
    """What a registry holds, as one writer saw it.

    Attributes:
        seen: names of all states in it.
        hidden: by name@version, the last change of whether a release is hidden.
    """

    releases: Index = field(default_factory=Index)
    seen: frozenset[str] = frozenset()
    hidden: dict[str, Hidden] = field(default_factory=dict)

    @property
    def index(self) -> Index:
        """The index, as in other registries."""
        return self.releases.model_copy(update={"revision": len(self.seen)})

    def joined(self, other: State) -> State:
        """Everything of both."""
        releases = {name: dict(versions) for name, versions in self.releases.releases.items()}
        for name, versions in other.releases.releases.items():
            ours = releases.setdefault(name, {})
            for version, listed in versions.items():
                ours[version] = _joined(ours[version], listed) if version in ours else listed
        hidden = dict(self.hidden)
        for label, change in other.hidden.items():
            hidden[label] = max(hidden.get(label, change), change, key=lambda one: (one[0], one[1] or ""))
        for label, (_, reason) in hidden.items():
            name, _, version = label.partition("@")
            if version in releases.get(name, {}):
                releases[name][version] = releases[name][version].model_copy(update={"yanked": reason})
        return State(Index(releases=releases), self.seen | other.seen, hidden)

    def changed(self, after: Index) -> State:
        """This state with a change: not named yet, so its own name is not in `seen`."""
        at = len(self.seen) + 1
        hidden = dict(self.hidden)
        for name, version, listed in entries(after):
            before = self.releases.find(name, version)
            if listed.yanked != (before.yanked if before else None):
                hidden[f"{name}@{version}"] = at, listed.yanked
        return State(after, self.seen, hidden)

    def to_bytes(self) -> tuple[bytes, bytes]:
        """The index, and what a join needs beside it."""
        beside = {"seen": sorted(self.seen), "hidden": self.hidden}
        written = self.releases.model_copy(update={"revision": len(self.seen) + 1}).to_bytes()
        return written, (json.dumps(beside, sort_keys=True) + "\n").encode()


def _joined(one: Listed, other: Listed) -> Listed:
    """Two entries of a release."""
    if one.manifest != other.manifest:  # two builds under one version, see `oci_claims`: all take the same one
        return min(one, other, key=lambda listed: (listed.published_at, listed.manifest.sha256))
    if one == other:
        return one
    signatures = {signature.key: signature for signature in sorted((*one.signatures, *other.signatures), key=str)}
    return one.model_copy(
        update={
            "published_at": min(one.published_at, other.published_at),
            "signatures": [signatures[key] for key in sorted(signatures)],
            "measurements": sorted({*one.measurements, *other.measurements}, key=lambda blob: blob.sha256),
            "yanked": max(one.yanked or "", other.yanked or "") or None,  # `State.hidden` decides
        }
    )


def entries(index: Index) -> Iterable[tuple[str, str, Listed]]:
    """Name, version and entry of each release."""
    return [(name, version, one) for name, versions in index.releases.items() for version, one in versions.items()]


def name_of(index: bytes, beside: bytes) -> str:
    """The name of a state, by its content."""
    return hashlib.sha256(index + b"\0" + beside).hexdigest()[:16]


def tag_of(state: State, name: str) -> str:
    """The tag of a state: by the number in it, a reader begins with the last one."""
    return f"index-{len(state.seen) + 1}-{name}"


def parse_state(index: bytes, beside: bytes, name: str, url: str) -> State:
    """Read a state.

    Raises:
        RegistryError: its index is damaged, or of a newer zoo.
        ValueError: it is damaged otherwise.
    """
    if name_of(index, beside) != name:
        raise ValueError(f"its index {name} has other content than its name says")
    told = parse_json(beside)
    if not isinstance(told, dict) or not isinstance(told.get("seen"), list) or not isinstance(told.get("hidden"), dict):
        raise ValueError(f"its index {name} is damaged")
    hidden: dict[str, Hidden] = {}
    for label, change in told["hidden"].items():
        match change:
            case [int(at), str() | None as reason]:
                hidden[label] = at, reason
            case _:
                raise ValueError(f"its index {name} is damaged")
    return State(parse_index(index, url), frozenset(map(str, told["seen"])) | {name}, hidden)


def join(states: Iterable[State]) -> State:
    """Everything of all of them."""
    return reduce(State.joined, states, State())
