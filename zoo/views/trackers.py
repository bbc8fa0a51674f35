"""Trackers in Python: BoxMOT, and those of Ultralytics (BoT-SORT, Deep OC-SORT, TrackTrack).

Both take the path of an ONNX file, read height, width and batch from its input, feed float32 N×3×H×W in RGB, and take
the first output as embeddings. They differ in the range: BoxMOT subtracts ImageNet's mean and divides by its deviation,
whatever the network; Ultralytics gives 0 … 1.

OpenCV's DNN, one of BoxMOT's runtimes, has the names of input and output built in: images, output0.

Sources: boxmot 25.0.0, `reid/backends/onnx_backend.py`, `reid/core/crops.py`; ultralytics 8.4.190,
`trackers/utils/reid.py`.
"""

from __future__ import annotations

from zoo.views.made import Made
from zoo.views.view import View

BOXMOT = View("nchw", "float32", "normalised", "rgb", output="output0")
ULTRALYTICS = View("nchw", "float32", "1", "rgb", output="output0")


def graph(made: Made) -> str:
    """Path of the graph."""
    return f"{made.name}.onnx"


def boxmot(made: Made) -> dict[str, str]:
    """Content by path, for BoxMOT."""
    usage = f"""\
{made.intro}
- `{graph(made)}`: the graph. It takes the place of the weights for re-identification:

```console
boxmot track --detector DETECTOR --reid {graph(made)} --tracker botsort --source video.mp4
```
"""
    return {"README.md": usage}


def ultralytics(made: Made) -> dict[str, str]:
    """Content by path, for Ultralytics."""
    usage = f"""\
{made.intro}
- `{graph(made)}`: the graph. Copy the configuration of the tracker (`botsort.yaml`) and set in it:

```yaml
with_reid: True
model: {graph(made)}
```
"""
    return {"README.md": usage}
