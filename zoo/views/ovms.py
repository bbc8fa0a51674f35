"""OpenVINO Model Server: a model repository and its configuration.

A version's folder has an ONNX graph, or OpenVINO's own model.xml and model.bin. The server reads the shape from it.
Paths in the configuration are relative to it, so that the folder can be moved or mounted anywhere.

The server can decode JPEG and PNG itself, for an input in NHWC; it gives BGR then.

Sources: OpenVINO Model Server documentation, "Preparing a Model Repository", "Starting the Server", "Input Shape and
Layout Considerations"; its schema of the configuration, `src/schema.cpp`.
"""

from __future__ import annotations

import json

from zoo.views.made import Made

CONFIG = "config.json"


def graph(made: Made) -> str:
    """Path of the graph."""
    return f"{made.name}/1/model.{'xml' if made.form == 'openvino' else 'onnx'}"


def config(made: Made) -> str:
    """config.json."""
    model = {"name": made.name, "base_path": made.name, "target_device": "CPU"}
    return json.dumps({"model_config_list": [{"config": model}]}, indent=2) + "\n"


def readme(made: Made) -> str:
    """How to use the files."""
    return f"""\
{made.intro}
- `{made.name}`: the model, version 1.
- `{CONFIG}`: the configuration that names it.

```console
docker run --rm -p 9000:9000 -p 8000:8000 -v "$PWD":/models openvino/model_server:latest \\
    --config_path /models/{CONFIG} --port 9000 --rest_port 8000
```

The server gives images that it decodes itself in BGR, and N×H×W×3: export with `--colors bgr` for clients that send
JPEG or PNG.
"""


def files(made: Made) -> dict[str, str]:
    """Content by path."""
    return {CONFIG: config(made), "README.md": readme(made)}
