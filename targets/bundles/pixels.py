"""Images as stored in a bundle: transformed so that deflate compresses them well, and restored with numpy alone.

Each channel is a plane; red and blue are stored as differences to green, and every pixel as the difference to the plane
through its left, upper and upper left neighbours (all modulo 256, lossless). This follows PNG's filters (W3C, Portable
Network Graphics, section 9) with a single predictor, whose inverse is two running sums.
"""

from __future__ import annotations

import numpy as np


def pack(images: np.ndarray) -> np.ndarray:
    """uint8 N×H×W×3 RGB → uint8 N×3×H×W differences."""
    planes = np.array(np.moveaxis(images, 3, 1), order="C")
    planes[:, 0] -= images[..., 1]
    planes[:, 2] -= images[..., 1]
    planes[:, :, :, 1:] -= planes[:, :, :, :-1].copy()
    planes[:, :, 1:] -= planes[:, :, :-1].copy()
    return planes


def unpack(packed: np.ndarray) -> np.ndarray:
    """Inverse of `pack`."""
    planes = np.add.accumulate(packed, axis=2, dtype=np.uint8)
    planes = np.add.accumulate(planes, axis=3, dtype=np.uint8)
    planes[:, 0] += planes[:, 1]
    planes[:, 2] += planes[:, 1]
    return np.ascontiguousarray(np.moveaxis(planes, 1, 3))
