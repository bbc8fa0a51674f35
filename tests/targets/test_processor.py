"""Processors that run networks at different speeds have different names."""

from pathlib import Path

import pytest

from targets.machine.device import this_device
from targets.machine.processor import overflows_int8, processor_name

X86 = "processor\t: 0\nmodel\t\t: 1\nmodel name\t: {}\nflags\t\t: fpu sse4_2 {}\n\nprocessor\t: 1\n"
ARM = "processor\t: 0\nFeatures\t: fp asimd {}\nCPU implementer\t: 0x41\nCPU architecture: 8\nCPU part\t: 0xd0c\n"
PI = ARM + "\nHardware\t: BCM2835\nModel\t\t: Raspberry Pi 4 Model B Rev 1.4\n"


@pytest.mark.parametrize(
    ("cpuinfo", "name"),
    [
        (X86.format("AMD EPYC", "avx avx2"), "AMD EPYC with AVX2"),
        (X86.format("AMD EPYC", "avx avx2 avx512f avx512_vnni avx512_bf16"), "AMD EPYC with AVX-512 VNNI"),
        (X86.format("Intel  Xeon Processor", "avx2 avx512f"), "Intel Xeon Processor with AVX-512"),
        (X86.format("Intel Xeon Processor", "avx2 avx512f avx512_vnni amx_int8"), "Intel Xeon Processor with AMX"),
        (X86.format("Intel(R) N100", "avx2 avx_vnni"), "Intel(R) N100 with AVX-VNNI"),
        (X86.format("Intel(R) Atom(TM) CPU E3950", "avx"), "Intel(R) Atom(TM) CPU E3950"),
        (ARM.format("asimddp"), "ARM processor 0x41 0xd0c with dot product"),
        (ARM.format("asimddp sve i8mm"), "ARM processor 0x41 0xd0c with i8mm"),
        (ARM.format(""), "ARM processor 0x41 0xd0c"),
        (PI.format(""), "Raspberry Pi 4 Model B Rev 1.4"),
        ("processor\t: 0\nhart\t: 0\nisa\t: rv64imafdc\n", None),
        ("", None),
    ],
)
def test_a_name_tells_the_instructions_that_decide_about_speed(cpuinfo, name):
    assert processor_name(cpuinfo) == name


def test_records_name_this_processor_so():
    assert this_device().name == processor_name(Path("/proc/cpuinfo").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("cpuinfo", "overflows"),
    [
        (X86.format("AMD EPYC", "avx2"), True),
        (X86.format("Intel Xeon", "avx2 avx512f avx512bw"), True),
        (X86.format("Intel Atom", ""), True),
        (X86.format("AMD EPYC", "avx2 avx512f avx512_vnni"), False),
        (X86.format("Intel N100", "avx2 avx_vnni"), False),
        (X86.format("Intel Xeon", "avx2 avx512f amx_int8"), False),
        (ARM.format(""), False),
        ("", False),
    ],
)
def test_int8_overflows_on_x86_without_vnni(cpuinfo, overflows):
    assert overflows_int8(cpuinfo) is overflows
