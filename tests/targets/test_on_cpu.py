"""What ncnn, LiteRT and ExecuTorch share says what is missing, whichever way a runtime fails to start."""

import pytest

from targets.errors import Unusable
from targets.executorch.target import ExecuTorch
from targets.on_cpu import OnCpu
from targets.settings import TargetSettings


class Runtime(OnCpu):
    """A runtime whose package is numpy."""

    title, distribution, extra, converters = "Runtime", "numpy", "numpy", ("numpy", "no-such", "nor_this")
    error: Exception | None = None

    def start(self):
        if self.error:
            raise self.error


@pytest.mark.parametrize("error", [ImportError("no kernel"), RuntimeError("no kernel"), OSError("no kernel")])
def test_a_runtime_that_does_not_start_is_told_with_its_reason(error, monkeypatch):
    target = Runtime(TargetSettings("runtime"))
    assert target.check().startswith("Runtime ")
    monkeypatch.setattr(Runtime, "error", error)
    with pytest.raises(Unusable, match=r"Runtime \S+ does not start: no kernel. Reinstall it for this machine"):
        target.check()


@pytest.mark.parametrize(("own", "told"), [(False, "no-such and nor_this not"), (True, "numpie, no-such and nor_this")])
def test_all_packages_that_compiling_lacks_are_named(own, told, monkeypatch):
    monkeypatch.setattr(Runtime, "compiles_by_itself", own)
    monkeypatch.setattr(Runtime, "distribution", "numpie")
    with pytest.raises(Unusable, match=f"^{told}.* installed, which Runtime's artifacts are made with. Run: "):
        Runtime(TargetSettings("runtime")).check_compiler()


def test_executorch_needs_torch_and_xnnpack(monkeypatch):
    monkeypatch.setattr(ExecuTorch, "distribution", "numpy")
    monkeypatch.setattr(ExecuTorch, "start", lambda _: None)
    target = ExecuTorch(TargetSettings("executorch"))
    assert target.check().endswith(" with XNNPACK on CPU")
    monkeypatch.setattr("targets.executorch.target.find_spec", lambda _: None)
    with pytest.raises(Unusable, match="torch is not installed, which ExecuTorch's Python package needs"):
        target.check()
