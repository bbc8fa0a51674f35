"""What a request, a client and the server as a whole may take."""

from __future__ import annotations

from dataclasses import dataclass

from targets.settings import EMBED_BATCH

MIB, MEGAPIXEL = 2**20, 10**6
MOST_MEGAPIXELS = 89  # Pillow takes a larger image for a decompression bomb


@dataclass(frozen=True)
class Limits:
    """Limits of a server. All are positive; the command line checks them.

    Attributes:
        body_mib: of a request, MiB.
        images: of a request.
        megapixels: of an image, before it is resized.
        rate: requests per second of a client; None: not limited.
        queue: images that the server has accepted and not answered yet.
        connections: at the same time; fewer if the system allows fewer open files.
        buffer_mib: bodies that the server holds at the same time, MiB.
        receive_seconds: time in which a body has to arrive.
        batch: images that are computed at once, at most as many as the artifact takes.
        wait_ms: how long a batch waits for images that are being decoded, ms.
        drain_seconds: time for requests in progress after SIGTERM.
    """

    body_mib: int = 16
    images: int = 64
    megapixels: int = 16
    rate: float | None = None
    queue: int = 256
    connections: int = 512
    buffer_mib: int = 256
    receive_seconds: float = 30.0
    batch: int = EMBED_BATCH
    wait_ms: float = 2.0
    drain_seconds: float = 30.0

    @property
    def body_bytes(self) -> int:
        """Of a request."""
        return self.body_mib * MIB

    @property
    def pixels(self) -> int:
        """Of an image."""
        return self.megapixels * MEGAPIXEL

    def problem(self) -> str | None:
        """Why two limits exclude each other, and what to change; None if they do not."""
        if self.images > self.queue:
            return (
                f"a request may have {self.images} images, but only {self.queue} may wait. "
                f"Use --queue {self.images}, or --max-images {self.queue}."
            )
        if self.body_mib > self.buffer_mib:
            return (
                f"a request may have {self.body_mib} MiB, but all together only {self.buffer_mib} MiB. "
                f"Use --buffer-mib {self.body_mib}, or --max-mib {self.buffer_mib}."
            )
        return None
