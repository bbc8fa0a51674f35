"""A target as described in zoo.yaml. Standard library only, as is everything that a device may import."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, TypeVar, get_args

from targets.errors import BadOption, as_written, first_line

Precision = Literal["fp32", "fp16", "int8"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
Activations = Literal["symmetric", "asymmetric"]
WeightBits = Literal[7, 8]
REQUIREMENTS = ("versions",)  # options that say what a target needs, and change no result
EMBED_BATCH = 8  # images at once where accuracy is measured; every artifact takes as many
Options = TypeVar("Options")
TYPES = {  # of options, in words
    bool: "true or false",
    int: "an integer",
    float: "a number with a decimal point",
    str: "a text",
    tuple: "a list",
}


@dataclass(frozen=True)
class TargetSettings:
    """A runtime on a device.

    Attributes:
        runtime: name under the entry point `zoo.targets`.
        device: name of the device in the runtime.
        threads: threads of one inference on a CPU; default: one per core.
        board: words of the machine's name (`targets.machine.device`), if only that machine will do.
        about: description of the machine, for tables and lists.
        host: `ssh://user@host:port` of the machine; default: this one.
        python: the interpreter on `host` that has numpy and the runtime.
        precisions: precisions to build; default: all that the runtime supports.
        options: options of the runtime, see its `Options`.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    runtime: str
    device: str = "CPU"
    threads: int | None = None
    board: str | None = None
    about: str = ""
    host: str | None = None
    python: str = "python3"
    precisions: tuple[Precision, ...] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.threads is not None and self.threads < 1:
            raise ValueError("threads: must be at least 1")
        if self.precisions is not None and not self.precisions:
            raise ValueError(f"precisions: at least one of {', '.join(PRECISIONS)}")

    @property
    def computing(self) -> TargetSettings:
        """The part that results depend on: without description, host and precisions."""
        return TargetSettings(self.runtime, self.device, self.threads, options=self.options)


def read_options(kind: type[Options], settings: TargetSettings) -> Options:
    """Options of a runtime, as its dataclass of plain values; each is checked against the type of its default.

    Raises:
        BadOption: an unknown option, or one of another type.
    """
    known = {field.name: field.default for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    plain = {name: tuple(value) if isinstance(value, list) else value for name, value in settings.options.items()}
    for name, value in plain.items():
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f"Did you mean {near[0]!r}?" if near else f"Known: {', '.join(known) or 'none'}."
            raise BadOption(f"the runtime {settings.runtime} has no option {name!r}. {hint}")
        wanted = type(known[name])
        if not isinstance(value, wanted) or (isinstance(value, bool) and wanted is int):
            raise BadOption(
                f"options.{name} of a {settings.runtime} target must be {TYPES.get(wanted, wanted.__name__)}, not "
                f"{as_written(value)}."
            )
    try:
        return kind(**plain)
    except ValueError as error:
        raise BadOption(f"options of a {settings.runtime} target: {first_line(error)}.") from None
