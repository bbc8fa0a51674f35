"""Builds a serialised engine from an ONNX graph. The network is strongly typed: it computes in the graph's precision.

Sources: NVIDIA TensorRT documentation, "Python API: Builder, NetworkDefinition, OnnxParser, IProgressMonitor";
TensorRT-RTX documentation, "CPU-Only AOT and TensorRT-RTX Engines".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from targets.contract import Job
from targets.errors import ArtifactFailed, shorten
from targets.nvidia.cache import read_cache, write_cache
from targets.nvidia.dla import DlaUse, prefer_dla, use_of_dla
from targets.nvidia.log import make_log


@dataclass(frozen=True)
class Plan:
    """A serialised engine and the content of its side file."""

    content: bytes
    flags: tuple[str, ...]
    batches: tuple[int, int, int]
    dla: DlaUse | None = None


class Shares:
    """Share of the whole that is done, from nested phases."""

    def __init__(self) -> None:
        self._phases: dict[str, tuple[str | None, int, int]] = {}  # parent, steps, steps done
        self._most = 0.0

    def start(self, phase: str, parent: str | None, steps: int) -> None:
        """Begin a phase inside `parent`."""
        self._phases[phase] = (parent, steps, 0)

    def step(self, phase: str, step: int) -> float:
        """Complete a step (from 0) of a phase; return the share of the whole, 0 … 1, which never decreases."""
        parent, steps, _ = self._phases[phase]
        self._phases[phase] = (parent, steps, step + 1)
        share, name = 0.0, phase
        while name in self._phases:
            parent, steps, done = self._phases[name]
            share, name = min(1.0, (done + share) / steps), parent or ""
        self._most = max(self._most, share)
        return self._most

    def finish(self, phase: str) -> None:
        """End a phase, whether or not its steps are done."""
        self._phases.pop(phase, None)


def _make_monitor(trt: Any, tell: Callable[[str, float], None]) -> Any:
    """An `IProgressMonitor` that calls `tell`. An exception in it, such as Ctrl-C, ends the build; see `raised`."""

    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.raised: BaseException | None = None
            self._shares = Shares()

        def phase_start(self, phase: str, parent: str | None, steps: int) -> None:
            self._shares.start(phase, parent, steps)

        def step_complete(self, phase: str, step: int) -> bool:
            try:
                tell(phase, self._shares.step(phase, step))
            except BaseException as error:  # noqa: BLE001 - it must not propagate through the runtime's C++
                self.raised = error
            return self.raised is None

        def phase_finish(self, phase: str) -> None:
            self._shares.finish(phase)

    return Monitor()


def _parse(trt: Any, builder: Any, config: Any, graph: Path, dla: int | None) -> tuple[Any, Any]:
    """The network, and the parser that owns its weights."""
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, make_log(trt))
    if dla is not None:
        prefer_dla(trt, config, parser, dla)
    if not parser.parse_from_file(str(graph)):
        if not parser.num_errors:
            raise ArtifactFailed(f"{trt.__name__} can't read {graph}: {make_log(trt).reason()}")
        error = parser.get_error(0)
        node = f"node {error.node_name()} ({error.node_operator()}): " if error.node_operator() else ""
        raise ArtifactFailed(f"{trt.__name__} refuses {graph.name}: {node}{shorten(error.desc())}")
    return network, parser


def _configure(
    trt: Any, config: Any, capabilities: tuple[str, ...], tf32: bool, timing: Path | None, monitor: Any
) -> None:
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED  # for engine inspectors; costs bytes, not time
    if not tf32:
        config.clear_flag(trt.BuilderFlag.TF32)
    if capabilities:
        config.num_compute_capabilities = len(capabilities)
    for place, name in enumerate(capabilities):
        config.set_compute_capability(trt.ComputeCapability.__members__[name], place)
    if timing:
        kept = config.create_timing_cache(read_cache(timing)) or config.create_timing_cache(b"")
        config.set_timing_cache(kept, ignore_mismatch=False)
    config.progress_monitor = monitor


def build_plan(
    trt: Any,
    graph: Path,
    job: Job,
    capabilities: tuple[str, ...] = (),
    tf32: bool = False,
    timing: Path | None = None,
    dla: int | None = None,
) -> Plan:
    """Build an engine for 1 to the job's largest batch, optimised for its smallest.

    With a DLA it takes 1 image, and nothing else: a DLA's shapes are fixed.

    Args:
        trt: the package `tensorrt` or `tensorrt_rtx`.
        capabilities: names of GPU generations to build for without a GPU; None: this machine's GPU.
        tf32: whether fp32 layers may compute in TF32.
        timing: file that caches the timing of kernels.
        dla: number of the DLA that computes what it supports; None: the GPU computes everything.

    Raises:
        ArtifactFailed: the runtime refuses the graph.
    """
    log = make_log(trt)
    builder = trt.Builder(log)
    config = builder.create_builder_config()
    monitor = _make_monitor(trt, job.tell)
    _configure(trt, config, capabilities, tf32, timing, monitor)
    log.clear()
    network, _parser = _parse(trt, builder, config, graph, dla)
    use = None if dla is None else use_of_dla(trt, network, config, dla, graph)
    if use:
        job.tell(f"DLA.{use.core} supports {use.layers} of {use.of} layers", 0.0)
    profile = builder.create_optimization_profile()
    images, batches = network.get_input(0), (1, 1, 1) if use else (1, job.batches[0], job.batches[-1])
    profile.set_shape(images.name, *((batch, job.height, job.width, 3) for batch in batches))
    config.add_optimization_profile(profile)
    content = builder.build_serialized_network(network, config)
    if monitor.raised:
        raise monitor.raised
    if content is None:
        raise ArtifactFailed(f"{trt.__name__} can't build {graph.name}: {log.reason()}")
    job.tell("engine built", 1.0)
    if timing:
        kept = config.get_timing_cache()
        write_cache(timing, bytes(kept.serialize()))
    flags = [name for name, flag in trt.BuilderFlag.__members__.items() if config.get_flag(flag)]
    return Plan(bytes(content), ("STRONGLY_TYPED", *flags), batches, use)
