"""A release's int8 graph, made again where it does not ship: from its fp32 graph and the images of its calibration.

The manifest lists these images with the digest of their pixels, the layers that stay in float, and the verdict of the
gate. With the same pixels and layers, the stage `calibrate` and this module write the same graph.
"""

from __future__ import annotations

import hashlib
from pathlib import Path, PurePosixPath

import numpy as np

from calibration.errors import CalibrationError
from calibration.quantize import Quantizer
from pipeline.data.images import Input, read_image
from zoo.errors import ExportError
from zoo.release.manifest import Calibration


def _place(folder: Path, path: str) -> Path:
    parts = PurePosixPath(path)
    if parts.is_absolute() or ".." in parts.parts:
        raise ExportError(f"the manifest names the image {path!r:.100}, which leads out of the data set. Refused.")
    if not (folder / parts).is_file():
        raise ExportError(f"{folder} lacks the image {path}, on which int8 was calibrated. Is it the same data set?")
    return folder / parts


def quantize_again(graph: Path, size: Input, one: Calibration, folder: Path, path: Path) -> None:
    """Write the graph of a calibration to `path`.

    Args:
        graph: the release's fp32 graph.
        one: with its images.
        folder: of the data set.

    Raises:
        ExportError: the images are not those of the calibration.
        DataError: one can't be decoded.
    """
    assert one.activations is not None  # all of int8 have it
    images = np.stack([read_image(_place(folder, name), size) for name in one.images])
    if hashlib.sha256(images.tobytes()).hexdigest() != one.images_sha256:
        raise ExportError(
            f"the images in {folder} are not those that int8 was calibrated on: their pixels have another sha256. "
            "It is another edition of the data set, or another Pillow decodes it differently."
        )
    try:
        quantizer = Quantizer(graph, images, one.activations, path.parent, one.int8_bits or 8)
        quantizer.write(path, excluded=one.float_layers)
    except CalibrationError as error:
        raise ExportError(str(error)) from None
