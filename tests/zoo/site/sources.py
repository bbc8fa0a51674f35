"""What a site is made from: releases as a registry has them.

`example` makes a registry as one expects it, `extremes` a large one and a hostile one.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from pipeline.data.images import Input
from zoo.release.local import Release
from zoo.site.source import Entry, Signed, Source

SIZE = Input(height=32, width=32)
RECIPE = {"seed": 0, "input": {"height": 32, "width": 32}, "calibrate": {"max_map_drop_points": 0.5}}


def entry(one: Release, signed: Signed = "unsigned", yanked: str | None = None, read: Callable | None = None) -> Entry:
    """A release as a registry has it; it has no files unless `read` gives them."""
    keys = ("team.pub",) if signed == "trusted" else ()
    published = "2026-11-20T09:00:00+00:00"
    return Entry(one, signed, keys, len(keys), published, yanked, read or (lambda _path, _limit: None))


def source(*releases: Release | Entry, **more) -> Source:
    """A registry with some releases."""
    entries = [one if isinstance(one, Entry) else entry(one) for one in releases]
    about: dict[str, Any] = {"damaged": {}, "revision": 7, "url": "https://models.example.org/zoo"}
    return Source(entries, **about | more)


def sites(noise: random.Random) -> list[dict]:
    """Sites of a network, less and less of which is left."""
    found = []
    for stage, width in enumerate((64, 128, 256, 512)):
        for block in range(2):
            kept = max(0, int(width * noise.uniform(0.1, 0.7)))
            cost = width * width * 9
            found.append({
                "site": f"layer{stage + 1}.{block}.conv1", "width_before": width, "width_after": kept,
                "parameters_before": cost, "parameters_after": cost * kept // width,
                "macs_before": cost * 196 // 4**stage, "macs_after": cost * kept // width * 196 // 4**stage,
            })  # fmt: skip
    return found
