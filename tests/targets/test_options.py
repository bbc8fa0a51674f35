"""Options of a runtime are checked against the types of their defaults."""

from dataclasses import dataclass

import pytest

from targets.errors import BadOption
from targets.settings import TargetSettings, read_options


@dataclass(frozen=True)
class Options:
    """Options of each type, and of one that no runtime of zoo has."""

    streams: int = 1
    share: float = 0.5
    fast: bool = False
    names: tuple[str, ...] = ()
    cache: object = frozenset()


def read(**options):
    return read_options(Options, TargetSettings("mine", options=options))


def test_options_are_read_as_a_catalogue_has_them():
    assert read(streams=4, share=0.25, fast=True, names=["a", "b"]) == Options(4, 0.25, True, ("a", "b"))


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"streams": "4"}, 'options.streams of a mine target must be an integer, not "4".'),
        ({"streams": True}, "must be an integer, not true."),
        ({"share": 1}, "must be a number with a decimal point, not 1."),
        ({"fast": 1}, "must be true or false, not 1."),
        ({"names": "a"}, "must be a list, not a."),
        ({"cache": ["a", None]}, "must be frozenset, not [a, null]."),
    ],
)
def test_an_option_of_another_type_is_refused_in_words_of_a_catalogue(options, told):
    with pytest.raises(BadOption) as refused:
        read(**options)
    assert str(refused.value).endswith(told)
