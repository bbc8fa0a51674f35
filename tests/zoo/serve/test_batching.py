"""Batches: how many images, how long one waits, and in which order."""

import asyncio
import time

import numpy as np
import pytest

from zoo.serve.batching import Batcher
from zoo.serve.refusal import Refusal


class Computer:
    """Returns the first pixel of each image, and remembers the batches."""

    def __init__(self, seconds=0.0):
        self.batches, self._seconds = [], seconds

    def __call__(self, pixels):
        time.sleep(self._seconds)
        self.batches.append(pixels[:, 0, 0, 0].tolist())
        return pixels[:, 0, 0, :1].astype(np.float32)


def image(value):
    return np.full((2, 2, 3), value, np.uint8)


def running(computer, work, batch=4, wait=0.2, queue=100):
    """Run `work(batcher)` beside a batcher."""

    async def main():
        batcher = Batcher(computer, batch, wait, queue)
        task = asyncio.ensure_future(batcher.run())
        try:
            return await work(batcher)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    return asyncio.run(main())


async def embed(batcher, value, after=0.0):
    with batcher.admit(1) as admission:
        await asyncio.sleep(after)
        return float((await admission.embed(image(value)))[0])


def test_images_that_wait_are_batched_in_order():
    computer = Computer(0.02)
    rows = running(computer, lambda batcher: asyncio.gather(*(embed(batcher, value) for value in range(10))))
    assert rows == list(range(10))
    assert computer.batches == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


def test_a_lone_image_does_not_wait():
    begun = time.monotonic()
    assert running(Computer(), lambda batcher: embed(batcher, 7), wait=60) == 7
    assert time.monotonic() - begun < 5


def test_a_batch_waits_for_images_that_are_being_decoded():
    computer = Computer()

    async def work(batcher):
        return await asyncio.gather(embed(batcher, 1), embed(batcher, 2, after=0.05))

    assert running(computer, work, wait=20) == [1, 2]
    assert computer.batches == [[1, 2]]


def test_but_no_longer_than_it_may():
    computer = Computer()

    async def work(batcher):
        return await asyncio.gather(embed(batcher, 1), embed(batcher, 2, after=0.5))

    assert running(computer, work, wait=0.05) == [1, 2]
    assert computer.batches == [[1], [2]]


def test_nor_for_images_that_were_given_up():
    """Their request failed, or its client is gone."""
    computer = Computer()

    async def work(batcher):
        late = asyncio.ensure_future(embed(batcher, 2, after=60))
        first = asyncio.ensure_future(embed(batcher, 1))
        await asyncio.sleep(0.05)
        late.cancel()
        return await first

    begun = time.monotonic()
    assert running(computer, work, wait=30) == 1
    assert time.monotonic() - begun < 10


def test_images_whose_client_is_gone_are_not_computed():
    computer = Computer(0.1)

    async def work(batcher):
        first = asyncio.ensure_future(embed(batcher, 1))
        await asyncio.sleep(0.03)  # it computes
        gone = [asyncio.ensure_future(embed(batcher, value)) for value in (2, 3)]
        await asyncio.sleep(0.01)
        for one in gone:
            one.cancel()
        await asyncio.gather(*gone, return_exceptions=True)
        assert batcher.accepted == 1
        return [await first, await embed(batcher, 4)]

    assert running(computer, work) == [1, 4]
    assert computer.batches == [[1], [4]]


def test_a_request_is_accepted_as_a_whole_or_not_at_all():
    async def work(batcher):
        with batcher.admit(3):
            with pytest.raises(Refusal):
                batcher.admit(2)
            with batcher.admit(1):
                assert (batcher.accepted, batcher.coming) == (4, 4)
        assert (batcher.accepted, batcher.coming) == (0, 0)

    running(Computer(), work, queue=4)
