"""`student: timm:ARCHITECTURE`: another network as the student, small from the start, in place of a compressed one.

It learns from the same teacher with the same losses and schedule, so that a recipe and its honest alternative differ in
the student alone. The teacher stays as it was, and its result in the store is used for both.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from zoo.catalogue.names import wrong_name
from zoo.catalogue.source import OVERRIDE, KeyPath, Source, merge
from zoo.errors import CatalogueError

KEY, PREFIX = "student", "timm:"
OWN_STARTS = ("random", "pretrained")  # values of distill.init that do not depend on the student's architecture


def _part(data: dict[str, Any], key: str) -> dict[str, Any]:
    found = data.get(key)
    return found if isinstance(found, dict) else {}


def student_of(source: Source) -> str | None:
    """The architecture that a model names as its student; None if it names none.

    Raises:
        CatalogueError: it is not written as timm:ARCHITECTURE.
    """
    told = source.data.get(KEY) if isinstance(source.data, dict) else None
    if told is None:
        return None
    architecture = str(told).removeprefix(PREFIX)
    if not (isinstance(told, str) and told.startswith(PREFIX)) or wrong_name(architecture):  # it names a release, too
        shown = f" {told[:80]!r}" if isinstance(told, str) else ""
        raise CatalogueError(
            f"{source.origin((KEY,))}: student{shown}: write timm:ARCHITECTURE, as in timm:mobilenetv4_conv_small."
        )
    return architecture


def _check_overrides(source: Source, distill: dict[str, Any]) -> None:
    """Refuse overrides of settings that a student decides; what a base says of them just gives way.

    Raises:
        CatalogueError: there is one.
    """
    decided = {"compress": None, "method": "fixed", "init": distill.get("init") in OWN_STARTS and distill["init"]}
    for key, value in decided.items():
        origin = source.origins.get(("distill", key))
        if origin and origin.file.startswith(OVERRIDE) and distill.get(key) != value:
            starts = " and starts without its teacher's weights" if key == "init" else ""
            raise CatalogueError(
                f"{origin}: a student from timm has its final size from the start{starts}, so distill.{key} does not "
                "apply to it. Leave that out."
            )


def with_student(source: Source) -> Source:
    """A model with the settings that its `student` stands for, and without that key.

    It starts from pretrained weights if its teacher does and timm has some, otherwise from random ones; unless
    `distill.init` says so itself.

    Raises:
        CatalogueError: see `student_of`; or an override sets what the student decides.
    """
    architecture = student_of(source)
    if not isinstance(source.data, dict) or KEY not in source.data:
        return source
    origin = source.origin((KEY,))
    plain = Source({key: value for key, value in source.data.items() if key != KEY}, source.origins)
    if architecture is None:
        return plain
    network, teacher, distill = (_part(plain.data, key) for key in ("network", "teacher", "distill"))
    _check_overrides(plain, distill)
    init = distill.get("init")
    if init not in OWN_STARTS:
        init = "pretrained" if teacher.get("pretrained", True) or teacher.get("weights") else "random"
    settings: dict[str, Any] = {
        "network": {"architecture": architecture, "last_stride": 2},
        "teacher": {
            "architecture": teacher.get("architecture") or network.get("architecture"),
            "last_stride": teacher.get("last_stride") or network.get("last_stride", 1),
        },
        "distill": {"method": "fixed", "compress": None, "init": init},
    }
    paths: list[KeyPath] = [(), *((key,) for key in settings)]
    paths += [(key, name) for key, part in settings.items() for name in part]
    return merge(plain, Source(settings, dict.fromkeys(paths, origin)))


def has_weights(architecture: str) -> bool:
    """Whether timm publishes pretrained weights of an architecture; also for one that it does not know, which is
    reported later.
    """
    import timm

    if not timm.is_model(architecture):
        return True
    config = timm.get_pretrained_cfg(architecture)
    return bool(config is not None and config.hf_hub_id)


def release_name(name: str, overrides: Sequence[str]) -> str:
    """The name of a release: the model's, with the student's architecture if the command names one."""
    told = [one.partition("=")[2].strip() for one in overrides if one.partition("=")[0].strip() == KEY]
    architecture = told[-1].removeprefix(PREFIX) if told else ""
    return f"{name}-{architecture}" if architecture not in ("", "null") else name
