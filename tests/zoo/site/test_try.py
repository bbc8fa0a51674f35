"""The panel of a release page, which runs the student in a real browser."""

import io
import json
import re
import shlex
import shutil
from base64 import b64decode, b64encode
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.data.images import Input, decode, to_pixels
from pipeline.progress import Silent
from targets.files import sha256
from targets.onnxruntime import OnnxRuntime
from targets.settings import TargetSettings
from tests.zoo.records import an_artifact, release
from tests.zoo.shelf import write_graph
from tests.zoo.site.conftest import watching
from tests.zoo.site.sources import RECIPE, SIZE, entry, source
from zoo.documents.golden import draw
from zoo.site.build import build
from zoo.site.samples import SAMPLES, drawn

PAGE = "release/tried@1.0.0.html"


class Tried:
    """A site with one release whose graph is real."""

    def __init__(self, folder, golden=True, damaged=False):
        folder.mkdir()
        graph = write_graph(folder / "model.onnx", size=SIZE)
        self.session = OnnxRuntime(TargetSettings("onnxruntime", threads=1)).load(folder)
        picture = draw(SIZE)
        content = io.BytesIO()
        Image.fromarray(picture).save(content, "PNG")
        row = self.session.embed(picture[None])[0] if golden else np.eye(8)[0]
        files = {
            "graph/model.onnx": graph.read_bytes(),
            "golden/input.png": content.getvalue(),
            "golden/embedding.json": json.dumps({"embedding": row.tolist()}).encode(),
        }
        artifact = an_artifact(size=graph.stat().st_size) | {"sha256": sha256(graph)}
        one = release("tried", recipe=RECIPE, artifacts=[artifact])
        self.folder = folder / "site"
        build(source(entry(one, read=lambda path, _limit: files.get(path))), self.folder, True, Silent())
        if damaged:
            (path,) = self.folder.glob("models/*.onnx")
            path.write_bytes(path.read_bytes()[:-1] + b"\0")

    def embed(self, *pictures):
        return self.session.embed(np.stack([to_pixels(one, SIZE) for one in pictures]))


@pytest.fixture(scope="module")
def tried(tmp_path_factory):
    return Tried(tmp_path_factory.mktemp("tried") / "one")


@pytest.fixture(scope="module")
def ready(tried, served, chromium):
    """A page whose panel is ready; compiling its runtime takes seconds."""
    url = f"{served(tried.folder)}/{PAGE}"
    with watching(chromium, url) as watched:
        watched.page.locator("#try").scroll_into_view_if_needed()
        watched.page.get_by_role("status").filter(has_text="golden picture").wait_for()
        yield watched, url


@pytest.fixture
def panel(ready):
    """The panel, without pictures."""
    watched, url = ready
    panel = watched.page.locator("#try-panel")
    yield panel
    watched.check(url)
    watched.page.emulate_media(color_scheme="light")
    if (clear := panel.get_by_role("button", name="Remove all")).is_visible():
        clear.click()


def similarities(panel):
    return [
        [float(cell.replace("−", "-")) for cell in row.locator("td").all_inner_texts()]
        for row in panel.get_by_role("region", name="Similarities").locator("tbody tr").all()
    ]


def test_it_computes_what_zoo_computes(panel, tried):
    (found,) = re.findall(r"Cosine ([\d.]+) to the release's embedding", panel.get_by_role("status").inner_text())
    assert float(found) >= 0.99999
    for sample in SAMPLES[0], SAMPLES[5], SAMPLES[9]:
        panel.get_by_role("button", name=f"vehicle {sample.identity}, camera {sample.camera}").click()
    rows = tried.embed(drawn(SAMPLES[0]), drawn(SAMPLES[5]), drawn(SAMPLES[9]))
    panel.locator("tbody tr").nth(2).wait_for()
    assert np.abs(np.array(similarities(panel)) - rows @ rows.T).max() <= 0.0005001


def test_the_nearest_drawn_pictures_are_those_that_zoo_finds(panel, tried):
    panel.locator("input[type=file]").set_input_files(file("one.png", drawn(SAMPLES[7])))
    panel.locator(".sheet figure").nth(5).wait_for()
    rows, (row,) = tried.embed(*map(drawn, SAMPLES)), tried.embed(drawn(SAMPLES[7]))
    nearest = np.argsort(-(rows @ row), kind="stable")[:5]
    names = [figure.get_attribute("alt") for figure in panel.locator(".sheet img").all()]
    assert names == ["one.png", *(f"vehicle {SAMPLES[at].identity}, camera {SAMPLES[at].camera}" for at in nearest)]
    assert panel.locator(".sheet figcaption").nth(1).inner_text() == "1.000"


def file(name, image, suffix="PNG", **options):
    content = io.BytesIO()
    image.save(content, suffix, **options)
    return {"name": name, "mimeType": f"image/{suffix.lower()}", "buffer": content.getvalue()}


def test_what_is_no_picture_is_told_as_text_and_the_others_are_used(panel):
    bad = {"name": "<img src=x onerror=alert(1)>.png", "mimeType": "image/png", "buffer": b"nonsense"}
    good = file("b.png", Image.new("RGB", (40, 30), "red"))
    panel.locator("input[type=file]").set_input_files([bad, good])
    told = panel.get_by_role("alert").inner_text()
    assert told == "<img src=x onerror=alert(1)>.png: the browser can't decode it as a picture"
    panel.locator(".sheet").wait_for()
    assert panel.locator(".sheet").count() == 1
    panel.get_by_role("button", name="Remove all").click()
    assert panel.locator(".sheet").count() == 0


def test_a_dropped_picture_counts_and_no_more_than_twelve_do(panel):
    content = list(file("x.png", Image.new("RGB", (8, 8), "blue"))["buffer"])
    panel.page.evaluate(
        """([bytes, count]) => {
            const moved = new DataTransfer();
            for (let at = 0; at < count; at++)
                moved.items.add(new File([new Uint8Array(bytes)], `${at}.png`, {type: "image/png"}));
            const event = new DragEvent("drop", {dataTransfer: moved, bubbles: true, cancelable: true});
            document.querySelector(".try-zone").dispatchEvent(event);
        }""",
        [content, 14],
    )
    panel.locator("tbody tr").nth(11).wait_for()
    assert panel.locator("tbody tr").count() == 12
    assert "takes 12 pictures; the last 2 are left out" in panel.get_by_role("alert").inner_text()
    panel.get_by_role("button", name="Remove 3.png").click()
    assert panel.locator("tbody tr").count() == 11


def test_it_works_by_keyboard(panel):
    panel.get_by_role("button", name="vehicle 100, camera 1").focus()
    for key in ("Enter", "Tab", "Space"):
        panel.page.keyboard.press(key)
    panel.locator("tbody tr").nth(1).wait_for()


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"golden": False}, r"this browser computes something else: cosine −?-?[\d.]+ to the release's own embedding"),
        ({"damaged": True}, "its sha256 differs from the manifest's"),
    ],
    ids=["golden", "damaged"],
)
def test_a_student_that_differs_from_the_release_is_not_offered(tmp_path, served, watch, options, why):
    page = watch(f"{served(Tried(tmp_path / 'other', **options).folder)}/{PAGE}").page
    page.locator("#try").scroll_into_view_if_needed()
    told = page.locator("#try-panel", has_text="could not start")
    told.wait_for()
    assert re.search(f"^The panel could not start: {why}", told.inner_text())
    assert page.locator(".try-zone").count() == 0


def test_from_a_folder_it_names_the_command_that_serves_it(tried, watch, tmp_path):
    """With the path of the folder, as one word of a shell."""
    folder = tmp_path / "it's a site"
    shutil.copytree(tried.folder, folder)
    page = watch((folder / PAGE).as_uri()).page
    words = shlex.split(page.locator("#serve").inner_text())
    assert words[:3] == ["python3", "-m", "http.server"]
    assert Path(words[-1]) == folder
    assert f"http://127.0.0.1:8000/{PAGE}" in page.locator("#try-panel").inner_text()
    assert "FOLDER" not in page.locator("#try-panel").inner_text()


def noisy(width, height, mode="RGB"):
    random = np.random.default_rng(width)
    channels = len(Image.new(mode, (1, 1)).getbands())
    return Image.fromarray(random.integers(0, 256, (height, width, channels), np.uint8).squeeze(), mode)


def exif(orientation):
    found = Image.Exif()
    found[0x0112] = orientation
    return {"exif": found.tobytes()}


SMOOTH = noisy(16, 12).resize((301, 203), Image.Resampling.BICUBIC)
PICTURES = {
    "large": (file("", noisy(431, 377)), 0),
    "same": (file("", noisy(32, 32)), 0),
    "small": (file("", noisy(5, 3)), 0),
    "tall": (file("", noisy(7, 901)), 1),  # Pillow 13 begins with the height of some
    "grey": (file("", noisy(100, 80, "L")), 0),
    "palette": (file("", SMOOTH.convert("P")), 0),
    "transparent": (file("", noisy(90, 70, "RGBA")), 2),  # composed in 8 bits, in another order
    "jpeg": (file("", SMOOTH, "JPEG", quality=90), 1),  # decoders round differently
    "webp": (file("", SMOOTH, "WEBP", lossless=True), 0),
    **{f"turned {one}": (file("", SMOOTH, "JPEG", quality=95, **exif(one)), 1) for one in (3, 6, 8)},
}


def test_pictures_are_read_and_resized_as_zoo_does(tried, served, watch):
    """Canvas would resize otherwise: cosines of the demo's student fall to 0.995, see docs/site.md."""
    page = watch(f"{served(tried.folder)}/index.html").page
    texts = [b64encode(picture["buffer"]).decode() for picture, _ in PICTURES.values()]
    pixels = page.evaluate(
        """async (texts) => {
            const {decode, resize} = await import("/static/try/picture.js");
            return Promise.all(texts.map(async (text) => {
                const bytes = Uint8Array.from(atob(text), (one) => one.charCodeAt(0));
                return btoa(String.fromCharCode(...resize(await decode(new Blob([bytes])), 48, 32)));
            }));
        }""",
        texts,
    )
    for (name, (picture, room)), found in zip(PICTURES.items(), pixels, strict=True):
        expected = to_pixels(decode(io.BytesIO(picture["buffer"]), name).image, Input(height=32, width=48))
        values = np.frombuffer(b64decode(found), np.uint8).reshape(expected.shape)
        assert np.abs(values.astype(int) - expected).max() <= room, name


def test_axe_finds_nothing_in_the_panel(panel):
    import axe_playwright_python

    for number in (0, 5):
        panel.locator(".try-strip button").nth(number).click()
    panel.locator(".sheet").nth(1).wait_for()
    axe = Path(axe_playwright_python.__file__).parent / "axe.min.js"
    panel.page.evaluate(axe.read_text())
    for scheme in ("light", "dark"):
        panel.page.emulate_media(color_scheme=scheme)
        found = panel.page.evaluate("async () => (await axe.run('#try-panel')).violations")
        told = [(one["id"], [node["html"] for node in one["nodes"]][:3]) for one in found]
        assert told == [], scheme
