"""A site: channels that can be removed one by one."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Writer:
    """A linear map and the batch norm after it, if any; names of modules."""

    layer: str
    norm: str | None
    linear: bool  # channels are on the last axis, not the second

    @property
    def place(self) -> str:
        """The module after which channels are gated."""
        return self.norm or self.layer


@dataclass(frozen=True)
class Site:
    """Channels that can be removed one by one, and all layers they pass through; layers are names of modules.

    `writers` are the linear maps that write the channels: one, or all those whose results are added in a residual
    stream (see `pipeline.networks.coupled`). `channelwise` are the norms and depthwise convolutions in between,
    `factors` the layers that write a factor per channel, `readers` the dense maps that consume the channels. `shifting`
    are those channelwise layers after which a zero channel is no longer zero. `groups` are those of the writer; each
    of `chunks` equal parts of the channels must keep equally many, for grouped readers. `branch` are the modules that
    serve only the last reader, if that ends in a residual sum: without channels all of them can be removed.
    """

    writers: tuple[Writer, ...]
    channels: int
    groups: int
    chunks: int
    channelwise: tuple[str, ...]
    shifting: tuple[str, ...]
    factors: tuple[str, ...]
    readers: tuple[str, ...]  # readers of pooled channels first, then the reader of the map
    branch: tuple[str, ...]
    branch_map: tuple[int, ...]  # height and width of the map that a branch's readers write
    resolution: int  # number of positions of the written map
    spatial: bool  # as in the paper: not a 1×1 convolution before a larger one
    stem: bool  # a larger convolution outside of residual branches

    @property
    def writer(self) -> str:
        """The first linear map, which names the site."""
        return self.writers[0].layer

    @property
    def norm(self) -> str | None:
        """The norm after the first linear map."""
        return self.writers[0].norm

    @property
    def place(self) -> str:
        """The module after which the compactor goes, for a site with one writer."""
        return self.writers[0].place

    @property
    def linear(self) -> bool:
        """Whether channels are on the last axis of the written map, not the second."""
        return self.writers[0].linear

    @property
    def coupled(self) -> bool:
        """Whether several maps write the channels."""
        return len(self.writers) > 1

    @property
    def layers(self) -> tuple[str, ...]:
        """All layers that the channels pass through."""
        return (*(writer.layer for writer in self.writers), *self.channelwise, *self.factors, *self.readers)
