"""What can go wrong between a graph and a device.

TargetError                 what, why, what next
├── UnknownRuntime          no installed package offers this runtime
├── Unusable                the runtime or its device is not to be had here
└── ArtifactFailed          a graph did not compile, or an artifact did not load or run
"""


class TargetError(Exception):
    """Root of what a user can mend about a target."""


class UnknownRuntime(TargetError):
    """No installed package offers this runtime."""


class Unusable(TargetError):
    """The runtime or its device is not usable on this machine; `mend` is the command that changes that, if any."""

    def __init__(self, why: str, mend: str) -> None:
        super().__init__(f"{why}. {mend}")
        self.why, self.mend = why, mend


class ArtifactFailed(TargetError):
    """A graph did not compile, or an artifact did not load or run."""
