"""Shell completion: existing names, quickly, and never an error."""

import os
import pty
import subprocess
import sys
import time
from pathlib import Path
from select import select
from shutil import which

import pytest

from targets.nvidia.jetpacks import STACKS

BIN = Path(sys.executable).parent
JETSONS = sorted(["jetson", "jetson-orin-agx-dla", *(stack.target for stack in STACKS)])


def offered(environment, line, shell="bash", **more):
    """Completions of the last word of a line."""
    words = line.split(" ")
    asked = {"COMP_WORDS": "\n".join(words), "COMP_CWORD": str(len(words) - 1), "_ZOO_COMPLETE": f"{shell}_complete"}
    command = [sys.executable, "-m", "zoo"]
    answer = subprocess.run(command, env={**environment, **asked, **more}, capture_output=True, text=True, check=False)
    assert answer.stderr == ""
    return [line.partition(",")[2] for line in answer.stdout.split()]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("zoo show t", ["tiny"]),
        ("zoo show tiny@", ["tiny@1.0.0"]),
        ("zoo show tiny @ 1", ["@1.0.0"]),  # as bash splits it
        ("zoo diff tiny @ 1.0.0 t", ["tiny@1.0.0"]),
        ("zoo compare tiny t", ["tiny"]),
        ("zoo query a.jpg --model t", ["tiny"]),
        ("zoo build resnet50-v", ["resnet50-veri"]),
        ("zoo pull resnet50-v", ["resnet50-veri"]),
        ("zoo build tiny --target jetson", JETSONS),
        ("zoo embed cars --target openvino", ["openvino", "openvino-cpu", "openvino-gpu", "openvino-npu"]),
        ("zoo build --eve", ["--events"]),
        ("zoo comp", ["compare", "compile"]),
        ("zoo weights f", ["fetch"]),
        ("zoo weights fetch tf_", [f"tf_efficientnet_lite{number}" for number in range(3)]),
        ("zoo weights fetch resnet50-v", ["resnet50-veri"]),
    ],
)
def test_names_are_offered(environment, line, expected):
    assert offered(environment, line) == expected


def test_unreadable_catalogue_and_home_give_no_completions(environment, tmp_path):
    (tmp_path / "zoo.yaml").write_text("models: [")
    broken = {"ZOO_CATALOGUE": str(tmp_path / "zoo.yaml"), "ZOO_HOME": str(tmp_path / "none")}
    assert offered(environment, "zoo build t", **broken) == []
    assert offered(environment, "zoo show t", **broken) == []


def test_completion_imports_no_large_library(environment):
    code = (
        "import sys\nfrom zoo.cli import completion\n"
        "assert completion.target(None, None, 'jetson') and completion.anywhere(None, None, 't')\n"
        "print([name for name in ('torch', 'numpy', 'pydantic', 'rich') if name in sys.modules])"
    )
    answer = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert answer.stdout == "[]\n"


@pytest.mark.skipif(not which("bash"), reason="no bash")
def test_bash_completes_what_is_typed(environment):
    """A real bash in a terminal, which splits words at `@`."""
    process, terminal = pty.fork()
    if not process:
        path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
        os.execvpe("bash", ["bash", "--norc", "--noprofile", "-i"], {**environment, "PATH": path, "TERM": "dumb"})
    try:
        typed(terminal, 'eval "$(_ZOO_COMPLETE=bash_source zoo)"; echo rea""dy\n', "ready")
        typed(terminal, "zoo show ti\t", "tiny ")
        typed(terminal, "\x15zoo show tiny@1\t", "1.0.0 ")
        typed(terminal, "\x15zoo build --target raspberrypi5-n\t", "raspberrypi5-ncnn ")
    finally:
        os.close(terminal)
        os.waitpid(process, 0)


def typed(terminal: int, keys: str, expected: str) -> None:
    """Type, and wait until something is shown."""
    os.write(terminal, keys.encode())
    shown, deadline = "", time.monotonic() + 60
    while expected not in shown.replace("\x08", "") and time.monotonic() < deadline:
        if select([terminal], [], [], 0.2)[0]:
            shown += os.read(terminal, 65536).decode(errors="replace")
    assert expected in shown.replace("\x08", ""), shown
