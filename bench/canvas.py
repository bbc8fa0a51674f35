"""What resizing on a canvas costs, against the panel of `zoo site` and Pillow: python bench/canvas.py

Needs a release of resnet10t-toycars with its data set here (`zoo build`), a Chromium, and Playwright (extra `dev`).
"""

from __future__ import annotations

import base64
import os
import shutil
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread

import numpy as np
from playwright.sync_api import sync_playwright

import zoo
from pipeline.data.dataset import open_dataset
from pipeline.data.images import Input, read_image
from pipeline.retrieval.agreement import answer
from zoo.catalogue import load_catalogue
from zoo.home import Home
from zoo.site import trial

MODEL, SIZE = "resnet10t-toycars", Input(height=64, width=64)
WAYS = ("the panel", "canvas, high", "canvas, low")
SCRIPT = """async ([name, width, height]) => {
    const {decode, resize} = await import("/picture.js");
    const blob = await (await fetch(name)).blob();
    const text = (bytes) => btoa(String.fromCharCode(...bytes));
    const found = [text(resize(await decode(blob), width, height))];
    const bitmap = await createImageBitmap(blob, {colorSpaceConversion: "none"});
    for (const imageSmoothingQuality of ["high", "low"]) {
        const canvas = Object.assign(document.createElement("canvas"), {width, height});
        const context = Object.assign(canvas.getContext("2d", {willReadFrequently: true}), {imageSmoothingQuality});
        context.drawImage(bitmap, 0, 0, width, height);
        const {data} = context.getImageData(0, 0, width, height);
        const rgb = (_, at) => data[4 * Math.trunc(at / 3) + at % 3];
        found.push(text(Uint8Array.from({length: width * height * 3}, rgb)));
    }
    return found;
}"""


class Quiet(SimpleHTTPRequestHandler):
    """Serves a folder, and says nothing."""

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def in_browser(paths: list[Path]) -> list[np.ndarray]:
    """Pixels of pictures, uint8 N×H×W×3, in each of `WAYS`."""
    with TemporaryDirectory() as folder:
        shutil.copy(Path(trial.__file__).parent / "static/try/picture.js", folder)
        Path(folder, "index.html").write_text("<!doctype html>")
        for at, path in enumerate(paths):
            shutil.copy(path, Path(folder, str(at)))
        server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder))
        Thread(target=server.serve_forever, daemon=True).start()
        with sync_playwright() as playwright:
            sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=sandbox)
            page = browser.new_page()
            page.goto(f"http://127.0.0.1:{server.server_port}/")
            found = [page.evaluate(SCRIPT, [str(at), SIZE.width, SIZE.height]) for at in range(len(paths))]
            print("Chromium", browser.version)
            browser.close()
        server.shutdown()
    shape = (len(paths), SIZE.height, SIZE.width, 3)
    return [
        np.frombuffer(b"".join(map(base64.b64decode, texts)), np.uint8).reshape(shape)
        for texts in zip(*found, strict=True)
    ]


def main() -> None:
    """Print cosines and mAP of each way."""
    catalogue, home = load_catalogue(), Home.find()
    data = open_dataset("toycars", catalogue.datasets["toycars"], Path("data"), home.data, print)
    splits = data.query, data.gallery
    paths = [samples.root / path for samples in splits for path in samples.paths]
    model, count = zoo.load(MODEL, target="onnxruntime"), len(data.query.paths)
    ways = [np.stack([read_image(path, SIZE) for path in paths]), *in_browser(paths)]
    rows = [model.embed(pixels) for pixels in ways]
    for name, own in zip(("zoo (Pillow)", *WAYS), rows, strict=True):
        cosines = (own * rows[0]).sum(1)
        accuracy = answer(own[:count], own[count:], *splits).accuracy
        print(f"{name:14} cosine: mean {cosines.mean():.5f}, smallest {cosines.min():.4f}; mAP {accuracy.map:.2f}")


if __name__ == "__main__":
    main()
