"""What columns mean, in a line, for who reads a table for the first time."""

from __future__ import annotations

from collections.abc import Mapping

MEANINGS: Mapping[str, str] = {
    "target": "the runtime with its settings, as in zoo.yaml",
    "network": "the student, or the dense network that it is compared with",
    "precision": "of weights and activations",
    "ships": "the release gives this artifact to who pulls it for this target",
    "map_float": "mean average precision of the student in torch, before it was converted, %",
    "map": "mean average precision of this artifact, run by this runtime, %",
    "cmc1": "queries whose nearest image is a right one, %",
    "map_drop_points": "mAP lost by conversion, in points, with its 95 % interval; red beyond the release's limit",
    "parameters": "weights of the network, in millions",
    "macs": "multiply-accumulates for one image, in millions",
    "size_bytes": "size of the artifact on disk, MB",
    "p50_ms": "median time of a call, from pixels to embeddings, ms",
    "p90_ms": "nine of ten calls take at most this time, ms",
    "p99_ms": "99 of 100 calls take at most this time, ms",
    "images_per_second": "throughput, in the larger of the two batches",
    "mj_per_image": "energy for one image, mJ",
    "ratio_to_dense": "time of the dense network ÷ time of this one, in the same run, with its 95 % interval",
    "compute_p50_ms": "median time without copies, by the runtime's own clock, ms",
    "calls": "number of timed calls",
    "doubt": "why its times are not reliable",
    "void": "what slowed the machine down, so that its times do not count",
    "reported_by": "who sent the figures, if it was not the publisher",
    "standing": "whether the publisher measured the same once more",
}  # fmt: skip
