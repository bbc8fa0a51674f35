"""The real emulation: Debian's packages, aarch64 wheels, qemu. Slow, and skipped where one of these can't be had."""

import shutil
import subprocess
from importlib.metadata import version

import pytest

from tests.zoo.cli.conftest import document
from zoo.emulated.debian import system
from zoo.emulated.machine import PROCESSORS, PROGRAMS, find_emulator, prefix
from zoo.emulated.wheels import wheels
from zoo.errors import EmulationError
from zoo.home import Home
from zoo.release.local import find_release

pytestmark = pytest.mark.slow
# Linux's arch/arm64/include/uapi/asm/hwcap.h, from bit 0 on
HWCAP = [
    "fp", "asimd", "evtstrm", "aes", "pmull", "sha1", "sha2", "crc32", "atomics", "fphp", "asimdhp", "cpuid",
    "asimdrdm", "jscvt", "fcma", "lrcpc", "dcpop", "sha3", "sm3", "sm4", "asimddp", "sha512", "sve",
]  # fmt: skip
ASK = "import ctypes; ask = ctypes.CDLL(None).getauxval; ask.restype = ctypes.c_ulong; print(ask(16), ask(26))"


@pytest.fixture(scope="module")
def kept(request):
    """A home in pytest's cache, with the emulated machine; downloaded once."""
    if not any(map(shutil.which, PROGRAMS)):
        pytest.skip("qemu is not installed: apt-get install qemu-user-static")
    home = Home(request.config.cache.mkdir("zoo-emulated"))
    try:
        find_emulator()
        system(home, print)
        wheels(home, "onnxruntime", version("onnxruntime"), print)
        wheels(home, "openvino", version("openvino"), print)
    except EmulationError as error:
        pytest.skip(str(error))
    return home


@pytest.mark.timeout(900)
def test_a_release_agrees_on_emulated_processors(kept, built):
    (built.home / "emulated").symlink_to(kept.emulated)
    for cpu in PROCESSORS:
        chosen = ("-t", "onnxruntime-cpu", "-t", "openvino-cpu", "--cpu", cpu)
        result = built.zoo("check", "tiny", "--arch", "arm64", "--images", "6", *chosen, "--json")
        told = document("check", result.stdout)
        verdicts = {(one["target"], one["precision"]): one for one in told["verdicts"]}
        # OpenVINO has int8 kernels of its own for ARM, which are coarser: what it says of them may be either
        for what in (("onnxruntime-cpu", "fp32"), ("onnxruntime-cpu", "int8"), ("openvino-cpu", "fp32")):
            assert verdicts[what]["agrees"], verdicts[what]
        assert ("openvino-cpu", "int8") in verdicts
        assert result.exit_code == (0 if all(one["agrees"] for one in told["verdicts"]) else 4)
        for one in told["added"]:
            assert (one["images"], one["cpu"], one["compared_with"]["architecture"]) == (7, cpu, "x86_64")
            if one["precision"] == "fp32":
                assert 0 < one["largest_difference"] < 1e-5  # not the same kernels, but the same sums
    assert len(find_release(Home(built.home), "tiny").emulated) == 8


@pytest.mark.timeout(900)
@pytest.mark.parametrize("cpu", PROCESSORS)
def test_cpuinfo_tells_the_instructions_that_qemu_offers(kept, cpu, tmp_path):
    machine, seen = system(kept, print), tmp_path / "root"
    command = find_emulator().command(cpu, prefix(system(kept, print).root, cpu, seen))
    done = subprocess.run([*command, machine.python, "-c", ASK], env={}, capture_output=True, text=True, check=True)
    bits, more = map(int, done.stdout.split())
    assert [name for place, name in enumerate(HWCAP) if bits >> place & 1] == PROCESSORS[cpu].features.split()
    assert (bits >> len(HWCAP), more) == (0, 0)
