"""Two hundred clients at the same time: right answers, or a 503 that says when to come back, in bounded memory."""

import asyncio
import io
import re
from pathlib import Path

import aiohttp
import numpy as np
import pytest
from PIL import Image

from tests.zoo.serve.client import BYTES, EMBED
from tests.zoo.serve.conftest import picture
from tests.zoo.serve.process import process

CLIENTS, MIB = 200, 2**20


def memory(pid, key):
    """VmRSS (now) or VmHWM (at most so far) of a process, MiB."""
    (kib,) = re.findall(rf"{key}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(kib) / 1024


async def until_answered(session, url, body, patience=400):
    """The answer that is not 503, and how often it was."""
    for busy in range(patience):
        async with session.post(url, data=body, headers={"Accept": BYTES, "Content-Type": "image/png"}) as answer:
            content = await answer.read()
            if answer.status != 503:
                return answer.status, content, busy
            assert int(answer.headers["Retry-After"]) >= 1
        await asyncio.sleep(0.2)  # sooner than it was told: the server must stand it
    raise AssertionError("never answered")


async def crowd(url, bodies, rounds):
    """Every client sends its image again and again, all over connections of their own."""
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session:

        async def one(body):
            return [await until_answered(session, url, body) for _ in range(rounds)]

        return await asyncio.gather(*map(one, bodies))


@pytest.mark.slow
def test_two_hundred_clients(released, model, tmp_path):
    images = [picture(seed, (320, 240)) for seed in range(CLIENTS)]
    expected = model.embed([Image.open(io.BytesIO(image)) for image in images])
    with process(released, tmp_path, "--target", "onnxruntime", "--queue", "96") as (running, client):
        url = client.url + EMBED
        asyncio.run(crowd(url, images[:20], 2))
        before = memory(running.pid, "VmRSS")
        answers = asyncio.run(crowd(url, images, 10))
        peak = memory(running.pid, "VmHWM")
        metrics = client.ask("/metrics").content.decode()
    for row, own in zip(expected, answers, strict=True):
        for status, content, _ in own:
            assert status == 200
            np.testing.assert_allclose(np.frombuffer(content, "<f4"), row, rtol=0, atol=1e-6)
    busy = sum(one[2] for own in answers for one in own)
    batches = float(re.findall(r"^zoo_batch_images_count (\S+)", metrics, re.MULTILINE)[0])
    images_done = float(re.findall(r"^zoo_images_total (\S+)", metrics, re.MULTILINE)[0])
    print(f"{before:.0f} MiB, peak {peak:.0f} MiB, {busy} × 503, {images_done / batches:.1f} images in a batch")
    assert images_done == 10 * CLIENTS + 40
    assert images_done / batches > 1.5
    assert peak - before < 100
    assert (tmp_path / "errors").read_text() == ""


@pytest.mark.slow
def test_two_hundred_large_bodies_do_not_fill_the_memory(released, tmp_path):
    """3 MiB each, 600 MiB together; 32 MiB are held at a time."""
    large = picture(1, (1000, 1000))
    assert len(large) > 2 * MIB
    options = ("--target", "onnxruntime", "--buffer-mib", "32", "--max-mib", "8")
    with process(released, tmp_path, *options) as (running, client):
        url = client.url + EMBED
        asyncio.run(crowd(url, [large] * 4, 1))
        before = memory(running.pid, "VmRSS")
        answers = asyncio.run(crowd(url, [large] * CLIENTS, 1))
        peak = memory(running.pid, "VmHWM")
    busy = sum(one[2] for own in answers for one in own)
    print(f"{before:.0f} MiB, peak {peak:.0f} MiB, {busy} × 503")
    assert {status for own in answers for status, _, _ in own} == {200}
    assert busy > 0
    assert peak - before < 32 + 200  # bodies, and what the connections' own buffers hold
