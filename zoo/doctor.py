"""What works on this machine."""

from __future__ import annotations

from importlib.util import find_spec
from tempfile import TemporaryFile

from targets.contract import converters, is_portable, make_target, needs_of
from targets.errors import TargetError, UnknownRuntime, Unusable, first_line
from targets.installing import install_command
from targets.machine.device import is_board, this_device
from targets.nvidia.jetpacks import installed_l4t, stacks_with
from targets.settings import TargetSettings
from zoo.catalogue import Catalogue
from zoo.home import Home

Row = dict[str, str | bool]
LIBRARIES = ("torch", "torchvision", "timm", "safetensors", "onnx", "onnxscript", "onnxsim", "onnxruntime")


def _row(name: str, usable: bool, what: str, mend: str = "") -> Row:
    return {"name": name, "usable": usable, "what": what, "mend": mend}


def _training() -> Row:
    missing = [name for name in LIBRARIES if not find_spec(name)]
    if missing:
        return _row("training", False, f"not installed: {', '.join(missing)}", f"Run: {install_command('build')}")
    try:
        import torch
        import torchvision  # noqa: F401 - only the import is tested
    except (ImportError, RuntimeError) as error:
        why = f"torch and torchvision do not match: {first_line(error)}"
        return _row("training", False, why, f"Run: {install_command('build')} --force-reinstall")
    if not torch.cuda.is_available():
        return _row("training", True, f"torch {torch.__version__} on the CPU (it sees no CUDA device)")
    return _row("training", True, f"torch {torch.__version__} on {torch.cuda.get_device_name()}")


def _target(name: str, settings: TargetSettings) -> Row:
    try:
        runner = make_target(settings)
        if is_portable(runner) and (settings.host or not is_board(settings.board)):
            runner.check_compiler()  # a bundle carries its artifacts
        if settings.host:
            return _row(name, True, f"over ssh at {settings.host}; contacted when it is built for")
        if not is_board(settings.board):
            about = f" ({settings.about})" if settings.about else ""
            why = f"another machine, {needs_of(runner) or f'a {settings.board}{about}'}"
            return _row(name, False, why, "A build ends in a bundle to run there. Or set `host: ssh://USER@HOST`.")
        try:
            what = runner.check()
            try:
                return _row(name, True, f"{what}, {runner.check_compiler()}" if converters(runner) else what)
            except Unusable as error:
                return _row(name, False, f"{what} runs releases, but none can be built: {error.why}", error.mend)
        except Unusable as error:
            if not runner.compiles_ahead:
                return _row(name, False, error.why, error.mend)
            compiler = runner.check_compiler()
            return _row(
                name, False, f"{error.why}; {compiler}", "A build compiles ahead and ends in a bundle to measure."
            )
    except Unusable as error:
        return _row(name, False, error.why, error.mend)
    except UnknownRuntime as error:
        return _row(name, False, str(error), "Install the package that provides it, or change `runtime:` in zoo.yaml.")
    except TargetError as error:
        return _row(name, False, str(error), "Change the target in zoo.yaml.")
    except Exception as error:  # noqa: BLE001 - a third-party package may fail in any way
        why = f"the package of the runtime {settings.runtime} fails: {type(error).__name__}: {first_line(error)}"
        return _row(name, False, why, "Fix or remove that package.")


def examine(catalogue: Catalogue, home: Home) -> list[Row]:
    """This machine, a Jetson's JetPack, the home, training, then every target of the catalogue. `what` says why one is
    unusable.
    """
    device = this_device()
    rows = [
        _row("machine", True, f"{device.name}, {device.cores} cores, {device.memory_gib} GiB, {device.system}"),
        *_jetpack(device.name),
        _home(home),
        _training(),
    ]
    for name, settings in catalogue.targets.items():
        row = _target(name, settings)
        if aliases := [alias for alias, own in catalogue.aliases.items() if own == name]:
            row["what"] = f"{row['what']} (also called {', '.join(aliases)})"
        rows.append(row)
    for at, lines in catalogue.faulty.items():
        section, _, name = at.partition(".")
        if section == "targets":
            rows.append(_row(name, False, " ".join(lines), "Fix it in zoo.yaml."))
    return rows


def _jetpack(name: str) -> list[Row]:
    """A row on what is known of this Jetson's JetPack; none on other machines."""
    l4t = installed_l4t()
    if l4t is None:
        return []
    stacks = stacks_with(name, l4t)
    if not stacks:
        return [
            _row("jetpack", False, f"zoo knows no JetPack with L4T {l4t} on this board ({name})", "See docs/jetson.md.")
        ]
    rows = []
    for stack in stacks:
        wheel = f"; or pip install '{stack.wheel}'" if stack.has_wheel else ""
        what = (
            f"{stack.jetpack} (L4T {l4t}): target {stack.target}, TensorRT {stack.tensorrt}, CUDA {stack.cuda}, Python "
            f"{stack.python}. {stack.install}{wheel}; pip install '{stack.bindings}' numpy"
        )
        rows.append(_row("jetpack", True, what))
    return rows


def _home(home: Home) -> Row:
    from pipeline.engine.store import Store
    from pipeline.errors import StoreError

    try:
        Store(home.store)
        with TemporaryFile(dir=home.store):
            pass
    except (StoreError, OSError) as error:
        return _row("home", False, str(error), "Set ZOO_HOME to a writable folder.")
    return _row("home", True, str(home.root))
