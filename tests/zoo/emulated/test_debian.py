"""The emulated machine's files; the real ones are in `test_real`. Stand-ins for apt and dpkg-deb make small ones."""

import json
import os

import pytest

from zoo.emulated.debian import system
from zoo.errors import EmulationError
from zoo.home import Home

APT = """\
#!/bin/sh
echo "$@" >> {log}
grep -o '[^"]*/archives' "$APT_CONFIG" > /dev/null || exit 9
archives=$(grep archives "$APT_CONFIG" | sed 's/.* "//; s/";//')
case "$*" in *install*) echo deb > "$archives/libc6_2.36-9%3a1_arm64.deb";; esac
{end}
"""
DPKG = """\
#!/bin/sh
{end}
mkdir -p "$3/usr/lib" && echo libc > "$3/usr/lib/libc.so"
"""


@pytest.fixture
def tools(tmp_path, monkeypatch):
    """Puts stand-ins for apt-get and dpkg-deb into PATH; `apt` and `dpkg` are lines of shell by which they end."""
    folder, log = tmp_path / "bin", tmp_path / "calls"
    folder.mkdir()
    keyring = tmp_path / "keyring.gpg"
    keyring.touch()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr("zoo.emulated.debian.KEYRING", keyring)

    def put(apt="", dpkg=""):
        for name, text in (("apt-get", APT.format(log=log, end=apt)), ("dpkg-deb", DPKG.format(end=dpkg))):
            (folder / name).write_text(text)
            (folder / name).chmod(0o755)
        return lambda: log.read_text().splitlines() if log.exists() else []

    return put


@pytest.fixture
def make(tmp_path):
    return lambda: system(Home(tmp_path / "home"), lambda _: None)


def refused(make):
    with pytest.raises(EmulationError) as found:
        make()
    return str(found.value)


def test_the_system_is_made_once_with_the_versions_of_its_packages(tools, make, tmp_path):
    calls = tools()
    found = make()
    assert found.packages == {"libc6": "2.36-9:1"}
    assert found.words == "Debian 12 (libc 2.36-9:1), Python 3.11"
    assert (found.root / "usr/lib/libc.so").is_file()
    assert json.loads((found.root / "packages.json").read_text())["suite"] == "bookworm"
    assert {one.name for one in found.root.parent.iterdir()} == {found.root.name, "lock"}
    assert len(calls()) == 2
    assert make() == found
    assert len(calls()) == 2


def test_an_interrupted_system_is_completed_and_downloads_are_kept(tools, make, tmp_path):
    calls = tools(dpkg="exit 1")
    assert "can't unpack libc6_2.36-9%3a1_arm64.deb" in refused(make)
    folder = tmp_path / "home/emulated/arm64"
    assert not (folder / "debian-bookworm-1").exists()
    kept = folder / "debian-bookworm-1.apt/archives/other_1_arm64.deb"
    assert [*kept.parent.glob("*.deb")] == []  # apt would take the damaged one for complete
    kept.write_text("deb")
    (folder / "debian-bookworm-1.new/half").mkdir(parents=True, exist_ok=True)
    calls = tools()
    found = make()
    assert set(found.packages) == {"libc6", "other"}
    assert not (found.root / "half").exists()
    assert len(calls()) == 4


def test_an_unreachable_mirror_is_named(tools, make, monkeypatch):
    tools(apt="echo 'E: Failed to fetch http://127.0.0.1:9/x  Could not connect' >&2; exit 100")
    monkeypatch.setenv("ZOO_DEBIAN", "http://127.0.0.1:9/debian")
    message = refused(make)
    assert message.startswith("can't get Debian's packages for arm64 from http://127.0.0.1:9/debian: Failed to fetch")
    assert "set ZOO_DEBIAN to a mirror" in message


def test_a_full_disk_is_told(tools, make, monkeypatch):
    tools(apt="echo 'E: Write error - write (28: No space left on device)' >&2; exit 100")
    assert "no space left in" in refused(make)
    tools(dpkg="echo 'dpkg-deb: error: No space left on device' >&2; exit 2")
    assert "no space left in" in refused(make)
    monkeypatch.setattr("zoo.emulated.debian.ROOM", 10**18)
    assert "Debian 12 for arm64 needs 1000000000000 MB" in refused(make)


def test_missing_tools_are_named_with_what_installs_them(tools, make, monkeypatch, tmp_path):
    tools()
    (tmp_path / "keyring.gpg").unlink()
    assert "Run: apt-get install debian-archive-keyring" in refused(make)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "apt-get is not here" in refused(make)


def test_a_system_without_its_list_is_made_again(tools, make):
    tools()
    found = make()
    (found.root / "packages.json").unlink()
    assert make() == found
    assert (found.root / "packages.json").is_file()


def test_a_damaged_list_says_what_to_remove(tools, make):
    tools()
    found = make()
    (found.root / "packages.json").write_text("{")
    assert refused(make) == f"{found.root} is damaged. Remove it, and run the command again."
