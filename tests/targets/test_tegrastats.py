"""Parsing of tegrastats, with lines from real boards."""

import pytest

from targets.machine.tegrastats import input_power, parse
from tests.targets.boards import ORIN_NANO

ORIN_NANO_PEAK = (
    "10-01-2026 20:36:32 RAM 974/7546MB (lfb 6x4MB) SWAP 0/5821MB (cached 0MB) "
    "CPU [0%@729,0%@729,0%@883,0%@883,0%@729,0%@729] GR3D_FREQ 12% cpu@49.843C/49.843C soc2@49.156C/49.156C "
    "tj@50.875C/50.875C VDD_IN 4548mW/4600mW/4700mW VDD_CPU_GPU_CV 483mW/483mW/483mW VDD_SOC 1489mW/1489mW/1489mW"
)
AGX_ORIN = (
    "07-25-2026 09:08:28 RAM 20642/62817MB (lfb 1x2MB) CPU [23%@2201,10%@2201,4%@2201,14%@2201] "
    "EMC_FREQ 3%@3199 GR3D_FREQ 12%@[1300,1305] NVENC0 off NVDEC0 off VIC off OFA off PVA0_FREQ off APE 174 "
    "cpu@52.968C/52.968C soc2@48.406C/48.406C gpu@47.625C/47.625C "
    "VDD_GPU_SOC 5139mW/5139mW/5139mW VDD_CPU_CV 3268mW/3268mW/3268mW VIN_SYS_5V0 5500mW/5500mW/5500mW"
)
THOR = (
    "01-20-2026 22:46:22 RAM 17842/125772MB (lfb 79x4MB) CPU [0%@972,0%@1566] cpu@30.468C tj@31.218C "
    "soc012@30.218C VDD_GPU 0mW/0mW VDD_CPU_SOC_MSS 5535mW/5535mW VIN_SYS_5V0 5040mW/5040mW VIN 16802mW/16802mW"
)
XAVIER_NX = (
    "07-09-2024 13:31:31 RAM 3168/6851MB (lfb 2x4MB) SWAP 161/3426MB (cached 0MB) CPU [23%@1397,17%@1192] "
    "EMC_FREQ 2%@204 GR3D_FREQ 0%@[114] VIC_FREQ 115 APE 150 AUX@45C CPU@46.5C thermal@45.6C AO@45C GPU@45.5C "
    "PMIC@50C VDD_IN 2763mW/2846mW VDD_CPU_GPU_CV 650mW/670mW VDD_SOC 650mW/711mW"
)
AGX_XAVIER = (
    "RAM 14700/15692MB (lfb 3x2MB) SWAP 898/8192MB (cached 23MB) CPU [0%@1190,0%@1190] EMC_FREQ 0% GR3D_FREQ 0% "
    "AO@30C GPU@30.5C Tboard@31C Tdiode@32C AUX@30.5C CPU@31.5C thermal@30.8C PMIC@100C "
    "GPU 463/463 CPU 618/618 SOC 2936/2936 CV 0/0 VDDRQ 309/309 SYS5V 3306/3306"
)
NANO = (
    "RAM 1923/3964MB (lfb 2x2MB) SWAP 191/1982MB (cached 6MB) IRAM 0/252kB(lfb 252kB) "
    "CPU [5%@1224,4%@1224,3%@1224,6%@1224] EMC_FREQ 0%@1600 GR3D_FREQ 0%@76 APE 25 PLL@37C CPU@40C PMIC@50C GPU@40C "
    "AO@45C thermal@40C POM_5V_IN 1750/1628 POM_5V_GPU 0/0 POM_5V_CPU 366/406"
)


@pytest.mark.parametrize(
    ("line", "rails", "watts", "gpu_mhz", "cpu_c"),
    [
        (ORIN_NANO, "VDD_IN", 4.824, None, 50.031),
        (ORIN_NANO_PEAK, "VDD_IN", 4.548, None, 49.843),
        (AGX_ORIN, "VDD_GPU_SOC + VDD_CPU_CV + VIN_SYS_5V0", 13.907, 1305, 52.968),
        (THOR, "VIN", 16.802, None, 30.468),
        (XAVIER_NX, "VDD_IN", 2.763, 114, 46.5),
        (AGX_XAVIER, "GPU + CPU + SOC + CV + VDDRQ + SYS5V", 7.632, None, 31.5),
        (NANO, "POM_5V_IN", 1.75, 76, 40),
    ],
    ids=["orin-nano", "orin-nano-peak", "agx-orin", "thor", "xavier-nx", "agx-xavier", "nano"],
)
def test_every_family_of_boards_is_parsed(line, rails, watts, gpu_mhz, cpu_c):
    sample = parse(line)
    assert input_power(sample.power_w) == (rails, pytest.approx(watts))
    assert sample.gpu_mhz == gpu_mhz
    assert {name.lower(): value for name, value in sample.temperatures_c.items()}["cpu"] == cpu_c
    assert not {"RAM", "SWAP", "IRAM", "MB"} & set(sample.power_w)


def test_a_clock_without_a_load_is_read():
    assert parse("EMC_FREQ 2%@1866 GR3D_FREQ @[1000,1100,1000] APE 150").gpu_mhz == 1100


def test_a_sensor_that_is_off_is_left_out():
    assert parse("gpu@-256C cpu@41.5C").temperatures_c == {"cpu": 41.5}


def test_rails_of_an_unknown_board_are_not_taken_for_its_input():
    assert input_power(parse("VDD_GPU 2000mW/2000mW VDD_CPU 1000mW/1000mW").power_w) is None


def test_other_lines_give_an_empty_sample():
    assert parse("tegrastats: permission denied").power_w == {}
