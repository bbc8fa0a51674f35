"""Registries as one does not expect them: 5 000 measurements in one table, and texts that attack."""

from __future__ import annotations

import random

from tests.zoo.records import (
    ACCURACY,
    CONDITIONS,
    DEVICE,
    a_calibration,
    broken,
    estimated,
    manifest_values,
    measurement,
    pending,
    release,
)  # fmt: skip
from tests.zoo.site.sources import RECIPE, entry, sites, source
from zoo.site.source import Source


def large(measurements: int = 5000, models: int = 640) -> Source:
    """So many measurements on one device, in one table."""
    noise, releases = random.Random(2), []
    for number in range(models):
        map_, p50 = noise.uniform(30, 90), noise.lognormvariate(1, 1)
        share = measurements // models + (number < measurements % models)
        records = []
        for at in range(share):
            precision = ("fp32", "fp16", "int8")[at % 3]
            records.append(
                measurement(
                    round(p50 * noise.uniform(0.7, 1.3), 3),
                    round(map_ - noise.uniform(0, 1), 2),
                    precision=precision,
                    target=("openvino-cpu", "onnxruntime-cpu")[at % 2],
                    ships=at == 2,
                    size_bytes=noise.randint(10**5, 10**7),
                    run=f"{number}-{at}",
                    steady=noise.random() > 0.03,
                )
            )
        releases.append(release(f"model-{number:04}", records=records, recipe=RECIPE))
    return source(*releases)


HOSTILE = (
    "<script>window.hit = 1</script>", "<img src=x onerror=window.hit=1>", "\"><svg onload=window.hit=1>",
    "</script><script>window.hit=1</script>", "javascript:window.hit=1", "[a](javascript:window.hit=1)",
    "{{ 7 * 7 }}", "{% raw %}", "${7*7}", "'; window.hit = 1; '", "\\'; window.hit=1;//", "`window.hit=1`",
    "<!--", "-->", "]]>", "<style>*{display:none}</style>", "<base href=https://example.org>",
    "<a href=//example.org>x</a>", "<iframe srcdoc='<script>parent.hit=1</script>'>", "\x1b[31mred\x1b[0m",
    "\x1b]8;;https://example.org\x07x\x1b]8;;\x07", "\u202egnp.exe", "\u2028window.hit=1", "\x00", "a\nb",
    "a\tb", "=HYPERLINK(\"https://example.org\")", "+1+1", "@SUM(1)", "-1+1", "%00", "../../etc/passwd", "con",
    "&lt;b&gt;", "&#60;script&#62;", "<math><mi xlink:href='javascript:hit=1'>",
    "<form action=https://example.org><input name=x>", "' OR 1=1 --", "\"both'quotes\"", "x" * 4000, "💥" * 50,
    "أهلا <b>", "<noscript><p title=\"</noscript><img src=x onerror=window.hit=1>\">",
    "</noscript><script>window.hit=1</script>", "</title><script>window.hit=1</script>", "</textarea>",
    "<meta http-equiv=refresh content=0;url=https://example.org>", "__proto__", "constructor",
    "https://example.org/?a=b",
)  # fmt: skip


def hostile() -> tuple[Source, list[str]]:
    """Releases with 200 hostile texts wherever a record permits a text; and these texts, marked by a number each."""
    noise, texts, releases = random.Random(3), list[str](), []

    def text() -> str:
        texts.append(f"{HOSTILE[len(texts) % len(HOSTILE)]} #{len(texts)}#")
        return texts[-1]

    for number in range(10):
        device = DEVICE | {"name": text(), "system": text(), "architecture": text()}
        conditions = CONDITIONS | {
            "throttled": text() if number % 3 == 1 else None,
            "power_mode": text(),
            "governors": [text()],
        }
        runtime = {"name": text(), "version": text(), "device": "CPU", "options": {"o": text()}}
        about = {
            "device": device,
            "runtime": runtime,
            "conditions": conditions,
            "run": text(),
            "measured_at": "2026-11-01T00:00:00+00:00",
        }
        protocol = text()
        records = [
            measurement(5 + number, 70, **about, accuracy=ACCURACY | {"protocol": protocol}),
            broken(reason=text()), estimated(method=text()), pending(),
        ]  # fmt: skip
        calibrated = a_calibration(judge=text(), float_layers=[text()], target=text())
        one = release(
            f"hostile-{number}", records=records, description=text(), recipe=RECIPE | {text(): text()},
            data=manifest_values()["data"] | {"name": text()},
            licenses={"code": text(), "weights": text(), "data": text()}, calibrations=[calibrated],
            provenance=manifest_values()["provenance"]
            | {"command": text(), "git": text(), "python": text(), "libraries": {text(): text()}},
            created_at=text(), sites=[sites(noise)[0] | {"site": text()}],
        )  # fmt: skip
        releases.append(entry(one, yanked=text()))
    return source(
        *releases, damaged={"bad@1.0.0": text()}, url="https://example.org/'\"><script>window.hit=1</script>"
    ), texts
