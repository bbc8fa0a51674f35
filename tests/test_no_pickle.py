"""No loader reads a pickle, so loaded files can't run code. Every call that could is checked, in every module.

One module reads state dicts in wheels of PyPI that it knows by their sha256, with torch's restricted unpickler;
`tests/pipeline/test_wheels.py` shows that it reads no others.
"""

import ast
from pathlib import Path

import pytest

TOP = Path(__file__).parents[1]
ROOMS = ("zoo", "pipeline", "calibration", "targets", "bench", "docs")
WHEELS = "pipeline/networks/wheels.py"
MODULES = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "jsonpickle"}


def said(call, name):
    """The value of a call's argument, if it is a constant."""
    return next((k.value.value for k in call.keywords if k.arg == name and isinstance(k.value, ast.Constant)), None)


def dangers(source, restricted=False):
    """Calls that could unpickle, by line.

    Args:
        restricted: torch's restricted unpickler is allowed.
    """
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            yield from (f"{node.lineno}: imports {name}" for name in names if name.split(".")[0] in MODULES)
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        match ast.unparse(node.func):
            case "torch.load" if not (restricted and said(node, "weights_only") is True):
                yield f"{node.lineno}: torch.load"
            case "np.load" | "numpy.load" | "np.lib.format.open_memmap" if said(node, "allow_pickle"):
                yield f"{node.lineno}: numpy with allow_pickle"
            case "yaml.load" | "yaml.unsafe_load" | "yaml.full_load":
                yield f"{node.lineno}: yaml that makes objects"
            case "torch.hub.load" | "torch.jit.load" | "torch.package.PackageImporter":
                yield f"{node.lineno}: torch that runs what it loads"


@pytest.mark.parametrize("room", ROOMS)
def test_no_module_unpickles(room):
    found = {
        path.relative_to(TOP).as_posix(): lines
        for path in sorted((TOP / room).rglob("*.py"))
        if (lines := list(dangers(path.read_text(encoding="utf-8"), path == TOP / WHEELS)))
    }
    assert found == {}


@pytest.mark.parametrize(
    "source",
    ["import pickle", "from joblib import load", "import torch\ntorch.load(p)", "torch.load(p, weights_only=True)",
     "np.load(p, allow_pickle=True)", "yaml.load(t, Loader=yaml.Loader)", "torch.hub.load('a', 'b')"],
)  # fmt: skip
def test_the_search_finds_dangerous_calls(source):
    assert len(list(dangers(source))) == 1


def test_the_one_exception_uses_the_restricted_unpickler():
    assert "torch.load(" in (TOP / WHEELS).read_text(encoding="utf-8")
    assert list(dangers("torch.load(p, weights_only=True)", restricted=True)) == []
    for call in ("torch.load(p)", "torch.load(p, weights_only=False)", "torch.load(p, weights_only=chosen)"):
        assert len(list(dangers(call, restricted=True))) == 1


def test_arrays_of_objects_are_refused(tmp_path):
    """numpy's own default, on which the loaders rely."""
    import numpy as np

    np.save(tmp_path / "objects.npy", np.array([{"a": 1}], object), allow_pickle=True)
    with pytest.raises(ValueError, match="allow_pickle=False"):
        np.load(tmp_path / "objects.npy")
