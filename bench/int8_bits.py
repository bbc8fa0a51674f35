"""int8 weights of 8 and of 7 bits on this processor: how far embeddings are from what ONNX defines, and from fp32.

    python -m bench.int8_bits efficientnet_lite0-hcmc --data-root /data
    python -m bench.int8_bits resnet10t-toycars --runtimes openvino onnxruntime onnxruntime-web ncnn litert

The release must be complete here (`zoo pull NAME --all`). Its fp32 graph is quantised again on the images of its own
calibration, and embeds the test set. *Exact* is the same graph with Q and DQ in float, which no processor changes.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, get_args

from rich.console import Console

from bench.figures import write_figures
from pipeline.data.samples import Index
from pipeline.retrieval.agreement import agreement, answer
from pipeline.stages.calibrate import EXACT, HOST, ReferenceRuntime, embed_samples
from targets.contract import make_target
from targets.machine.device import this_device
from targets.settings import Activations, TargetSettings, WeightBits
from zoo.building.build import open_data
from zoo.catalogue import load_catalogue
from zoo.cli.progress import ConsoleProgress
from zoo.data.folder import find_folder
from zoo.errors import ManifestError, ZooError
from zoo.home import Home
from zoo.layout import GRAPH
from zoo.release.local import Release, find_release
from zoo.release.manifest import Calibration
from zoo.views.recalibration import quantize_again
from zoo.views.source import own_input

RUNTIMES = ("onnxruntime", "openvino")


def takes(runtime: str, kind: Activations) -> bool:
    """Whether a runtime takes graphs with such activations. ONNX Runtime takes both."""
    return runtime == "onnxruntime" or make_target(TargetSettings(runtime)).activations == kind


def calibration(release: Release) -> Calibration:
    """An int8 calibration of the release's student.

    Raises:
        ManifestError: it has none.
    """
    for one in release.manifest.calibrations:
        if one.activations and one.network == "student":
            return one
    raise ManifestError(f"{release.manifest.label} has no int8 calibration. Compare another release.")


def rows(
    release: Release, known: Calibration, data: Index, folder: Path, scratch: Path, runtimes: Sequence[str]
) -> Iterator[dict[str, Any]]:
    """For each kind of graph, bits and runtime: cosines to the exact graph and to fp32, and mAP, on the test set."""
    size, graph = own_input(release), release.path.parent / GRAPH

    def embedded(file: Path, settings: TargetSettings) -> Any:
        (own := scratch / "runtime").mkdir(exist_ok=True)
        session = ReferenceRuntime(settings, data, size, own).session(file)
        query, gallery = (embed_samples(session, some, size) for some in (data.query, data.gallery))
        return answer(query, gallery, data.query, data.gallery)

    float32 = embedded(graph, HOST)
    for kind in get_args(Activations):
        for bits in sorted(get_args(WeightBits), reverse=True):
            file = scratch / f"{kind}-{bits}.onnx"
            how = {"activations": kind, "weight_bits": bits, "float_layers": []}
            quantize_again(graph, size, known.model_copy(update=how), folder, file)
            exact = embedded(file, EXACT)
            here = {one: embedded(file, TargetSettings(one)) for one in runtimes if takes(one, kind)}
            for name, found in {"exact": exact, **here}.items():
                to_exact, to_float = agreement(exact, found), agreement(float32, found)
                yield {
                    "activations": kind,
                    "weight_bits": bits,
                    "runtime": name,
                    "mean_cosine_to_exact": to_exact.mean_cosine,
                    "min_cosine_to_exact": to_exact.min_cosine,
                    "mean_cosine_to_fp32": to_float.mean_cosine,
                    "min_cosine_to_fp32": to_float.min_cosine,
                    "map": found.accuracy.map,
                }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", help="a release that is here")
    parser.add_argument("--data-root", type=Path, default=Path("data"))
    parser.add_argument("--runtimes", nargs="+", default=RUNTIMES)
    parser.add_argument("--json", type=Path, help="write figures here")
    options = parser.parse_args()
    progress, home, catalogue = ConsoleProgress(Console(stderr=True)), Home.find(), load_catalogue()
    try:
        release = find_release(home, options.name)
        known = calibration(release)
        name = release.manifest.data.name
        data = open_data(catalogue, home, name, options.data_root, progress)
        folder = find_folder(home, name, options.data_root, progress)
    except ZooError as error:
        sys.exit(f"Error: {error}")
    print(f"{release.manifest.label} on {this_device().name}")
    print(f"{'activations':11}  bits  {'runtime':15}  cosine to exact, mean, min   to fp32, mean, min     mAP")
    figures = []
    with TemporaryDirectory() as scratch:
        for row in rows(release, known, data, folder, Path(scratch), options.runtimes):
            figures.append(row)
            print(
                f"{row['activations']:11}  {row['weight_bits']:4}  {row['runtime']:15}  "
                f"{row['mean_cosine_to_exact']:17.5f}  {row['min_cosine_to_exact']:7.5f}  "
                f"{row['mean_cosine_to_fp32']:10.5f}  {row['min_cosine_to_fp32']:7.5f}  {row['map']:6.2f}",
                flush=True,
            )
    write_figures(options, {"release": release.manifest.label, "rows": figures})


if __name__ == "__main__":
    main()
