"""The form of an error message."""

import pytest

from targets.errors import ArtifactFailed


def refusal(call, *arguments, of=ArtifactFailed):
    """The message of an error, which must have one or two lines."""
    with pytest.raises(of) as caught:
        call(*arguments)
    message = str(caught.value)
    assert message.count("\n") < 2
    assert all(len(line) < 400 for line in message.split("\n"))
    return message
