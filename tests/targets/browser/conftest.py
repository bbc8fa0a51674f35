"""A browser, if this machine has one."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from targets.browser import chromium, page
from targets.browser.target import OnnxRuntimeWeb, PageSession
from targets.errors import Unusable
from targets.onnxruntime import ARTIFACT
from targets.settings import TargetSettings

TARGET = OnnxRuntimeWeb(TargetSettings("onnxruntime-web", threads=1))


def program_or_skip() -> Path:
    """The program of a browser. Without one the test skips, or fails where REQUIRE_CHROMIUM is set, as in CI."""
    try:
        return chromium.find()
    except Unusable as error:
        if os.environ.get("REQUIRE_CHROMIUM"):
            pytest.fail(f"REQUIRE_CHROMIUM is set, but {error}")
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def browser() -> Path:
    """The program of a browser."""
    return program_or_skip()


@pytest.fixture(scope="session")
def artifact(exported: tuple[Path, np.ndarray, np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an artifact."""
    folder = tmp_path_factory.mktemp("artifact")
    shutil.copyfile(exported[0], folder / ARTIFACT)
    return folder


@pytest.fixture(scope="session")
def session(artifact: Path, browser: Path) -> PageSession:
    """A network in the browser that tests share."""
    return TARGET.load(artifact)


@pytest.fixture
def own(artifact: Path, browser: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An artifact that is loaded in a browser of the test's own, from here on."""
    monkeypatch.setattr(page, "_shared", None)
    return artifact
