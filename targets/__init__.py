"""Runtimes that compile, embed and measure a student; one module per runtime, all with one interface."""

import os

# From 1.29 on ONNX Runtime stores a device id in the user's cache and reports to Microsoft, as soon as it is imported;
# `disable_telemetry_events` comes too late for that (its Privacy.md). To allow it, set the variable to 0.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
