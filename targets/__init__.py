"""Where a student runs: compile, embed, measure; one file a runtime, all of the same form."""

import os

# From 1.29 on ONNX Runtime keeps an id of the device in the user's cache and reports to Microsoft, from its import on;
# its own `disable_telemetry_events` comes too late for that (its Privacy.md). Who wants it sets the variable to 0.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
