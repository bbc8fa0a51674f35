"""README's first commands, as a new user runs them."""

import subprocess
import sys
from pathlib import Path

import pytest

from bench.first_minute import LIMIT, Tried, readme_commands, told, try_out
from tests.zoo.use.test_bare import python_3_10
from zoo.layout import GOLDEN_INPUT
from zoo.registry.index import INDEX

TOP = Path(__file__).parents[2]


def test_the_commands_are_those_of_readme():
    install, commands = readme_commands((TOP / "README.md").read_text())
    assert install == ["-e", ".[openvino]"]
    assert all(command[0] == "zoo" for command in commands)
    assert [command[1] for command in commands][:3] == ["samples", "pull", "query"]
    with pytest.raises(ValueError, match="not with pip install"):
        readme_commands("```console\nmake demo\n```")


def test_times_and_problems_are_told():
    found = Tried("wheel", "python3", {"zoo list": 0.5, "zoo pull x": 1.25}, 200.0, 12.0, ["torch is installed"])
    assert told(found).splitlines() == [
        "wheel, python3: 1.8 s; environment 200 MB, wheel 12.0 MB",
        "   0.50 s  zoo list",
        "   1.25 s  zoo pull x",
        "  problem: torch is installed",
    ]


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(not (TOP / "prebuilt" / INDEX).exists(), reason="prebuilt/ has no releases in this checkout")
@pytest.mark.parametrize("way", ["wheel", "checkout"])
@pytest.mark.parametrize("version", ["this", "3.10"])
def test_the_first_minute_is_one(way, version, tmp_path):
    """Needs a package index."""
    python = sys.executable if version == "this" else python_3_10()
    found = try_out(way, python, None, tmp_path, False)
    assert found.problems == []
    assert found.seconds < LIMIT
    if found.wheel_megabytes:
        (wheel,) = (tmp_path / "dist").glob("*.whl")
        listed = subprocess.run(
            [sys.executable, "-m", "zipfile", "-l", wheel], capture_output=True, text=True, check=True
        )
        assert f"zoo/prebuilt/{INDEX}" in listed.stdout
        assert listed.stdout.count("zoo/samples/") > 60
        assert GOLDEN_INPUT not in listed.stdout
