"""One direction of imports, and a base install without torch and runtimes."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

TOP = Path(__file__).parents[2]
ALLOWED = {
    "zoo": {"zoo", "pipeline", "calibration", "targets"},
    "pipeline": {"pipeline", "calibration", "targets"},
    "calibration": {"calibration"},
    "targets": {"targets"},
}
HEAVY = (
    "torch", "torchvision", "timm", "onnx", "onnxruntime", "openvino", "safetensors", "huggingface_hub", "tensorrt_rtx",
    "asyncssh",
)  # fmt: skip


@pytest.mark.parametrize("room", ALLOWED)
def test_imports_go_one_way(room):
    paths = [*(TOP / room).rglob("*.py")]
    assert paths
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text())):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            tops = {name.split(".")[0] for name in names} & set(ALLOWED)
            assert tops <= ALLOWED[room], f"{path} imports {tops - ALLOWED[room]}"


def test_code_in_a_bundle_needs_only_numpy():
    """At import; runtimes are imported when they are used, and ssh stays at home."""
    paths = [path for path in (TOP / "targets").rglob("*.py") if "ssh" not in path.parts]
    assert paths
    for path in paths:
        for node in ast.parse(path.read_text()).body:
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            tops = {name.split(".")[0] for name in names} - {"targets", "numpy"} - sys.stdlib_module_names
            assert not tops, f"{path} imports {tops}"


def imported_by(home, *arguments):
    """Heavy packages that a command line imports."""
    code = (
        "import sys\n"
        "from zoo.cli import main\n"
        f"try: main({list(arguments)!r})\n"
        "except SystemExit as exit: assert not exit.code, exit.code\n"
        f"print('HEAVY', *[name for name in {HEAVY!r} if name in sys.modules])"
    )
    command = [sys.executable, "-c", code]
    environment = {**os.environ, "ZOO_HOME": str(home)}
    result = subprocess.run(command, capture_output=True, text=True, check=True, cwd=TOP, env=environment)
    return result.stdout.rsplit("HEAVY", 1)[1].split()


@pytest.mark.parametrize("arguments", [["--help"], ["build", "--help"], ["list"]])
def test_help_and_lists_load_no_framework(arguments, tmp_path):
    assert imported_by(tmp_path, *arguments) == []


def test_all_modules_of_the_base_import_without_frameworks():
    modules = [
        ".".join(path.relative_to(TOP).with_suffix("").parts)
        for room in ("zoo", "targets")
        for path in (TOP / room).rglob("*.py")
        if path.stem not in ("__init__", "__main__") and "ssh" not in path.parts
    ]
    blocked = f"import sys\nfor name in {HEAVY!r}: sys.modules[name] = None\n"
    code = blocked + "\n".join(f"import {module}" for module in modules)
    subprocess.run([sys.executable, "-c", code], check=True, cwd=TOP)
