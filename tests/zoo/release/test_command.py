"""The command that builds a release again is told as it was recorded, if a shell reads it as that one command."""

import pytest

from tests.zoo.records import a_manifest, built_by, foreign_values


@pytest.mark.parametrize(
    "command",
    [
        "zoo build big --student timm:lcnet_050",
        "zoo build big --set 'distill.compress={macs: 0.3}'",
        "zoo build big --set 'distill.compress={p50_ms: 1, target: t}'",
        "zoo build t --dataset t",
        "zoo add big --onnx 'my net.onnx' --data cars --license MIT --source 'https://example.org/net?a=1&b=2; $x!'",
        """zoo add big --onnx 'it'"'"'s.onnx' --data cars --license MIT""",
    ],
)
def test_one_more_target_is_added(command):
    assert a_manifest(**built_by(command)).command_for("t") == f"{command} --target t"


@pytest.mark.parametrize("command", ["zoo build big --target t", "zoo build big -t t --set seed=1"])
def test_a_target_that_is_in_it_is_not_added(command):
    assert a_manifest(**built_by(command)).command_for("t") == command


NOT_ONE = [
    "zoo build big; rm -rf .", "zoo build big --set a=$(whoami)", "zoo build big --set a=`whoami`", "zoo build big\nls",
    "zoo build big 'a\nb'", "zoo build big '", "zoo build big > x", "zoo build (ls)", "zoo build big !!", "zoo build *",
    "zoo clean --all", "curl example.org", "zoo build", "",
]  # fmt: skip


@pytest.mark.parametrize("command", NOT_ONE)
def test_a_text_that_a_shell_would_read_otherwise_is_not_told(command):
    assert a_manifest(**built_by(command)).rebuild == "zoo build big"
    foreign = foreign_values("a net.onnx", **built_by(command))
    assert a_manifest(**foreign).rebuild == "zoo add big --onnx 'a net.onnx' --data cars --license Apache-2.0"
