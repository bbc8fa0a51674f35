"""The program of a bundle: compiles every variant, times them in turn, and embeds the test set.

Needs Python ≥ 3.10, numpy and the runtime, and nothing else of this project.
"""

from __future__ import annotations

import errno
import importlib
import io
import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from targets.bundles.archive import read_list, write_archive
from targets.bundles.contents import BUNDLE_LIST, RESULT_LIST, SPLITS, Bundle, Variant, bundle_needs, open_bundle
from targets.bundles.packed import make_artifact
from targets.bundles.retrieval import quick_accuracy
from targets.bundles.widths import WidthsBundle, figures_of, is_widths, open_widths
from targets.contract import Job, Session, Target, describe_runtime, needs_of, thread_count
from targets.errors import ArtifactFailed, BadBundle, TargetError, Unusable, first_line, in_a_line
from targets.machine.device import cache_folder, is_board, this_device
from targets.measuring.trial import run_trial
from targets.settings import EMBED_BATCH
from targets.signals import ending_as_by_ctrl_c

logger = logging.getLogger("zoo.targets")

BASELINE, REFERENCE = "teacher-fp32", "student-fp32"

Tell = Callable[[str], None]


def _target(bundle: Bundle | WidthsBundle) -> Target:
    module, _, name = bundle.entry.partition(":")
    try:
        kind = getattr(importlib.import_module(module), name)
        if not all(callable(getattr(kind, method, None)) for method in ("check", "compile", "load")):
            raise TypeError("it is not a target")
        target: Target = kind(bundle.settings)
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        why = first_line(error)
        raise BadBundle(f"the bundle's target {bundle.entry!r:.100} can't be created: {why}. Build it again.") from None
    return target


def _ready(bundle: Bundle | WidthsBundle, tell: Tell) -> Target:
    """The target of a bundle, checked for use here.

    Raises:
        Unusable: the runtime or its device is missing here.
    """
    target = _target(bundle)
    if not is_board(bundle.settings.board):
        raise Unusable(
            f"this bundle is for {needs_of(target) or f'a {bundle.settings.board}'}, but this machine is another one "
            f"({this_device().name})",
            "Run it there, or build for this machine with another --target.",
        )
    tell(f"{bundle.release} for {bundle.target}: {target.check()}")
    return target


def _about(bundle: Bundle | WidthsBundle, target: Target) -> dict[str, Any]:
    """Fields of every result."""
    return {
        "bundle": bundle.key,
        "release": bundle.release,
        "target": bundle.target,
        "measured_at": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "device": asdict(this_device()),
        "runtime": asdict(describe_runtime(target, bundle.settings)),
        "threads": thread_count(bundle.settings),
    }


def finish_widths(bundle: WidthsBundle, result: Path, scratch: Path, cache: Path, tell: Tell) -> None:
    """Time the networks of a bundle here, and write the archive `result`; see `finish`."""
    target = _ready(bundle, tell)
    figures = figures_of(bundle, target, scratch, cache, tell)
    write_archive(result, RESULT_LIST, {**_about(bundle, target), **figures}, {})


class _Refused(dict[str, str]):
    """Why the runtime refuses a variant, by name."""

    def __init__(self, scratch: Path, tell: Tell) -> None:
        self._scratch, self._tell = scratch, tell

    @contextmanager
    def noted(self, variant: Variant) -> Iterator[None]:
        """Record an error inside and go on; raise it for the student in fp32, the reference of all others."""
        try:
            yield
        except ArtifactFailed as error:
            if variant.name == REFERENCE:
                raise
            self[variant.name] = in_a_line(error, self._scratch)
            self._tell(f"  broken: {self[variant.name]}")


def _embed(session: Session, bundle: Bundle, split: str) -> np.ndarray:
    places = bundle.places(split)
    batches = (places[at : at + EMBED_BATCH] for at in range(0, len(places), EMBED_BATCH))
    return np.concatenate([_rows(session.embed(bundle.images(batch)), len(batch)) for batch in batches])


def _rows(embeddings: np.ndarray, count: int) -> np.ndarray:
    if embeddings.ndim != 2 or len(embeddings) != count or embeddings.dtype.kind != "f":
        raise ArtifactFailed(
            f"an artifact returns {embeddings.dtype} {'×'.join(map(str, embeddings.shape))} for {count} images, "
            f"not float32 {count}×D. Build the bundle again."
        )
    return embeddings


def finish(bundle: Bundle, result: Path, scratch: Path, cache: Path, tell: Tell) -> None:
    """Compile and measure a bundle here, and write the archive `result`.

    Args:
        scratch: a folder for artifacts, which the caller removes.
        cache: a folder that is kept, with which some runtimes start faster.
        tell: is called with each step.

    Raises:
        Unusable: the runtime or its device is missing here.
        ArtifactFailed: the runtime refuses the student in fp32.
    """
    target = _ready(bundle, tell)
    said: list[str] = []

    def building(what: str, share: float) -> None:
        if what not in said:
            said.append(what)
            tell(f"  {what} ({100 * share:.0f} %)")

    job = Job(bundle.height, bundle.width, tuple(sorted({*bundle.batches, EMBED_BATCH})), cache, building)
    folders, sessions, refused = {}, {}, _Refused(scratch, tell)
    for variant in bundle.variants:
        said.clear()
        tell(f"compiling {variant.network} {variant.precision}")
        folders[variant.name] = folder = scratch / "artifacts" / variant.name
        folder.mkdir(parents=True)
        with refused.noted(variant):
            make_artifact(target, bundle.folder / variant.graph, folder, job)
    for variant in bundle.variants:
        if variant.name not in refused:
            with refused.noted(variant):
                sessions[variant.name] = target.load(folders[variant.name], cache)
    tell(f"measuring {len(sessions)} artifacts in turn at batches {', '.join(map(str, bundle.batches))}")
    trial = run_trial(
        sessions,
        bundle.images(bundle.places("query")[: max(bundle.batches)]),
        bundle.batches,
        bundle.calls,
        bundle.max_seconds,
        BASELINE if BASELINE in sessions else None,
        target.gpu_bus_id,
        tell,
    )
    files: dict[str, Path | bytes] = {}
    rows = []
    for variant in (one for one in bundle.variants if one.name in sessions):
        name = variant.name
        tell(f"embedding the test set with {variant.network} {variant.precision}")
        wanted = bundle.splits if variant.network == "student" else SPLITS  # only the student ships
        splits = {split: _embed(sessions[name], bundle, split) for split in wanted}
        for split, embeddings in splits.items():
            path = scratch / f"{name}-{split}.npy"
            np.save(path, embeddings)
            files[f"embeddings/{path.name}"] = path
        mean_ap, first = quick_accuracy(*(bundle.labelled(split, splits[split]) for split in SPLITS))
        artifacts = sorted(path for path in folders[name].rglob("*") if path.is_file())
        if variant.network == "student":  # it may ship
            files |= {f"artifacts/{name}/{path.relative_to(folders[name]).as_posix()}": path for path in artifacts}
        latency = trial.latency[name]
        alone = latency[0]
        tell(f"  mAP {mean_ap:.2f}  R1 {first:.2f}  p50 {alone.p50_ms:.2f} ms at batch {alone.batch}")
        rows.append(
            {
                "network": variant.network,
                "precision": variant.precision,
                "latency": [asdict(row) for row in latency],
                "ratios": [asdict(ratio) for ratio in trial.ratios[name]],
                "size_bytes": sum(path.stat().st_size for path in artifacts),
            }
        )
    write_archive(
        result,
        RESULT_LIST,
        {
            **_about(bundle, target),
            "conditions": asdict(trial.conditions),
            "rows": rows,
            "broken": [
                {"network": one.network, "precision": one.precision, "reason": refused[one.name]}
                for one in bundle.variants
                if one.name in refused
            ],
        },
        files,
    )


@contextmanager
def _kept_in(folder: str) -> Iterator[None]:
    """Redirect files that runtimes write unasked, such as ONNX Runtime's device id, to a folder."""
    before = dict(os.environ)
    os.environ |= {"XDG_CACHE_HOME": folder, "TMPDIR": folder}
    try:
        yield
    finally:
        os.environ.clear()
        os.environ |= before


def compile_bundle(path: Path, result: Path, tell: Tell) -> None:
    """Unpack a bundle, finish it, and leave nothing but `result` and the cache.

    Raises:
        BadBundle: it is damaged, or not valid.
    """
    if not (folder := result.absolute().parent).is_dir():
        raise OSError(errno.ENOENT, os.strerror(errno.ENOENT), str(folder))
    if not os.access(folder, os.W_OK):
        raise OSError(errno.EACCES, os.strerror(errno.EACCES), str(folder))
    cache = cache_folder()
    cache.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=cache, prefix=f"bundle-{os.getpid()}-") as scratch, _kept_in(scratch):
        logger.debug("%s: unpacked and compiled in %s", path, scratch)
        folder = Path(scratch, "bundle")
        if is_widths(read_list(path, BUNDLE_LIST)):
            finish_widths(open_widths(path, folder), result, Path(scratch), cache, tell)
        else:
            finish(open_bundle(path, folder), result, Path(scratch), cache, tell)


def default_result(path: Path) -> Path:
    """Default path for the result of a bundle."""
    return Path(f"{path.stem}.result")


def _tell(line: str) -> None:
    """Print a line; continue if there is no reader."""
    try:
        print(line, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def main(bundle: str, *words: str) -> None:
    """`python3 BUNDLE [RESULT]`: exits with 1 and a line or two if the user can fix something."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal may lack some characters
    path = Path(bundle)
    if len(words) > 1 or any(word.startswith("-") for word in words):
        needs = bundle_needs(path)
        on = f"Runs on {needs}.\n" if needs else ""
        sys.exit(f"Usage: python3 {path.name} [RESULT]\n{on}Compiles and measures on this machine, and writes RESULT.")
    result = words[0] if words else None
    out = Path(result) if result else default_result(path)
    try:
        with ending_as_by_ctrl_c():
            compile_bundle(path, out, _tell)
    except TargetError as error:
        sys.exit(f"Error: {error}")
    except OSError as error:
        where = f": {error.filename}" if error.filename else ""
        sys.exit(f"Error: {error.strerror or error}{where}. Free some space, or check the folder's owner.")
    except KeyboardInterrupt:
        sys.exit("Interrupted; nothing was written. Run the command again.")
    if result is None:
        _tell(f"result: {out}\nCopy it to the build machine and run: zoo receive {out.name}")
