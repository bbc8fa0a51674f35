"""What a refusal looks like."""

import pytest

from targets.errors import ArtifactFailed


def refusal(call, *arguments, of=ArtifactFailed):
    """The message of an error, of one or two lines that a terminal holds."""
    with pytest.raises(of) as caught:
        call(*arguments)
    message = str(caught.value)
    assert message.count("\n") < 2
    assert all(len(line) < 400 for line in message.split("\n"))
    return message
