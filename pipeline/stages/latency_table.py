"""Stage `latency_table`: networks of many widths, timed on the target of a budget in milliseconds.

It runs before training, since time does not depend on weights. `pipeline.stages.latency_budget` evaluates the table. A
target elsewhere is measured over ssh, or by running its bundle (stage `latency_bundle`) there.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter
from typing_extensions import NotRequired, TypedDict, Unpack

from pipeline.data.images import Input
from pipeline.engine.work import Work, read_json
from pipeline.errors import NeedsDevice
from pipeline.networks.factory import Network
from pipeline.networks.sites import Which
from pipeline.stages.bundle import SUFFIX, bundle_file
from pipeline.stages.width_graphs import (
    WidthTimings,
    dense_network,
    read_result,
    time_here,
    time_over_ssh,
    write_graphs,
    write_widths_bundle,
)
from targets.settings import Precision, TargetSettings

if TYPE_CHECKING:
    from pipeline.method.widths import Kept, LayerWidths

VERSION = 1
TABLE, FACTS = "table.json", "networks.json"
NETWORKS = 32  # of random widths, besides the dense and the smallest network
_ANYTHING: TypeAdapter[Any] = TypeAdapter(Any)


class Asked(TypedDict):
    """What is timed.

    Attributes:
        network: the student's.
        sites: setting of the student's distillation; so is `align`.
        batch: images per call.
        layers: description of a release's network, if the student starts with its widths.
    """

    network: Network
    input: Input
    sites: Which
    align: int
    target: TargetSettings
    precision: Precision
    batch: int
    layers: NotRequired[Path | None]


def _prepared(work: Work, asked: Asked) -> tuple[dict[str, Path], dict[str, Any]]:
    """Graphs, and facts about their networks: channels kept at each site, and the layers of all."""
    from pipeline.method.width_choice import spread_widths
    from pipeline.method.widths import layer_widths

    narrowing, found = dense_network(asked["network"], asked["input"], asked["sites"], asked.get("layers"))
    configurations = spread_widths(found, asked["align"], NETWORKS)
    folder = work.scratch / "graphs"
    graphs = write_graphs(work, folder, narrowing, configurations, asked["target"], asked["precision"])
    layers = _ANYTHING.dump_python(layer_widths(narrowing), mode="json")
    return graphs, {"configurations": configurations, "layers": layers}


def _write_table(work: Work, facts: dict[str, Any], told: WidthTimings, batch: int) -> None:
    rows = [
        {"kept": kept, **row}
        for kept, row in zip(facts["configurations"], told.model_dump(mode="json")["rows"], strict=True)
    ]
    about = told.model_dump(mode="json", exclude={"rows"})
    work.write_json(TABLE, {"batch": batch, **about, "rows": rows, "layers": facts["layers"]})


def read_table(folder: Path) -> tuple[dict[str, Any], list[Kept], list[LayerWidths]]:
    """A result of this stage: its content, its networks, and their layers."""
    from pipeline.method.widths import LayerWidths

    table = read_json(folder / TABLE)
    layers = TypeAdapter(list[LayerWidths]).validate_python(table["layers"])
    return table, [row["kept"] for row in table["rows"]], layers


def measure_table(work: Work, **asked: Unpack[Asked]) -> None:
    """Write `table.json`: times of networks of several widths on this machine.

    Raises:
        ArtifactFailed: the runtime refuses a network.
    """
    graphs, facts = _prepared(work, asked)
    told = time_here(work, graphs, asked["input"], asked["target"], asked["batch"])
    _write_table(work, facts, told, asked["batch"])


def bundle_table(
    work: Work,
    *,
    release: str,
    name: str,
    code: str,  # noqa: ARG001 - part of the key, so that a new bundle is made when the code changes
    **asked: Unpack[Asked],
) -> None:
    """Write `NAME-VERSION-TARGET-widths.zoo` with the networks of `measure_table`, and their facts to `networks.json`.

    Args:
        release: name@version.
        name: name of the target.
        code: see `pipeline.stages.bundle.code_digest`.
    """
    graphs, facts = _prepared(work, asked)
    path = work.out / f"{release.replace('@', '-')}-{name}-widths{SUFFIX}"
    write_widths_bundle(path, graphs, asked["input"], release, name, asked["target"], asked["batch"])
    work.write_json(FACTS, facts)
    work.progress.say(f"bundle of widths for {name}: {path.stat().st_size / 1e6:.1f} MB")


def measure_table_elsewhere(
    work: Work, *, host: str | None, python: str, name: str, batch: int, bundle: Path, result: Path | None
) -> None:
    """Write `table.json` with times from a device.

    Args:
        host, python: see `TargetSettings`; no host if the result was copied here.
        name: name of the target.
        bundle: folder of the stage `latency_bundle`.
        result: the device's result of that bundle.

    Raises:
        NeedsDevice: there is neither a host nor a result.
        DeviceError: the device was not reached, or failed.
        BadBundle: the result is damaged, or belongs to another bundle.
    """
    archive = bundle_file(bundle)
    if result is None and host is None:
        raise NeedsDevice(archive.name, name)
    told = read_result(result, archive) if result else time_over_ssh(work, archive, str(host), python)
    _write_table(work, read_json(bundle / FACTS), told, batch)
