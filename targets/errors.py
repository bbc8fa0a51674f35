"""The root of all errors that a user can fix, and the errors of targets.

ZooError                    caught by `zoo.ZooError`; the command line prints it without a traceback
├── CalibrationError        see `calibration.errors`
├── PipelineError           see `pipeline.errors`
├── those of `zoo.errors`
└── TargetError             below

TargetError                 what, why, what next
├── UnknownRuntime          no installed package provides this runtime
├── BadOption               an unknown option of a runtime, or an invalid value
├── Unusable                the runtime or its device is not available here
├── UnsupportedPrecision    the runtime does not support a precision
├── ArtifactFailed          a graph did not compile, or an artifact did not load or run
│   └── ForeignEngine       it was built for another GPU, or by another version
├── BadBundle               a bundle is damaged, or is not one
└── DeviceError             a device over ssh: not reached, not trusted, not ready, lost
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path


class ZooError(Exception):
    """Root of all errors that a user can fix: one or two lines that say what, why, and what next."""

    exit_code = 1


class TargetError(ZooError):
    """Root of the target errors that a user can fix."""


class UnknownRuntime(TargetError):
    """No installed package provides this runtime."""


class BadOption(TargetError):
    """A runtime does not have an option, or does not accept its value."""


class Unusable(TargetError):
    """The runtime or its device is not usable on this machine; `mend` says how to fix that."""

    def __init__(self, why: str, mend: str) -> None:
        super().__init__(f"{why}. {mend}")
        self.why, self.mend = why, mend


class UnsupportedPrecision(TargetError):
    """A target does not support a requested precision."""


class ArtifactFailed(TargetError):
    """A graph did not compile, or an artifact did not load or run."""


class ForeignEngine(ArtifactFailed):
    """An engine was built for another GPU or by another version of its runtime."""


class BadBundle(TargetError):
    """A bundle's content differs from its list, or is not valid."""


class DeviceError(TargetError):
    """A device can't be reached or trusted, lacks what the bundle needs, or was lost."""


LONGEST = 1000  # characters of a reason that is kept
SHOWN = 200  # characters of one that is printed


def shorten(text: str, length: int = SHOWN) -> str:
    """A message without its line breaks, cut where it is longer than `length`."""
    line = " ".join(text.split())
    return line if len(line) <= length else f"{line[:length]}…"


PLAIN = re.compile(r"[\w./][\w./+@-]*( [\w./+@()-]+)*")  # texts that YAML reads as such, unless they are in `OTHER`
OTHER = re.compile(r"(?i)null|true|false|yes|no|on|off|[-+.\d_:e]*|[-+]?\.inf|\.nan|0[bxo][\da-f_]+")


def as_written(value: object) -> str:
    """A setting's value as one writes it into a catalogue: YAML in one line, `{macs: 0.15}`, without null keys."""
    if isinstance(value, Mapping):
        given = [f"{as_written(key)}: {as_written(one)}" for key, one in value.items() if one is not None]
        return f"{{{', '.join(given)}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(as_written, value))}]"
    if isinstance(value, str):
        return value if PLAIN.fullmatch(value) and not OTHER.fullmatch(value) else json.dumps(value, ensure_ascii=False)
    if isinstance(value, float):
        text = str(value).replace("inf", ".inf").replace("nan", ".nan")
        return text if "." in text else text.replace("e", ".0e")  # YAML takes 1e-05 for a text
    return json.dumps(value) if value is None or isinstance(value, bool) else str(value)


def first_line(error: Exception, line: int = 0) -> str:
    """One line of an error's message, the first if no other is asked for, with what a terminal can print; the error's
    class if it has no message.
    """
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return "".join(one if one.isprintable() else "�" for one in lines[line].strip()[:SHOWN])


def in_a_line(error: Exception, *folders: Path) -> str:
    """An error's whole message in one line, for a record; paths below `folders` become relative to them."""
    text = " ".join(str(error).split()) or type(error).__name__
    for folder in folders:
        text = text.replace(f"{folder}/", "")
    return text[:LONGEST]
