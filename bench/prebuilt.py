"""Builds the releases that come with zoo again, says what changed, and replaces them: `make prebuilt`.

    python -m bench.prebuilt --data-root /data                         all models, into prebuilt/
    python -m bench.prebuilt --only resnet10t-toycars                  one model; the others stay as they are
    python -m bench.prebuilt --data-root /data --dry-run               build, compare and check only

Models and targets are in `MODELS`. A model is built by `zoo build`, with results in ZOO_HOME as in any build, and
published to an empty registry. That is compared with the present one, model by model: accuracy and times as by `zoo
diff`; MACs, parameters, bytes, libraries, recipe. It replaces the present one if all of this holds:

- all files together are within the budget;
- every file is intact;
- no file is or holds a picture of a data set (`bench.pictures`), or a path of this machine;
- no version has other content than before, since a published version never changes (--same-version, for versions that
  no release of zoo contained yet);
- all times are reliable (--unsteady accepts others).

Bundles for devices are not published: they hold the test set's images. A pending target has estimates only, and what
can be compiled for it here.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.pictures import blobs_of, pictures, releases_of
from pipeline.progress import Silent
from targets.files import sha256
from zoo.errors import CompareError, ManifestError, RegistryError, ZooError
from zoo.home import Home
from zoo.registry.cache import Cache
from zoo.registry.index import INDEX, Index
from zoo.registry.listing import read_offered
from zoo.registry.places.folder import Folder
from zoo.registry.places.place import UNFINISHED
from zoo.registry.publish import differences, find_index, publish, read_index
from zoo.registry.reader import Registry
from zoo.registry.resolution import resolve
from zoo.release.local import Release, find_release
from zoo.tables.columns import COLUMNS
from zoo.tables.diff import Change, difference

TOP = Path(__file__).parent.parent
BUDGET = 60_000_000  # bytes of all files
MAP_POINTS, LATENCY_PERCENT = 0.1, 5.0  # smaller changes are not told


CPUS = ("openvino-cpu", "onnxruntime-cpu")


@dataclass(frozen=True)
class Model:
    """A model to publish: its name in the catalogue, and the targets it is built for."""

    name: str
    targets: tuple[str, ...] = (*CPUS, "browser-wasm", "jetson-orin-nano", "rtx")


MODELS = (
    Model("resnet10t-toycars"),
    Model("efficientnet_lite0-hcmc"),
    # Its 13 180 test images take many minutes in a browser, and engines for RTX would be 12 MB.
    Model("resnet10t-omniglot", (*CPUS, "jetson-orin-nano")),
)


def build(model: Model, data_root: Path, overrides: Sequence[str]) -> None:
    """Run `zoo build` in a process of its own.

    Raises:
        ZooError: it failed; it said why.
    """
    command = [sys.executable, "-m", "zoo", "build", model.name, "--data-root", str(data_root)]
    command += [word for target in model.targets for word in ("--target", target)]
    command += [word for one in overrides for word in ("--set", one)]
    if subprocess.run(command, check=False).returncode:
        raise ZooError(f"{model.name} was not built, see above. Nothing was replaced.")


def copy_others(old: Path, fresh: Path, without: Sequence[str]) -> None:
    """Copy the releases of other names from a registry to an empty one."""
    index = find_index(Folder(old)) or Index()
    kept = {name: versions for name, versions in index.releases.items() if name not in without}
    index = Index(revision=index.revision, releases=kept)
    for _, listed, manifest in releases_of(Folder(old), index):
        for path in blobs_of(listed, manifest):
            (fresh / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(old / path, fresh / path)
    fresh.mkdir(parents=True, exist_ok=True)
    (fresh / INDEX).write_bytes(index.to_bytes())


def sizes(root: Path) -> dict[str, int]:
    """Bytes of each release's files; one that several releases share counts for the first."""
    found: dict[str, int] = {}
    seen: set[str] = set()
    for label, listed, manifest in releases_of(Folder(root), read_index(Folder(root))):
        new = blobs_of(listed, manifest).keys() - seen
        found[label] = sum((root / path).stat().st_size for path in new)
        seen |= new
    return found


def total(root: Path) -> int:
    """Bytes of all files."""
    return sum(path.stat().st_size for path in root.rglob("*") if path.is_file())


def read(root: Path, scratch: Path, name: str) -> Release | None:
    """The newest release of a name in a registry; None if it has none, or there is no registry."""
    index = find_index(Folder(root))
    if index is None or name not in index.releases:
        return None
    return read_offered(Registry([Folder(root)], Cache(scratch)), *resolve(index, name, str(root)))


def _told(change: Change) -> str:
    column = COLUMNS[change.figure]
    moved = "" if change.change is None else f" ({change.change:+.2f} {'points' if change.figure == 'map' else '%'})"
    where = f"{change.target} {change.precision}"
    what = f"{column.heading} {column.show(change.before)} → {column.show(change.after)}{moved}"
    return f"{change.bucket[:-1] if change.bucket.endswith('s') else change.bucket}: {where}: {what}" + (
        f"; {change.why}" if change.why else ""
    )


def _size(release: Release) -> int:
    return sum(file.size_bytes for file in release.manifest.files)


def changes(before: Release, after: Release) -> Iterator[str]:
    """What differs between two builds of a model, one line each."""
    old, new = before.manifest, after.manifest
    if old.version != new.version:
        yield f"version {old.version} → {new.version}"
    rows: Mapping[str, tuple[float, float]] = {
        "mAP of the student in torch, %": (round(old.accuracy.student.map, 2), round(new.accuracy.student.map, 2)),
        "MACs": (old.cost.macs, new.cost.macs),
        "parameters": (old.cost.parameters, new.cost.parameters),
        "bytes": (_size(before), _size(after)),
    }
    yield from (f"{what}: {was:,} → {now:,}" for what, (was, now) in rows.items() if was != now)
    if old.provenance.zoo != new.provenance.zoo or old.provenance.python != new.provenance.python:
        was, now = (f"zoo {one.zoo}, Python {one.python}" for one in (old.provenance, new.provenance))
        yield f"built with {was} → {now}"
    yield from differences(old, new)
    try:
        found = difference(before, after, MAP_POINTS, LATENCY_PERCENT)
    except CompareError as error:
        yield f"figures can't be compared: {error}"
        return
    yield from (_told(one) for bucket in ("regressions", "improvements", "unsure") for one in found.of(bucket))
    yield from (f"not measured any more: {one}" for one in found.only_before)
    yield from (f"measured for the first time: {one}" for one in found.only_after)


def problems(old: Path, fresh: Path, scratch: Path, same_version: bool, unsteady: bool) -> Iterator[str]:
    """Why a registry must not replace the present one, one line each."""
    if (size := total(fresh)) > BUDGET:
        yield f"{size / 1e6:.1f} MB are more than the budget of {BUDGET / 1e6:.0f} MB"
    for path in (fresh / "blobs").rglob("*"):
        if path.is_file() and sha256(path) != path.name:
            yield f"{path.name} is damaged"
    yield from pictures(fresh)
    yield from paths_of_this_machine(fresh, [Home.find().root, TOP, Path.home()])
    before = find_index(Folder(old)) or Index()
    for name, versions in read_index(Folder(fresh)).releases.items():
        for version, listed in versions.items():
            was = before.find(name, version)
            if was and was.content_sha256 != listed.content_sha256 and not same_version:
                yield (
                    f"{name}@{version} has other content than before, and a published version never changes: raise "
                    "`version` in zoo.yaml, or, if no release of zoo contained it yet, use --same-version"
                )
        release = read(fresh, scratch, name)
        if release and not unsteady:
            yield from _doubts(release)


def _doubts(release: Release) -> Iterator[str]:
    """Targets on which the artifact that ships has no reliable time."""
    shipped = [one for one in release.measured if one.ships]
    for target in dict.fromkeys(one.target for one in shipped):
        records = [one for one in shipped if one.target == target]
        if not any(one.counts for one in records):
            why = records[-1].throttled or records[-1].doubt
            yield (
                f"times of {release.manifest.label} on {target} are unreliable ({why}): remove the folder "
                "store/measure of ZOO_HOME, and run again on an idle machine"
            )


def paths_of_this_machine(root: Path, folders: Sequence[Path]) -> Iterator[str]:
    """Lines about files that contain the path of a folder of this machine."""
    wanted = [os.fsencode(folder) + b"/" for folder in folders]
    for path in sorted((root / "blobs").rglob("*")):
        content = path.read_bytes() if path.is_file() else b""
        yield from (f"{path.name} contains the path {os.fsdecode(one)}" for one in wanted if one in content)


def replace(old: Path, fresh: Path) -> None:
    """Put a registry in the place of another, with the other's README; the old one is there until the new one is."""
    beside, away = old.with_name(f".{old.name}.new"), old.with_name(f".{old.name}.old")
    for left in (beside, away):
        shutil.rmtree(left, ignore_errors=True)
    shutil.copytree(fresh, beside)
    if (old / "README.md").exists():
        shutil.copyfile(old / "README.md", beside / "README.md")
    if old.exists():
        old.rename(away)
    beside.rename(old)
    shutil.rmtree(away, ignore_errors=True)


def renew(models: Sequence[Model], old: Path, home: Home, options: argparse.Namespace) -> bool:
    """Build, publish, compare, check, replace.

    Returns:
        Whether the new releases are sound.

    Raises:
        ZooError: a build failed, or a registry can't be read.
    """
    fresh, scratch = home.root / "prebuilt" / "fresh", home.root / "prebuilt" / "cache"
    shutil.rmtree(fresh, ignore_errors=True)
    for model in models:
        build(model, options.data_root, options.set)
    copy_others(old, fresh, [model.name for model in models])
    for model in models:
        publish(find_release(Home(home.root), model.name), Folder(fresh), None, Silent())
    shutil.rmtree(fresh / UNFINISHED, ignore_errors=True)
    (fresh / f"{INDEX}.lock").unlink(missing_ok=True)
    changed = False
    for name in dict.fromkeys((*(find_index(Folder(old)) or Index()).releases, *read_index(Folder(fresh)).releases)):
        before, after = read(old, scratch, name), read(fresh, scratch, name)
        if before and after:
            lines = [*changes(before, after)]
        else:
            lines = ["new" if after else "not built any more: remove it from prebuilt/, or add it to MODELS"]
        changed = changed or bool(lines)
        print(f"{name}:", *(lines or ["unchanged"]), sep="\n  ")
    for label, size in sizes(fresh).items():
        print(f"{size / 1e6:6.1f} MB  {label}")
    print(f"{total(fresh) / 1e6:6.1f} MB  of {BUDGET / 1e6:.0f} MB")
    found = [*problems(old, fresh, scratch, options.same_version, options.unsteady)]
    for line in found:
        print(f"problem: {line}", file=sys.stderr)
    if found:
        print(f"{old} was not replaced. The new releases are in {fresh}.", file=sys.stderr)
    elif not changed:
        print(f"{old} stays as it is: nothing changed")
    elif options.dry_run:
        print(f"{old} was not replaced (--dry-run). The new releases are in {fresh}.")
    else:
        replace(old, fresh)
        print(f"replaced: {old}")
    return not found


def read_options(arguments: Sequence[str]) -> argparse.Namespace:
    """Options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-root", type=Path, default=Path("data"), help="folder that holds the data sets")
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=[model.name for model in MODELS], help="models")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="as in zoo build; for trials")
    parser.add_argument("--target", nargs="+", metavar="TARGET", help="other targets than those in MODELS; for trials")
    parser.add_argument("--out", type=Path, default=TOP / "prebuilt", help="registry to replace")
    parser.add_argument("--dry-run", action="store_true", help="replace nothing")
    parser.add_argument("--same-version", action="store_true", help="allow other content under a version")
    parser.add_argument("--unsteady", action="store_true", help="allow unreliable times")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str]) -> int:
    """Run; return the exit code."""
    options = read_options(arguments)
    models = [model for model in MODELS if not options.only or model.name in options.only]
    if options.target:
        models = [Model(model.name, tuple(options.target)) for model in models]
    try:
        return 0 if renew(models, options.out.absolute(), Home.find(), options) else 1
    except (ManifestError, RegistryError, ZooError) as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
