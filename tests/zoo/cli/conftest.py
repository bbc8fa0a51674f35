"""The finished workshop as the current home, a writable registry, and a bundle to compile."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from tests.conftest import Workshop
from tests.zoo.elsewhere.conftest import bundle, quick, waiting
from tests.zoo.registry.conftest import home, serve
from zoo.cli.shapes.commands import COMMANDS
from zoo.cli.shapes.events import EVENTS

__all__ = ["bundle", "home", "quick", "serve", "waiting"]
SHAPES = {name: TypeAdapter(shape) for name, shape in COMMANDS.items()}
LINES = {name: TypeAdapter(event) for name, event in EVENTS.items()}


def no_number(text: str) -> None:
    raise ValueError(f"{text} is not JSON")


def document(name: str, text: str) -> Any:
    """Check for one document of a command's documented shape."""
    content = json.loads(text, parse_constant=no_number)
    SHAPES[name].validate_json(text, strict=True)
    return content


def stream(text: str) -> list[dict[str, Any]]:
    """Check for events of the documented shape; only the last one is a result or an error."""
    lines = [json.loads(line, parse_constant=no_number) for line in text.splitlines()]
    for line in lines:
        LINES[line["event"]].validate_json(json.dumps(line), strict=True)
    assert [line["event"] in ("result", "error") for line in lines] == [False] * (len(lines) - 1) + [True]
    return lines


@pytest.fixture
def shop(finished: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workshop:
    """A release to inspect, from an empty folder."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("ZOO_REGISTRY", str(tmp_path / "registry"))
    return finished


@pytest.fixture
def environment(shop: Workshop) -> Mapping[str, str]:
    """Environment of child processes."""
    return {
        "ZOO_CATALOGUE": str(shop.catalogue),
        "ZOO_HOME": str(shop.home),
        "ZOO_DATA": str(shop.root / "data"),
        "OMP_NUM_THREADS": "1",
        "TERM": "xterm",
    }


Words = Callable[..., list[str]]


@pytest.fixture
def words(shop: Workshop) -> Words:
    """A command line with IMAGES and IMAGE replaced by paths."""
    folder = shop.root / "data" / "squares" / "image_query"
    stand = {"IMAGES": str(folder), "IMAGE": str(min(folder.glob("*.jpg")))}
    return lambda line: [stand.get(word, word) for word in line.split()]
