"""The emulated machine's files: C libraries and Python for arm64 from Debian's packages, unpacked, never installed.

apt downloads them with a configuration of its own, so that nothing of this machine's system is read or changed; it
checks signatures and digests. The folder appears in one rename, with the versions of all packages in `packages.json`.
An interrupted download goes on where it was.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from urllib.parse import unquote

from filelock import FileLock

from pipeline.files import write_text
from targets.errors import shorten
from zoo.errors import EmulationError
from zoo.home import Home

SUITE, SYSTEM, PYTHON, GLIBC = "bookworm", "Debian 12", "3.11", (2, 36)
LAYOUT = 1  # rises when what is unpacked changes
PACKAGES = ("python3", "libstdc++6", "libgomp1")  # apt adds what they need: about 40
MIRROR, MIRROR_VARIABLE = "http://deb.debian.org/debian", "ZOO_DEBIAN"
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
NEEDS = {"apt-get": "apt", "dpkg-deb": "dpkg"}
ROOM = 250 * 10**6  # bytes: 20 MB of packages, 80 MB unpacked, lists
LISTED = "packages.json"
FULL = "No space left on device"


@dataclass(frozen=True)
class System:
    """The emulated machine's files, and the version of each package."""

    root: Path
    packages: dict[str, str]

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.root / f"usr/bin/python{PYTHON}"

    @property
    def words(self) -> str:
        """What it is, for records."""
        return f"{SYSTEM} (libc {self.packages.get('libc6', '?')}), Python {PYTHON}"


def check_room(folder: Path, needed: int, what: str) -> None:
    """Check the free space.

    Raises:
        EmulationError: there is too little.
    """
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise EmulationError(
            f"{what} needs {needed / 1e6:.0f} MB, but {folder} has {free / 1e6:.0f} MB left. Free some space, or set "
            "ZOO_HOME to another disk."
        )


def no_room(folder: Path) -> EmulationError:
    """The error for a disk that ran full."""
    return EmulationError(f"no space left in {folder}. Free some, and run the command again: it goes on where it was.")


def _check_tools() -> None:
    for program, package in NEEDS.items():
        if not shutil.which(program):
            raise EmulationError(
                f"{program} is not here, which gets and unpacks Debian's packages for arm64. Install {package}; Debian "
                "and Ubuntu have it."
            )
    if not KEYRING.is_file():
        raise EmulationError(
            f"{KEYRING} is not here, which signs Debian's packages for arm64. Run: apt-get install "
            "debian-archive-keyring"
        )


def _configuration(work: Path, mirror: str) -> Path:
    """Write apt's configuration: all of its folders below `work`, arm64 as the only architecture."""
    for name in ("lists/partial", "archives/partial", "etc/preferences.d"):
        (work / name).mkdir(parents=True, exist_ok=True)
    (work / "status").touch()
    sources = f"deb [signed-by={KEYRING}] {mirror} {SUITE} main\n"
    (work / "sources.list").write_text(sources, encoding="utf-8")
    settings = {
        "Dir::State": work, "Dir::State::status": work / "status", "Dir::State::lists": work / "lists",
        "Dir::Cache": work, "Dir::Cache::archives": work / "archives", "Dir::Etc": work / "etc",
        "Dir::Etc::sourcelist": work / "sources.list", "Dir::Etc::sourceparts": "/dev/null",
        "Dir::Etc::parts": "/dev/null", "Dir::Etc::main": "/dev/null", "Dir::Log": work, "APT::Architecture": "arm64",
        "APT::Sandbox::User": "", "APT::Install-Recommends": "false", "APT::Update::Error-Mode": "any",
        "Acquire::Languages": "none", "Acquire::Retries": 2, "Acquire::http::Timeout": 30, "Debug::NoLocking": "true",
    }  # fmt: skip
    lines = [*(f'{name} "{value}";' for name, value in settings.items()), 'APT::Architectures {"arm64";};']
    path = work / "apt.conf"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def _apt(configuration: Path, *arguments: str, mirror: str) -> None:
    environment = {**os.environ, "APT_CONFIG": str(configuration), "LC_ALL": "C"}
    done = subprocess.run(
        ["apt-get", "-q", "-y", *arguments], env=environment, capture_output=True, text=True, check=False,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    if not done.returncode:
        return
    if FULL in done.stderr:
        raise no_room(configuration.parent)
    told = [line for line in done.stderr.splitlines() if line.startswith(("E:", "W:"))]
    why = shorten(next((line[2:] for line in told if "Failed to fetch" in line), told[0][2:] if told else "no reason"))
    raise EmulationError(
        f"can't get Debian's packages for arm64 from {mirror}: {why}. Check the network, or set {MIRROR_VARIABLE} to a "
        "mirror, and run the command again: it goes on where it was."
    )


def _unpack(archives: list[Path], fresh: Path) -> dict[str, str]:
    """Unpack packages into a new folder; return their versions by name."""
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    versions = {}
    for path in archives:
        done = subprocess.run(["dpkg-deb", "-x", str(path), str(fresh)], capture_output=True, text=True, check=False)
        if done.returncode:
            if FULL in done.stderr:
                raise no_room(fresh.parent)
            path.unlink()  # apt gets it again
            raise EmulationError(f"can't unpack {path.name}: {shorten(done.stderr)}. Run the command again.")
        name, version, _ = path.name.split("_")
        versions[name] = unquote(version)
    return versions


def _make(folder: Path, say: Callable[[str], None]) -> None:
    _check_tools()
    folder.parent.mkdir(parents=True, exist_ok=True)
    check_room(folder.parent, ROOM, f"{SYSTEM} for arm64")
    mirror = os.environ.get(MIRROR_VARIABLE, MIRROR)
    say(f"getting {SYSTEM} for arm64 from {mirror}, once: 20 MB, 80 MB unpacked")
    work, fresh = folder.with_name(f"{folder.name}.apt"), folder.with_name(f"{folder.name}.new")
    configuration = _configuration(work, mirror)
    _apt(configuration, "update", mirror=mirror)
    _apt(configuration, "install", "--download-only", *PACKAGES, mirror=mirror)
    versions = _unpack(sorted((work / "archives").glob("*.deb")), fresh)
    about = {
        "suite": SUITE,
        "mirror": mirror,
        "made_at": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "packages": versions,
    }
    write_text(fresh / LISTED, json.dumps(about, indent=1) + "\n")
    shutil.rmtree(folder, ignore_errors=True)  # without its list it is damaged
    fresh.rename(folder)
    shutil.rmtree(work, ignore_errors=True)


def system(home: Home, say: Callable[[str], None]) -> System:
    """The emulated machine's files in a home; made there on the first call.

    Raises:
        EmulationError: a tool is missing, the mirror can't be reached, or there is no space.
    """
    folder = home.emulated / "arm64" / f"debian-{SUITE}-{LAYOUT}"
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.parent / "lock"):
            if not (folder / LISTED).is_file():
                _make(folder, say)
        about = json.loads((folder / LISTED).read_bytes())
        return System(folder, dict(about["packages"]))
    except OSError as error:
        raise unwritable(error, folder) from None
    except (ValueError, KeyError, TypeError):
        raise EmulationError(f"{folder} is damaged. Remove it, and run the command again.") from None


def unwritable(error: OSError, folder: Path) -> EmulationError:
    """The error for a folder that can't be written."""
    if error.strerror == FULL:
        return no_room(folder)
    return EmulationError(f"can't write {folder}: {error.strerror or error}. Set ZOO_HOME to a writable folder.")
