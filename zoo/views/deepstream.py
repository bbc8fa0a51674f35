"""DeepStream: the re-identification network of `nvtracker`, and a secondary `nvinfer`.

Both feed float32 N×3×H×W and compute y = scale · (x − offset) with one scale and three offsets, so a deviation per
channel can't be expressed. The view takes pixels as they are (scale 1, offsets 0) and normalises inside. A graph's
embeddings have length 1, so the tracker adds no normalisation.

Sources: NVIDIA DeepStream documentation, "Gst-nvtracker" (Re-ID) and "Gst-nvinfer"; NVIDIA/DeepStream on GitHub,
`config_tracker_NvDCF_accuracy_3D.yml`, `tracker_ReID/README`, `sgie_reidentificationnet_tao_config.yml`,
`nvdsinfer_model_builder.cpp`, `nvbufsurftransform.h`.
"""

from __future__ import annotations

from targets.settings import Precision
from zoo.views.made import Made, engine_script
from zoo.views.view import View

VIEW = View("nchw", "float32", "255", "rgb", input="input", output="fc_pred")
GRAPH, TRACKER, SECONDARY, SCRIPT = "reid.onnx", "nvtracker.yml", "nvinfer_secondary.txt", "build_engine.sh"
MAX_BATCH = 100  # as in NVIDIA's own configurations of the tracker
TRACKER_MODES: dict[Precision, int] = {"fp32": 0, "fp16": 1, "int8": 2}
INFER_MODES: dict[Precision, int] = {"fp32": 0, "fp16": 2, "int8": 1}


def engine_name(made: Made) -> str:
    """As `nvinfer` names an engine that it builds itself."""
    return f"{GRAPH}_b{made.max_batch}_gpu0_{made.precision}.engine"


def tracker(made: Made) -> str:
    """The section `ReID` of a tracker's configuration."""
    return f"""\
# {made.release}, {made.precision}. Put this section in place of the section ReID of config_tracker_NvDCF_accuracy.yml
# (re-association) or config_tracker_NvDeepSORT.yml (reidType: 1). In DeepStream 9.2 paths are relative to the
# tracker's configuration; write absolute ones for older versions.
ReID:
  reidType: 2    # 1: NvDeepSORT, 2: re-association, 3: both

  batchSize: {made.max_batch}
  workspaceSize: 1000    # MB
  reidFeatureSize: {made.dimension}
  reidHistorySize: 100    # embeddings kept for one object
  inferDims: [3, {made.height}, {made.width}]
  networkMode: {TRACKER_MODES[made.precision]}    # 0: fp32, 1: fp16, 2: int8

  inputOrder: 0    # NCHW
  colorFormat: 0    # RGB
  offsets: [0.0, 0.0, 0.0]    # the graph normalises
  netScaleFactor: 1.0
  keepAspc: 0    # stretch objects, as the network was trained; 1 would letterbox them

  addFeatureNormalization: 0    # embeddings have length 1
  outputReidTensor: 0    # 1: attach embeddings to the metadata

  onnxFile: "{GRAPH}"
  modelEngineFile: "{engine_name(made)}"
"""


def secondary(made: Made) -> str:
    """The configuration of a secondary `nvinfer` that embeds objects of a detector."""
    typed = "" if made.precision == "fp32" else "strongly-typed=1\n"
    return f"""\
# {made.release}, {made.precision}: embeds the objects of the detector with gie-unique-id=1.
[property]
gpu-id=0
gie-unique-id=2
# objects of a detector, not whole frames
process-mode=2
operate-on-gie-id=1
# no parsing; a probe reads the embedding from NvDsInferTensorMeta
network-type=100
output-tensor-meta=1
output-blob-names={made.view.output}

onnx-file={GRAPH}
model-engine-file={engine_name(made)}
infer-dims=3;{made.height};{made.width}
batch-size={made.max_batch}
# 0: fp32, 1: int8, 2: fp16
network-mode={INFER_MODES[made.precision]}
{typed}
# RGB; the graph normalises
model-color-format=0
net-scale-factor=1.0
offsets=0.0;0.0;0.0
# stretch objects, as the network was trained, bilinearly
maintain-aspect-ratio=0
scaling-filter=1
"""


def readme(made: Made) -> str:
    """How to use the files."""
    built = {
        "fp32": "DeepStream builds the engine itself when it starts, or run it before, on the device.",
        "fp16": "Run it on the device first: it keeps the precision of each layer as it was measured.",
        "int8": "Run it on the device first: DeepStream itself would look for a calibration file, and not "
        "use the scales in the graph.",
    }[made.precision]
    return f"""\
{made.intro}
- `{GRAPH}`: the graph.
- `{TRACKER}`: the section `ReID` of a tracker's configuration.
- `{SECONDARY}`: a secondary `nvinfer`, for embeddings in the metadata of each object.
- `{SCRIPT}`: builds `{engine_name(made)}` for batches of 1 to {made.max_batch}. {built}
"""


def files(made: Made) -> dict[str, str]:
    """Content by path."""
    return {
        TRACKER: tracker(made),
        SECONDARY: secondary(made),
        SCRIPT: engine_script(made, GRAPH, engine_name(made)),
        "README.md": readme(made),
    }
