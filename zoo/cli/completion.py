"""Shell completion for `zoo`: names on this machine. It reads names only, and never fails.

https://click.palletsprojects.com/en/stable/shell-completion/
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import click
from click.shell_completion import BashComplete, CompletionItem, add_completion_class

from zoo.home import Home, shipped_catalogue, user_catalogue

Complete = Callable[[click.Context, click.Parameter, str], list[str]]
RUNTIMES = ("onnxruntime", "openvino")  # runtimes that run the graph directly


def _offering(words: Callable[[], Iterable[str]]) -> Complete:
    def complete(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
        try:
            return [word for word in sorted({*words()}) if word.startswith(incomplete)]
        except Exception:  # noqa: BLE001 - any error is reported when the command runs
            return []

    return complete


def _section(name: str) -> Iterator[str]:
    """Names in a section of the catalogue, which is not validated for this."""
    import yaml

    for path in (shipped_catalogue(), user_catalogue()):
        content: Any = yaml.safe_load(path.read_text(encoding="utf-8")) if path and path.is_file() else {}
        yield from (word for word in content.get(name, {}) if not word.startswith("_"))


def _manifests() -> Iterator[Path]:
    home = Home.find()
    for root in (home.releases, home.pulled):
        yield from root.glob("[!.]*/[!.]*/manifest.json")


def _names() -> Iterator[str]:
    return (path.parent.parent.name for path in _manifests())


def _labels() -> Iterator[str]:
    return (f"{path.parent.parent.name}@{path.parent.name}" for path in _manifests())


def _wheels() -> Iterable[str]:
    from pipeline.networks.wheels import WHEELS

    return WHEELS


def release(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """NAME of a release on this machine; NAME@VERSION once there is an `@`."""
    return _offering(_labels if "@" in incomplete else _names)(context, parameter, incomplete)


def anywhere(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """NAME of a release, or of a model of the catalogue."""
    return sorted({*release(context, parameter, incomplete), *model(context, parameter, incomplete)})


version = _offering(_labels)
model = _offering(lambda: _section("models"))
dataset = _offering(lambda: _section("datasets"))
target = _offering(lambda: _section("targets"))
weights = _offering(lambda: [*_section("models"), *_wheels()])
target_or_runtime = _offering(lambda: [*_section("targets"), *RUNTIMES])


@add_completion_class
class _Bash(BashComplete):
    """bash splits words at `@`: NAME@VERSION is joined here, and only @VERSION is completed."""

    name = "bash"
    _before = 0

    def get_completion_args(self) -> tuple[list[str], str]:
        args, incomplete = super().get_completion_args()
        *joined, last = re.sub("\n?@\n?", "@", "\n".join([*args, incomplete])).split("\n")
        self._before = 0 if last == incomplete else last.index("@")
        return joined, last

    def format_completion(self, item: CompletionItem[Any]) -> str:
        return f"{item.type},{item.value[self._before :] if item.type == 'plain' else item.value}"
