"""qemu, and the files of the emulated machine as a program sees them."""

from pathlib import Path

import pytest

from zoo.cli.check import ARCHITECTURES, CPUS
from zoo.emulated.machine import ARCH, PROCESSORS, find_emulator, prefix
from zoo.errors import EmulationError


def refused():
    with pytest.raises(EmulationError) as found:
        find_emulator()
    return str(found.value)


def test_the_command_offers_what_can_be_emulated():
    assert ((ARCH,), tuple(PROCESSORS)) == (ARCHITECTURES, CPUS)


def test_the_emulator_tells_its_version(emulator):
    emulator()
    found = find_emulator()
    assert found.version == "qemu-aarch64 7.2.22"
    command = found.command("cortex-a72", Path("/root"))
    assert command == [found.program, "-cpu", "cortex-a72", "-L", "/root"]


def test_without_qemu_it_says_what_to_install(emulator, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert refused().endswith("Run: apt-get install qemu-user-static")


@pytest.mark.parametrize("text", ["#!/bin/sh\nexit 1\n", "no program", "#!/bin/sh\necho hello\n"])
def test_a_broken_qemu_is_named(emulator, tmp_path, text):
    emulator()
    (tmp_path / "bin/qemu-aarch64-static").write_text(text)
    assert refused() == (
        f"{tmp_path}/bin/qemu-aarch64-static does not start. Reinstall it: apt-get install qemu-user-static"
    )


def test_an_arm64_machine_is_told_to_measure(emulator, monkeypatch):
    emulator()
    monkeypatch.setattr("zoo.emulated.machine.platform.machine", lambda: "aarch64")
    assert refused() == "this machine is arm64 itself: zoo bench NAME runs and measures a release on it."
    monkeypatch.setattr("zoo.emulated.machine.platform.machine", lambda: "x86_64")
    monkeypatch.setattr("zoo.emulated.machine.platform.system", lambda: "Darwin")
    assert "on Linux only, not on Darwin" in refused()


def test_programs_see_the_emulated_processor_and_the_systems_files(tmp_path):
    root = tmp_path / "debian"
    (root / "usr/lib").mkdir(parents=True)
    (root / "usr/lib/libc.so").write_text("libc")
    (root / "proc").mkdir()
    for cpu, processor in PROCESSORS.items():
        seen = prefix(root, cpu, tmp_path / cpu)
        assert (seen / "usr/lib/libc.so").read_text() == "libc"
        text = (seen / "proc/cpuinfo").read_text()
        assert f"CPU part\t: {processor.part}\n" in text
        assert text.startswith("processor\t: 0\n")
        assert not text.count("\n\n\n")
    assert "asimddp" in text  # of the last one, a Cortex-A76
    assert "asimddp" not in (tmp_path / "cortex-a72/proc/cpuinfo").read_text()
