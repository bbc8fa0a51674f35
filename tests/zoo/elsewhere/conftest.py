"""A pending bundle, its run on a device, and its result.

The "device" is a separate interpreter with only numpy and ONNX Runtime.
"""

import json
import venv
from importlib.metadata import distribution
from pathlib import Path

import pytest

from targets.bundles.archive import read_list
from targets.bundles.contents import BUNDLE_LIST, RESULT_LIST
from targets.machine.device import this_device
from tests.zoo.elsewhere.boards import (
    NAME,
    Desk,
    altered,
    build,
    copied,
)


@pytest.fixture(scope="session")
def waiting(finished, tmp_path_factory):
    """A workshop in which `tiny` is pending on `board`, and the output of its build; read-only."""
    shop = copied(finished, tmp_path_factory.mktemp("waiting") / "shop")
    board = {"runtime": "onnxruntime", "board": this_device().name, "about": "a board"}
    targets = {
        "board": board,
        "engine": {**board, "runtime": "tensorrt", "device": "GPU", "options": {"versions": ">=10.3,<10.4"}},
    }
    lines = [f"  {name}: {json.dumps(content)}\n" for name, content in targets.items()]
    shop.catalogue.write_text(shop.catalogue.read_text() + "\ntargets:\n" + "".join(lines))
    return shop, build(shop)


@pytest.fixture
def shop(waiting, tmp_path):
    """A copy of it that a test may change."""
    return copied(waiting[0], tmp_path / "shop")


@pytest.fixture(scope="session")
def spare(waiting, tmp_path_factory):
    """Another copy, shared by tests that change nothing unless they fail."""
    return copied(waiting[0], tmp_path_factory.mktemp("spare") / "shop")


@pytest.fixture(scope="session")
def bundle(waiting):
    return waiting[0].home / "bundles" / f"{NAME}.zoo"


@pytest.fixture(scope="session")
def bare(tmp_path_factory):
    """An interpreter with only numpy and ONNX Runtime."""
    folder = tmp_path_factory.mktemp("bare")
    venv.create(folder, symlinks=True)
    (site,) = folder.glob("lib/python*/site-packages")
    for name in ("numpy", "onnxruntime"):
        found = distribution(name)
        for top in {path.parts[0] for path in found.files} - {".."}:
            (site / top).symlink_to(Path(found.locate_file(top)).resolve())  # type: ignore[arg-type]
    return folder / "bin" / "python"


@pytest.fixture
def desk(bare, tmp_path):
    return Desk(bare, tmp_path / "desk")


@pytest.fixture(scope="session")
def ran(bare, bundle, tmp_path_factory):
    """The bundle, run on the device: its output, and its folders."""
    desk = Desk(bare, tmp_path_factory.mktemp("ran") / "desk")
    code, output, errors = desk.run(str(bundle))
    assert (code, errors) == (0, "")
    return output, desk


@pytest.fixture(scope="session")
def result(ran):
    return ran[1].root / "here" / f"{NAME}.result"


@pytest.fixture(scope="session")
def back(waiting, result, tmp_path_factory):
    """A workshop that received and recorded the result; output of both commands."""
    shop = copied(waiting[0], tmp_path_factory.mktemp("back") / "shop")
    taken = shop.zoo("receive", str(result))
    assert taken.exit_code == 0, taken.output
    return shop, taken.output, build(shop).output


@pytest.fixture(scope="session")
def quick(bundle, tmp_path_factory):
    """A bundle with only the student and a short measurement, which no build knows."""
    variants = [one for one in read_list(bundle, BUNDLE_LIST)["variants"] if one["network"] == "student"]
    path, less = tmp_path_factory.mktemp("quick") / "quick.zoo", {"graphs/teacher-fp32.onnx": None}
    return altered(bundle, path, BUNDLE_LIST, less, variants=variants, calls=8, max_seconds=0.2, batches=[1])


@pytest.fixture(scope="session")
def light(result, tmp_path_factory):
    """A result without the teacher's artifacts, which nothing reads."""
    path = tmp_path_factory.mktemp("light") / "light.result"
    return altered(result, path, RESULT_LIST, {"artifacts/teacher-fp32/model.onnx": None})


@pytest.fixture(scope="session")
def foreign(light, quick, tmp_path_factory):
    """A result of another build."""
    key = read_list(quick, BUNDLE_LIST)["key"]
    return altered(light, tmp_path_factory.mktemp("foreign") / "foreign.result", RESULT_LIST, bundle=key)
