"""Options shared by several commands."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from pipeline.engine.processes import launched
from zoo.cli.completion import target
from zoo.cli.events import Events
from zoo.cli.script import KEY, Document, begin, reserve

Command = TypeVar("Command", bound=Callable[..., Any])


def begin_events(context: click.Context) -> None:
    """Write events, unless another process of the build does."""
    if not launched() or os.environ.get("RANK", "0") == "0":
        begin(context, Events)


def _events(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted and not context.resilient_parsing:
        begin_events(context)


def _json(context: click.Context, _: click.Parameter, wanted: bool) -> bool:
    if context.resilient_parsing:
        return wanted
    if wanted and KEY in context.meta:
        raise click.UsageError("--events ends in the output of --json: leave out --json.")
    if wanted:
        begin(context, Document)
    if KEY in context.meta:
        reserve(context)
    return KEY in context.meta


JSON = click.option("--json", "as_json", is_flag=True, callback=_json, help="Print the result as JSON.")
"""`as_json`: whether the output is for a script, see `print_json`."""


def scripted(command: Command) -> Command:
    """`--json` and `--events`, for a command that takes long; `reporter()` is its progress."""
    events = click.option(
        "--events",
        is_flag=True,
        is_eager=True,  # so that errors of other options are events, too
        expose_value=False,
        callback=_events,
        help="Print progress as JSON lines; the last one holds the result.",
    )
    return JSON(events(command))


def TARGETS(about: str) -> Callable[[Command], Command]:
    """`targets`: any number of `--target`, by name or alias."""
    return click.option("--target", "-t", "targets", multiple=True, metavar="TARGET", shell_complete=target, help=about)


PRECISION = click.option(
    "--precision",
    type=click.Choice(["auto", "fp32", "fp16", "int8"]),
    help="Precision that ships; auto keeps the fastest on the target that passes the accuracy gate.",
)
HOST = click.option(
    "--host", metavar="ssh://USER@HOST:PORT", help="Compile and measure on that host; needs exactly one --target."
)
PLAN = click.option("--plan", "plan_only", is_flag=True, help="Show which steps would run and why, then stop.")


def SET(about: str) -> Callable[[Command], Command]:
    """`overrides`: any number of `--set KEY=VALUE`."""
    return click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help=about)


def check_host(host: str | None, targets: Sequence[str]) -> None:
    """Refuse `--host` for several targets, or for all.

    Raises:
        click.UsageError: it is.
    """
    if host and len(targets) != 1:
        raise click.UsageError("--host is for one target: name it with --target.")


def with_precision(overrides: tuple[str, ...], precision: str | None) -> tuple[str, ...]:
    """Overrides, with `--precision` as one of them."""
    return (*overrides, f"precision={precision}") if precision else overrides


LICENSE = click.option(
    "--license",
    "licenses",
    multiple=True,
    metavar="IDS",
    help="Only what may be used under one of these licenses, by SPDX identifier, as in: apache-2.0,mit. Repeatable.",
)
"""`licenses`: for `zoo.release.licensing.accepted`."""

DATA_ROOT_DEFAULT = Path("data")
DATA_ROOT = click.option(
    "--data-root",
    type=click.Path(path_type=Path),
    envvar="ZOO_DATA",
    show_envvar=True,
    default=DATA_ROOT_DEFAULT,
    show_default=True,
    help="Folder that holds the data sets.",
)

LISTED_REGISTRY = click.option(
    "--registry",
    "url",
    metavar="[URL]",
    is_flag=False,
    flag_value="",
    help="Releases of this registry instead; without URL, at the end of the line: of ZOO_REGISTRY, or zoo.yaml's, or "
    "those that come with zoo.",
)
"""`url`: None without the option, empty without a value."""
