"""Every NVIDIA name in use exists: in TensorRT-RTX, in TensorRT 11's runtime, in the bindings that JetPacks bring.

The packages of the full TensorRT can't be imported without its libraries of gigabytes. TensorRT-RTX stands for the
builder of 11, whose API it shares; `tensorrt_lean` is the runtime of 11. Of bindings that are installed without their
libraries (10.3, 10.13, 10.16, 11.4; also those for aarch64, into a folder in PYTHONPATH) the names are looked up in the
binary.
"""

import ast
import importlib.metadata
import importlib.util
import itertools
import re
from functools import reduce
from pathlib import Path

import pytest

import targets.nvidia
from targets.nvidia.jit import compiles_at_load
from targets.nvidia.ranges import numbers_of

ROOM = Path(targets.nvidia.__file__).parent
BUILDER = {
    "trt": "",
    "builder": "Builder",
    "config": "IBuilderConfig",
    "network": "INetworkDefinition",
    "parser": "OnnxParser",
    "error": "ParserError",
    "profile": "IOptimizationProfile",
    "images": "ITensor",
    "kept": "ITimingCache",
}
RUNTIME = {
    "trt": "",
    "runtime": "Runtime",
    "engine": "ICudaEngine",
    "context": "IExecutionContext",
}
RTX_ONLY = {
    "trt": "",
    "runtime": "Runtime",
    "engine": "ICudaEngine",
    "settings": "IRuntimeConfig",
    "kept": "IRuntimeCache",
}
DLA = {
    "trt": "",
    "builder": "Builder",
    "config": "IBuilderConfig",
    "network": "INetworkDefinition",
    "parser": "OnnxParser",
    "layer": "ILayer",
    "output": "ITensor",
}
OWNERS = {  # classes of variables
    "builder.py": BUILDER,
    "dla.py": DLA,
    "log.py": {"trt": ""},
    "session.py": RUNTIME,
    "jit.py": RTX_ONLY,
    "tensorrt.py": {"trt": ""},
}


def dotted(node):
    """`a.b.c` as a list; none for what does not begin with a name."""
    if isinstance(node, ast.Name):
        return [node.id]
    if isinstance(node, ast.Attribute) and (before := dotted(node.value)):
        return [*before, node.attr]
    return None


def used_names(file, owners):
    """Dotted names of a module's source below the variables (or attributes of self) in `owners`, class first."""
    found = {owner: set() for owner in owners}
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        path = dotted(node) if isinstance(node, ast.Attribute) else None
        if path and path[0] == "self":
            path = [path[1].lstrip("_"), *path[2:]]
        if path and path[0] in owners:
            names = itertools.takewhile(lambda name: not name.startswith("__"), path[1:])  # the rest is Python's
            found[path[0]].add(tuple(names))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Call):
            maker = dotted(node.value.func) or [""]
            assert maker[0] not in owners, f"{file.name}:{node.lineno}: what {maker[-1]} returns needs a variable"
    assert all(found.values()), f"{file.name} no longer has some of the variables {sorted(owners)}"
    dotted_names = {tuple(filter(None, (owners[owner], *name))) for owner, some in found.items() for name in some}
    return dotted_names - {()}


def missing(package, names):
    """Those that a package does not have."""

    def there(name):
        try:
            reduce(getattr, name, package)
        except AttributeError:
            return False
        return True

    return sorted(".".join(name) for name in names if not there(name))


def names_of(*files):
    return set().union(*(used_names(ROOM / file, OWNERS[file]) for file in files))


def test_all_names_are_collected():
    names = names_of("builder.py", "session.py", "jit.py")
    assert ("Builder", "build_serialized_network") in names
    assert ("NetworkDefinitionCreationFlag", "STRONGLY_TYPED") in names
    assert ("IExecutionContext", "execute_async_v3") in names
    assert ("IRuntimeCache", "serialize") in names
    assert not {file.name for file in ROOM.glob("*.py") if re.search(r"\btrt\.", file.read_text())} - {*OWNERS}
    assert missing(pytest, {("fixture",), ("no_such_name",)}) == ["no_such_name"]


def test_tensorrt_rtx_has_them_all():
    package = pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX is not installed")
    assert missing(package, names_of(*OWNERS)) == []
    assert compiles_at_load(package)


def test_the_runtime_of_tensorrt_11_has_what_runs_an_engine():
    package = pytest.importorskip("tensorrt_lean_bindings", reason="the lean runtime of TensorRT 11 is not installed")
    assert missing(package, names_of("session.py", "log.py")) == []
    assert not compiles_at_load(package)


def test_bindings_of_jetpacks_have_what_builds_and_runs_an_engine():
    packages = ("tensorrt_cu12_bindings", "tensorrt_cu13_bindings")
    found = [one for one in importlib.metadata.distributions() if one.metadata["Name"] in packages]
    if not found:
        pytest.skip("no bindings of the full TensorRT are installed")
    bindings = found[0]
    content = Path(bindings.locate_file("tensorrt_bindings/tensorrt.so")).read_bytes()  # type: ignore[arg-type]
    files = ["builder.py", "session.py", "log.py"]
    adjusts = numbers_of(bindings.version) >= (10, 16)
    assert (b"ADJUST_FOR_DLA\0" in content) == adjusts
    names = {part for name in names_of(*files, *["dla.py"] * adjusts) for part in name}
    # TensorRT-RTX's: not reached where no capabilities are asked for
    names -= {"num_compute_capabilities", "set_compute_capability", "ComputeCapability"}
    # ends of strings: linkers keep a name that ends another one only once
    assert sorted(name for name in names if name.encode() + b"\0" not in content) == []


def test_cuda_bindings_have_them_all():
    package = pytest.importorskip("cuda.bindings.runtime", reason="cuda-bindings are not installed")
    names = used_names(ROOM / "cuda.py", {"cuda": "", "kinds": "cudaDeviceAttr"})
    names |= used_names(ROOM / "session.py", {"cuda": "", "copies": "cudaMemcpyKind"})
    assert ("cudaMallocHost",) in names
    assert missing(package, names) == []
