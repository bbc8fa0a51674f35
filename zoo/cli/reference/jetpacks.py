"""The table of boards and JetPacks in docs/jetson.md, from `targets.nvidia.jetpacks`."""

from __future__ import annotations

from targets.nvidia.jetpacks import STACKS, SYSTEM, Stack

HEADS = ("target", "board", "JetPack", "L4T", "CUDA", "TensorRT", "Python", "TensorRT's Python package", "DLA")


def _range(text: str) -> str:
    return f"`{text}`"


def _install(stack: Stack) -> str:
    system = f"`{SYSTEM}`"
    if stack.before:
        system = f"{stack.before[0].lower()}{stack.before[1:]}; {system}"
    return f"{system}, or `pip install '{stack.wheel}'`" if stack.has_wheel else f"{system}; {stack.wheel}"


def _row(stack: Stack) -> tuple[str, ...]:
    return (
        f"`{stack.target}`",
        f"{stack.board} (SM {stack.sm})",
        stack.jetpack,
        _range(stack.l4t),
        stack.cuda,
        _range(stack.tensorrt),
        stack.python,
        _install(stack),
        f"no: {stack.no_dla}" if stack.no_dla else "yes",
    )


def jetpacks() -> str:
    """The table, as Markdown."""
    rows = [HEADS, ("---",) * len(HEADS), *map(_row, STACKS)]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)
