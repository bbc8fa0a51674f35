"""ONNX Runtime on the CPU. Artifact: model.onnx, as exported."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from targets.contract import Session, TargetSettings, runtime_version, thread_count
from targets.errors import ArtifactFailed, Unusable

ARTIFACT = "model.onnx"
PROVIDERS = {"CPU": "CPUExecutionProvider"}


class OnnxRuntime:
    """One execution provider of ONNX Runtime."""

    distribution: ClassVar[str] = "onnxruntime"
    extra: ClassVar[str] = "onnxruntime"

    def __init__(self, settings: TargetSettings) -> None:
        self.settings = settings

    def check(self) -> str:
        """See `Target.check`."""
        version = runtime_version(self)
        provider = PROVIDERS.get(self.settings.device)
        if provider is None:
            raise Unusable(
                f"ONNX Runtime is used on {', '.join(PROVIDERS)} only, not on {self.settings.device}",
                "Set `device: CPU` in the target.",
            )
        try:
            import onnxruntime
        except ImportError as error:
            why = f"ONNX Runtime {version} does not start: {error}"
            raise Unusable(why, "Reinstall it for this machine.") from None
        if provider not in onnxruntime.get_available_providers():
            raise Unusable(f"this build of ONNX Runtime {version} has no {provider}", "Install one that does.")
        return f"ONNX Runtime {version} on {self.settings.device}"

    def compile(self, graph: Path, folder: Path) -> None:
        """See `Target.compile`. The graph is the artifact; the runtime optimises it when it loads."""
        shutil.copyfile(graph, folder / ARTIFACT)
        self.load(folder)

    def load(self, folder: Path) -> Session:
        """See `Target.load`."""
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = thread_count(self.settings)
        try:
            providers = [PROVIDERS[self.settings.device]]
            return _Session(onnxruntime.InferenceSession(folder / ARTIFACT, options, providers=providers))
        except Exception as error:  # noqa: BLE001 - its exception classes have no public common base
            raise ArtifactFailed(f"ONNX Runtime can't load {folder / ARTIFACT}: {str(error)[:200]}") from None


class _Session:
    def __init__(self, session: Any) -> None:
        self._session = session
        self._input = session.get_inputs()[0].name

    def embed(self, images: np.ndarray) -> np.ndarray:
        embeddings: np.ndarray = self._session.run(None, {self._input: images})[0]
        return embeddings
