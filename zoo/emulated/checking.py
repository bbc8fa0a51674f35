"""Runs artifacts of a release on an emulated machine, and compares each with the same artifact on this one."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from pipeline.progress import Progress
from pipeline.retrieval.accuracy import Accuracy
from targets.contract import Job, Session, describe_runtime, make_target, runtime_version
from targets.machine.device import this_device
from targets.settings import EMBED_BATCH, Precision
from zoo.emulated.agreement import Closeness, closeness, too_far
from zoo.emulated.candidates import Candidate
from zoo.emulated.debian import System, system
from zoo.emulated.images import Images
from zoo.emulated.inside import embed_images
from zoo.emulated.machine import Emulator, find_emulator
from zoo.emulated.running import Emulation, embed_there
from zoo.emulated.wheels import wheels
from zoo.errors import EmulationError
from zoo.home import Home
from zoo.release.local import Release
from zoo.release.measurements import Emulated


@dataclass(frozen=True)
class Verdict:
    """What came of an artifact.

    Attributes:
        why: what is wrong, in words; empty if it agrees.
        record: None if it returned nothing that can be compared.
    """

    target: str
    precision: Precision
    why: str
    record: Emulated | None = None


@dataclass(frozen=True)
class Checker:
    """Checks artifacts of a release on one emulated processor."""

    release: Release
    home: Home
    cpu: str
    images: Images
    emulator: Emulator
    system: System
    progress: Progress

    @classmethod
    def start(cls, release: Release, home: Home, cpu: str, images: Images, progress: Progress) -> Checker:
        """Find the emulator, and make the emulated machine.

        Raises:
            EmulationError: it can't be had here.
        """
        return cls(release, home, cpu, images, find_emulator(), system(home, progress.say), progress)

    def check(self, one: Candidate) -> Verdict:
        """Run an artifact on both machines.

        Raises:
            EmulationError: the runtime has no wheels for arm64, or they can't be had here.
            ManifestError: a file is damaged.
            TargetError: it does not run on this machine.
        """
        runner, pixels, say = make_target(one.settings), self.images.pixels, self.progress.say
        folder = wheels(self.home, runner.distribution, runtime_version(runner), say)
        emulation = Emulation(self.emulator, self.cpu, self.system, folder)
        label, (height, width) = self.release.manifest.label, pixels.shape[1:3]
        with ExitStack() as folders:
            made = folders.enter_context(one.made(self.release, Job(height, width, (1, EMBED_BATCH))))
            session = runner.load(made)
            self.images.golden.check(session, one.precision, f"{label} as {one.target}")
            here = embed_images(session, pixels)
            scratch = Path(folders.enter_context(TemporaryDirectory(prefix="zoo-emulated-")))
            images = f"{len(pixels)} image{'s' * (len(pixels) > 1)}"
            say(f"{label} as {one.target} in {one.precision} on an emulated {self.cpu}: {images}")
            try:
                there = embed_there(emulation, one.settings, one.sent(self.release, made), pixels, scratch, say)
            except EmulationError as error:
                return Verdict(one.target, one.precision, f"it does not run there: {error}")
        return self._verdict(one, here, there)

    def _verdict(self, one: Candidate, here: np.ndarray, there: np.ndarray) -> Verdict:
        found = closeness(here, there)
        if isinstance(found, str):
            return Verdict(one.target, one.precision, found)
        cosine = self.images.golden.cosine(_Known(there))
        least = self.images.golden.min_cosine.get(one.precision, 0.0)
        why = too_far(found, one.precision)
        if not why and not cosine >= least:
            why = f"its cosine to the golden embedding is {cosine:.5f}, at least {least:g} expected"
        accuracies = self.images.accuracy(there), self.images.accuracy(here)
        return Verdict(one.target, one.precision, why, self._record(one, found, cosine, accuracies, not why))

    def _record(
        self,
        one: Candidate,
        found: Closeness,
        golden_cosine: float,
        accuracies: tuple[Accuracy | None, Accuracy | None],
        agrees: bool,
    ) -> Emulated:
        return Emulated(
            release=self.release.manifest.label,
            target=one.target,
            network="student",
            precision=one.precision,
            agrees=agrees,
            cpu=self.cpu,
            emulator=self.emulator.version,
            system=self.system.words,
            runtime=describe_runtime(make_target(one.settings), one.settings),
            artifact_sha256=one.sha256,
            compared_with=this_device(),
            data=self.images.fingerprint,
            images=found.images,
            largest_difference=found.largest_difference,
            min_cosine=found.min_cosine,
            mean_cosine=found.mean_cosine,
            accuracy=accuracies[0],
            accuracy_here=accuracies[1],
            golden_cosine=golden_cosine,
            checked_at=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        )


class _Known(Session):
    """A session that returns known embeddings, to compare them with the golden one."""

    compute_ms = None

    def __init__(self, rows: np.ndarray) -> None:
        self._rows = rows

    def embed(self, images: np.ndarray) -> np.ndarray:
        """The first rows."""
        return self._rows[: len(images)]
