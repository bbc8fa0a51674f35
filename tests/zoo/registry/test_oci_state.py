"""States of an OCI registry's index: their join loses nothing and does not depend on the order."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zoo.errors import RegistryError
from zoo.registry.index import Blob, Index, Listed, Signature
from zoo.registry.places.oci_state import State, entries, join, name_of, parse_state, tag_of

NAMES, VERSIONS = ("one", "two"), ("1.0.0", "1.1.0")


def blob(number):
    return Blob(sha256=f"{number:064x}", size_bytes=number)


def listed(manifest=1, measurements=(), keys=(), yanked=None, at="2026-11-01T00:00:00+00:00"):
    return Listed(
        manifest=blob(manifest),
        content_sha256=f"{manifest:064x}",
        published_at=at,
        measurements=[blob(one) for one in measurements],
        signatures=[Signature(blob=blob(one), key=f"key {one}") for one in keys],
        yanked=yanked,
    )


def written(state):
    """The state as its writer wrote it and a reader reads it: with its own name in it."""
    index, beside = state.to_bytes()
    return parse_state(index, beside, name_of(index, beside), "oci://host/nets")


def after(state, name="one", version="1.0.0", **fields):
    """A state with one release changed; other fields of it stay."""
    before = state.index.find(name, version)
    entry = before.model_copy(update=fields) if before else listed(**fields)
    return written(state.changed(state.index.with_release(name, version, entry)))


@st.composite
def states(draw):
    """A few writers, each of which reads what some others wrote, and changes something."""
    known = [State()]
    for _ in range(draw(st.integers(1, 6))):
        seen = join(draw(st.lists(st.sampled_from(known), min_size=1, max_size=3)))
        name, version = draw(st.sampled_from(NAMES)), draw(st.sampled_from(VERSIONS))
        number = draw(st.integers(2, 9))
        there = seen.index.find(name, version)
        if there is None:
            known.append(after(seen, name, version, at=f"2026-11-0{number}T00:00:00+00:00"))
        elif draw(st.booleans()):
            measurements = [*there.measurements, *({blob(number)} - {*there.measurements})]
            known.append(after(seen, name, version, measurements=measurements))
        else:
            known.append(after(seen, name, version, yanked=draw(st.sampled_from(["bad", "worse", None]))))
    return known


def facts(index):
    """Everything in an index that must not be lost."""
    return {
        *((name, version) for name, version, _ in entries(index)),
        *((name, version, one.sha256) for name, version, listed in entries(index) for one in listed.measurements),
    }


@settings(max_examples=60, deadline=None)
@given(states(), st.randoms())
def test_readers_come_to_the_same_index_in_any_order(known, dice):
    shuffled = dice.sample(known, len(known))
    assert join(known).index == join(shuffled).index == join([*shuffled, *known]).index
    middle = len(known) // 2
    assert join([join(known[:middle]), join(known[middle:])]).index == join(known).index


@settings(max_examples=60, deadline=None)
@given(states())
def test_nothing_that_one_writer_wrote_is_lost(known):
    whole = join(known)
    for state in known:
        assert facts(state.index) <= facts(whole.index)
        assert state.index.revision <= whole.index.revision
    assert whole.index.revision == len(set[str]().union(*(state.seen for state in known)))


def test_two_writers_on_one_state_lose_neither_change():
    first = after(State())
    whole = join([after(first, "two"), after(first, measurements=[blob(5)])])
    assert facts(whole.index) == {("one", "1.0.0"), ("two", "1.0.0"), ("one", "1.0.0", blob(5).sha256)}
    assert whole.index.revision == 3


def test_a_release_stays_hidden_though_another_writer_did_not_know_it():
    first = after(State())
    whole = join([after(first, yanked="bad crops"), after(first, "two")])
    assert whole.index.find("one", "1.0.0").yanked == "bad crops"


def test_the_later_of_two_changes_of_hiding_counts():
    hidden = after(after(State()), yanked="bad crops")
    shown = after(hidden, yanked=None)
    for states in ([hidden, shown], [shown, hidden], [shown, after(hidden, "two")]):
        assert join(states).index.find("one", "1.0.0").yanked is None


def test_of_two_contents_of_one_version_every_reader_takes_the_first_that_was_published():
    early, late = (after(State(), manifest=n, at=f"2026-11-0{n}T00:00:00+00:00") for n in (1, 2))
    for states in ([early, late], [late, early]):
        assert join(states).index.find("one", "1.0.0").manifest == blob(1)


def test_signatures_are_kept_once_for_each_key():
    first = after(State())
    one, two = (after(first, signatures=listed(keys=keys).signatures) for keys in ((1, 2), (2, 3)))
    assert [one.key for one in join([one, two]).index.find("one", "1.0.0").signatures] == ["key 1", "key 2", "key 3"]


def test_a_state_is_named_by_its_content():
    state = State().changed(Index().with_release("one", "1.0.0", listed()))
    index, beside = state.to_bytes()
    name = name_of(index, beside)
    assert tag_of(state, name) == f"index-1-{name}"
    for changed in ((index + b" ", beside), (index, beside + b" ")):
        with pytest.raises(ValueError, match="other content than its name says"):
            parse_state(*changed, name, "oci://host/nets")


@pytest.mark.parametrize(
    "beside",
    [b"[]", b"{}", b'{"seen": [], "hidden": {"one@1.0.0": 3}}', b'{"seen": 3, "hidden": {}}', b"{", b"\xff"],
)
def test_a_damaged_state_is_refused(beside):
    index, _ = State().changed(Index()).to_bytes()
    with pytest.raises(ValueError):  # noqa: PT011 - of JSON as well
        parse_state(index, beside, name_of(index, beside), "oci://host/nets")


def test_a_damaged_index_in_a_state_is_refused():
    beside = b'{"seen": [], "hidden": {}}'
    with pytest.raises(RegistryError, match="the index of oci://host/nets is damaged"):
        parse_state(b"{", beside, name_of(b"{", beside), "oci://host/nets")
