"""One direction of imports, and a base install without torch and runtimes."""

import ast
import os
import subprocess
import sys
from functools import cache
from graphlib import TopologicalSorter
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import tomllib
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

TOP = Path(__file__).parents[2]
ALLOWED = {
    "zoo": {"zoo", "pipeline", "calibration", "targets"},
    "pipeline": {"pipeline", "calibration", "targets"},
    "calibration": {"calibration", "targets"},
    "targets": {"targets"},
}
HEAVY = (
    "torch", "torchvision", "timm", "onnx", "onnxruntime", "openvino", "safetensors", "huggingface_hub", "tensorrt_rtx",
    "asyncssh", "jinja2", "faiss", "prometheus_client",
)  # fmt: skip


@cache
def parsed(path):
    return ast.parse(path.read_text())


@pytest.mark.parametrize("room", ALLOWED)
def test_imports_go_one_way(room):
    paths = [*(TOP / room).rglob("*.py")]
    assert paths
    for path in paths:
        for node in ast.walk(parsed(path)):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            tops = {name.split(".")[0] for name in names} & set(ALLOWED)
            assert tops <= ALLOWED[room], f"{path} imports {tops - ALLOWED[room]}"


def imported_modules(path, modules):
    """Ours among the modules that a file imports, functions included; not those that only types need."""
    found, waiting = set(), [*parsed(path).body]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            continue
        if isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            found |= {name if name in modules else node.module for name in names} & modules.keys()
        waiting += ast.iter_child_nodes(node)
    return found


def test_no_module_and_no_package_imports_itself_through_others():
    paths = [path for top in ALLOWED for path in (TOP / top).rglob("*.py")]
    modules = {".".join(path.relative_to(TOP).with_suffix("").parts).removesuffix(".__init__"): path for path in paths}
    assert len(modules) > 200
    graph = {name: imported_modules(path, modules) for name, path in modules.items()}
    assert sum(map(len, graph.values())) > 500
    tuple(TopologicalSorter(graph).static_order())  # raises CycleError with the modules
    packages: dict[str, set[str]] = {}
    for name, others in graph.items():
        package = name if modules[name].name == "__init__.py" else name.rpartition(".")[0]
        homes = {other if modules[other].name == "__init__.py" else other.rpartition(".")[0] for other in others}
        packages.setdefault(package, set()).update(home for home in homes if home.count(".") and home != package)
    both = [(one, other) for one, others in packages.items() for other in others if one in packages.get(other, ())]
    assert not [pair for pair in both if not any(map(str.startswith, pair, pair[::-1]))]  # one inside the other may


def test_code_in_a_bundle_needs_only_numpy():
    """At import; runtimes are imported when they are used, and ssh stays at home."""
    paths = [path for path in (TOP / "targets").rglob("*.py") if "ssh" not in path.parts]
    assert paths
    for path in paths:
        for node in parsed(path).body:
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
        if path.stem not in ("__init__", "__main__", "oci_client", "oci_connection") and "ssh" not in path.parts
    ]
    blocked = f"import sys\nfor name in {HEAVY!r}: sys.modules[name] = None\n"
    code = blocked + "\n".join(f"import {module}" for module in modules)
    subprocess.run([sys.executable, "-c", code], check=True, cwd=TOP)


def test_every_library_that_is_imported_is_declared():
    project = tomllib.loads((TOP / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *(one for extra in project["optional-dependencies"].values() for one in extra)]
    declared = {canonicalize_name(Requirement(one).name) for one in wanted}
    offered = packages_distributions()
    imported = set()
    for path in (path for top in (*ALLOWED, "bench", "tests") for path in (TOP / top).rglob("*.py")):
        for node in ast.walk(parsed(path)):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            imported |= {name.split(".")[0] for name in names}
    assert len(imported) > 50
    for name in imported - sys.stdlib_module_names:
        found = {canonicalize_name(one) for one in offered.get(name, ())}
        assert not found or found & {*declared, "edge-model-zoo"}, f"{name} of {found} is not in pyproject.toml"
