"""A runtime's wheels, by the real pip from a folder."""

import zipfile

import pytest

from zoo.emulated.wheels import platforms, wheels
from zoo.errors import EmulationError
from zoo.home import Home


def write_wheel(folder, name, version, tag="py3-none-any", needs=()):
    path = folder / f"{name}-{version}-{tag}.whl"
    info = f"{name}-{version}.dist-info"
    lines = [f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}", *(f"Requires-Dist: {one}" for one in needs)]
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{name}/__init__.py", f"TAG = {tag!r}\n")
        archive.writestr(f"{info}/METADATA", "\n".join(lines) + "\n")
        archive.writestr(f"{info}/WHEEL", f"Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: {tag}\n")
        archive.writestr(f"{info}/RECORD", "")
    return path


@pytest.fixture
def index(tmp_path, monkeypatch):
    """A folder in place of the package index."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


@pytest.fixture
def fetch(tmp_path):
    def get(name="runtime", version="1.0"):
        return wheels(Home(tmp_path / "home"), name, version, lambda _: None)

    return get


def refused(fetch, *arguments):
    with pytest.raises(EmulationError) as found:
        fetch(*arguments)
    return str(found.value)


def test_tags_reach_from_the_systems_c_library_to_manylinux2014():
    found = platforms()
    assert (found[0], found[-2:]) == ("manylinux_2_36_aarch64", ["manylinux_2_17_aarch64", "manylinux2014_aarch64"])


def test_arm64_wheels_of_exactly_this_version_are_unpacked_once(index, fetch):
    write_wheel(index, "runtime", "1.0", "cp311-cp311-manylinux_2_28_aarch64", ["helper"])
    write_wheel(index, "runtime", "1.0", "cp311-cp311-manylinux_2_28_x86_64")
    write_wheel(index, "runtime", "2.0", "cp311-cp311-manylinux_2_28_aarch64")
    write_wheel(index, "helper", "3.0")
    folder = fetch()
    assert "aarch64" in (folder / "runtime/__init__.py").read_text()
    assert (folder / "runtime-1.0.dist-info").is_dir()
    assert (folder / "helper").is_dir()
    for path in index.iterdir():
        path.unlink()
    assert fetch() == folder


def test_a_version_without_a_wheel_is_named_with_those_that_have_one(index, fetch, tmp_path):
    write_wheel(index, "runtime", "0.8", "cp311-cp311-manylinux_2_17_aarch64")
    write_wheel(index, "runtime", "1.0", "cp311-cp311-manylinux_2_17_x86_64")
    write_wheel(index, "runtime", "1.0", "cp312-cp312-manylinux_2_17_aarch64")
    message = refused(fetch)
    assert message.startswith("the package index has no wheel of runtime==1.0 for arm64 and CPython 3.11 (Debian 12)")
    assert "there are wheels of 0.8." in message
    assert [one.name for one in (tmp_path / "home/emulated/arm64").iterdir()] == ["lock"]


def test_a_missing_wheel_of_a_dependency_is_named(index, fetch):
    write_wheel(index, "runtime", "1.0", "cp311-cp311-manylinux_2_17_aarch64", ["helper>=2"])
    assert "no wheel of helper>=2, which runtime==1.0 needs, for arm64" in refused(fetch)


def test_what_an_interrupted_run_left_is_replaced(index, fetch, tmp_path):
    write_wheel(index, "runtime", "1.0")
    left = tmp_path / "home/emulated/arm64/runtime-1.0-cp311.new"
    left.mkdir(parents=True)
    (left / "half").write_text("half")
    assert not (fetch() / "half").exists()
    assert not left.exists()


def test_an_index_that_can_not_be_reached_is_told_from_a_missing_wheel(fetch, monkeypatch):
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "0")
    assert "the package index can't be reached. Check the network" in refused(fetch)


def test_without_pip_or_space_it_says_so(index, fetch, monkeypatch, tmp_path):
    monkeypatch.setattr("zoo.emulated.wheels.ROOM", 10**18)
    assert "runtime==1.0 for arm64 needs 1000000000000 MB" in refused(fetch)
    monkeypatch.setattr("zoo.emulated.wheels.find_spec", lambda _: None)
    assert "pip is not installed in this environment" in refused(fetch)
    monkeypatch.undo()
    (tmp_path / "home").rename(tmp_path / "gone")
    (tmp_path / "home").write_text("a file")
    assert "Set ZOO_HOME to a writable folder" in refused(fetch)
