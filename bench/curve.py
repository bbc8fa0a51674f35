"""Compares all methods of a study at all values of `--vary`, from JSON of bench/study.py: a table and a plot.

    python -m bench.curve docs/results/study-omniglot.json docs/results/study-photos.json --out docs/results/study.svg

Prints a table per file, mAP by budget or other setting, and plots mAP over the MACs that are left, one panel per file.
"""

from __future__ import annotations

import argparse
import json
import sys
from itertools import cycle
from pathlib import Path
from statistics import mean, stdev
from typing import Any

OURS = "study-prune"
STYLES = ("o-", "s--", "^-.", "v:", "D-", "P--", "X-.", "*:", "h-", "p--", "<-.")


def points(runs: list[dict[str, Any]]) -> dict[str, list[tuple[float, float, float]]]:
    """By recipe: remaining MACs in %, mean mAP and its standard deviation over seeds, by ascending MACs."""
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for run in runs:
        groups.setdefault((run["recipe"], run["at"]), []).append(run)
    found: dict[str, list[tuple[float, float, float]]] = {}
    for (recipe, _), some in groups.items():
        accuracy = [run["map"] for run in some]
        left = mean(100 * (1 - run["macs_saved"]) for run in some)
        found.setdefault(recipe, []).append((left, mean(accuracy), stdev(accuracy) if len(some) > 1 else 0.0))
    return {recipe: sorted(row) for recipe, row in found.items()}


def title(study: dict[str, Any]) -> str:
    """Data set and network."""
    recipe = next(iter(study["recipes"].values()))
    return f"{study['dataset']}, {recipe['network']['architecture']}, {recipe['input']['height']} px"


def _head(at: str) -> str:
    """The heading of a column: the share of the MACs that a budget leaves; of anything else, the setting itself."""
    key, _, value = at.rpartition(".compress.")[2].partition("=")
    return f"{100 * float(value):g} %" if key == "macs" else at


def table(study: dict[str, Any]) -> str:
    """Markdown: mAP % by method and budget, mean ± standard deviation, with the number of seeds; ours first.

    A network that was not pruned to a budget stands in a column of its own, with its share of the teacher's MACs.
    """
    budgets = sorted({run["at"] for run in study["runs"] if run["at"]})
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for run in study["runs"]:
        groups.setdefault((run["recipe"], run["at"]), []).append(run)
    alone = any(not run["at"] for run in study["runs"])
    heads = [_head(at) for at in budgets] + ["own size"] * alone
    lines = [f"| method | {' | '.join(heads)} |", "|---" * (1 + len(heads)) + "|"]

    def accuracy(name: str, at: str) -> float:
        return mean(run["map"] for run in groups[name, at]) if (name, at) in groups else 0.0

    def cell(name: str, at: str) -> str:
        some = groups.get((name, at))
        if not some:
            return ""
        values = [run["map"] for run in some]
        spread = f" ± {stdev(values):.2f}" if len(values) > 1 else ""
        share = "" if at else f", {100 * mean(1 - run['macs_saved'] for run in some):.0f} % of the MACs"
        return f"{mean(values):.2f}{spread} ({len(values)}{share})"

    names = sorted({name for name, _ in groups}, key=lambda name: [-accuracy(name, at) for at in [*budgets, ""]])
    for name in sorted(names, key=lambda name: name != OURS):
        cells = [cell(name, at) for at in budgets + [""] * alone]
        lines.append(f"| {name.removeprefix('study-')} | {' | '.join(cells)} |")
    teachers = {run["seed"]: run["teacher_map"] for run in study["runs"]}.values()
    spread = f" ± {stdev(teachers):.2f}" if len(teachers) > 1 else ""
    lines.append(f"| (teacher, dense) | {mean(teachers):.2f}{spread} ({len(teachers)}) |{' |' * (len(heads) - 1)}")
    return "\n".join(lines)


def read_study(path: Path) -> dict[str, Any]:
    """Read the JSON of a study.

    Raises:
        OSError: the file can't be read.
        ValueError: it is not the JSON of a study.
    """
    study = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(study, dict) or not study.get("runs") or "recipes" not in study:
        raise ValueError(f"{path} is not the JSON of a study: use a file of bench/study.py")
    return study


def draw(studies: list[dict[str, Any]], out: Path) -> None:
    """Write a picture, .svg or .png."""
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "zoo"  # equal figures give equal files
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(1, len(studies), figsize=(6.5 * len(studies), 5), squeeze=False)
    curves = [points(study["runs"]) for study in studies]
    others = sorted({name for curve in curves for name in curve} - {OURS})
    looks: dict[str, dict[str, Any]] = {OURS: {"fmt": "o-", "linewidth": 2.5, "color": "black", "zorder": 3}}
    for number, (name, style) in enumerate(zip(others, cycle(STYLES), strict=False)):
        looks[name] = {"fmt": style, "linewidth": 1, "color": f"C{number % 10}"}  # the same in all panels
    for panel, study, curve in zip(panels[0], studies, curves, strict=True):
        for name, row in sorted(curve.items(), key=lambda item: (item[0] != OURS, item[0])):
            left, accuracy, spread = zip(*row, strict=True)
            panel.errorbar(left, accuracy, spread, capsize=2, label=name.removeprefix("study-"), **looks[name])
        teacher = mean({run["seed"]: run["teacher_map"] for run in study["runs"]}.values())
        panel.axhline(teacher, color="grey", linewidth=0.8, linestyle="--", label="teacher, dense")
        panel.set(
            title=title(study),
            xlabel="MACs left, % of the dense network's",
            ylabel="mAP, %",
        )
        panel.legend(fontsize="small")
    figure.tight_layout()
    figure.savefig(out, metadata={"Date": None} if out.suffix == ".svg" else None)


def main() -> None:
    """Read, print, draw, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("studies", nargs="+", type=Path, help="JSON of bench/study.py")
    parser.add_argument("--out", type=Path, required=True, help=".svg or .png")
    options = parser.parse_args()
    try:
        studies = [read_study(path) for path in options.studies]
        draw(studies, options.out)
    except (OSError, ValueError) as error:
        sys.exit(f"Error: {error}")
    print("\n\n".join(f"{title(study)}, mAP % (seeds)\n\n{table(study)}" for study in studies))


if __name__ == "__main__":
    main()
