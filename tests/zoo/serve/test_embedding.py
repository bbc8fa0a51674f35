"""Embeddings over HTTP are those of `zoo.load`."""

import io
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from tests.zoo.serve.client import BYTES, EMBED
from tests.zoo.serve.conftest import picture


def same(rows, expected):
    """Another batch changes embeddings by rounding only."""
    np.testing.assert_allclose(rows, expected, rtol=0, atol=1e-6)


def opened(*contents):
    return [Image.open(io.BytesIO(content)) for content in contents]


def test_an_image_as_the_body(server, model):
    image = picture(1)
    answer = server.embed_one(image)
    same(answer.rows, model.embed(opened(image)))
    assert answer.headers["Content-Type"].startswith("application/json")
    about = {key: value for key, value in answer.json.items() if key != "embeddings"}
    assert about == {
        "release": model.release, "target": model.target, "precision": model.precision,
        "artifact_sha256": model.artifact_sha256, "dimension": model.dimension,
    }  # fmt: skip


def test_several_images_in_a_form_keep_their_order(server, model):
    images = [picture(seed) for seed in range(20)]  # more than a batch
    same(server.embed(*images).rows, model.embed(opened(*images)))


@pytest.mark.parametrize("accept", [BYTES, "application/json;q=0.5, application/octet-stream", f"*/*;q=0.1, {BYTES}"])
def test_bytes_are_the_same_numbers(server, model, accept):
    images = [picture(seed) for seed in range(3)]
    answer = server.embed(*images, Accept=accept)
    assert answer.headers["Content-Type"] == BYTES
    shape = int(answer.headers["Zoo-Images"]), int(answer.headers["Zoo-Dimension"])
    assert shape == (3, model.dimension)
    rows = np.frombuffer(answer.content, "<f4").reshape(shape)
    np.testing.assert_array_equal(rows, server.embed(*images).rows)  # JSON has all digits
    assert answer.headers["Zoo-Release"] == model.release
    assert answer.headers["Zoo-Artifact-Sha256"] == model.artifact_sha256


@pytest.mark.parametrize("accept", ["application/json", "application/*", "*/*", "text/html, */*;q=0.8", " "])
def test_json_is_the_default(server, accept):
    assert server.embed(picture(1), Accept=accept).json["embeddings"]


@pytest.mark.parametrize("kind", ["image/jpeg", "image/jpg", "image/png", "image/webp", BYTES, "IMAGE/PNG; q=1"])
def test_the_content_decides_the_format(server, model, kind):
    """A wrong content type is common, and does no harm."""
    image = picture(3, form="JPEG", quality=90)
    same(server.embed_one(image, kind).rows, model.embed(opened(image)))


def test_a_body_without_content_type_is_an_image(server):
    assert server.ask(EMBED, "POST", picture(1)).status == 200


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
def test_an_image_is_turned_by_exif_and_put_on_white(server, model, form):
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = picture(4, form=form, exif=exif)
    same(server.embed_one(turned).rows, model.embed(opened(turned)))
    plain = model.embed(opened(picture(4, form=form)))
    assert np.abs(server.embed_one(turned).rows - plain).max() > 0.01
    clear = io.BytesIO()
    Image.new("RGBA", (9, 9), (200, 0, 0, 0)).save(clear, "PNG")
    white = model.embed([Image.new("RGB", (9, 9), "white")])
    same(server.embed_one(clear.getvalue()).rows, white)


def test_a_chunked_body_is_taken(server, model):
    image = picture(5, (200, 200))
    parts = (image[place : place + 1000] for place in range(0, len(image), 1000))
    answer = server.ask(EMBED, "POST", parts, Content_Type="image/png", Transfer_Encoding="chunked")
    same(answer.rows, model.embed(opened(image)))


def test_clients_at_the_same_time_get_their_own_rows(server, model):
    images = [picture(seed) for seed in range(60)]
    with ThreadPoolExecutor(20) as clients:
        answers = list(clients.map(server.embed_one, images))
    rows = np.concatenate([answer.rows for answer in answers])
    same(rows, model.embed(opened(*images)))


def test_what_is_served_is_described(server, model):
    about = server.ask("/v1/model").json
    assert (about["release"], about["dimension"]) == (model.release, model.dimension)
    assert (about["height"], about["width"]) == model.input_size
    assert about["limits"]["batch"] == 8


def test_health_and_readiness(server):
    assert server.ask("/healthz").json == {"status": "ok"}
    assert server.ask("/readyz").json == {"status": "ready"}
    assert server.ask("/healthz").headers["Server"] == "zoo"  # not which versions


def test_metrics_count_requests_images_and_batches(start):
    from prometheus_client.parser import text_string_to_metric_families

    client = start()
    client.embed(*[picture(seed) for seed in range(3)])
    client.embed_one(b"no image")
    client.ask("/elsewhere")
    client.ask("/elsewhere/too")
    answer = client.ask("/metrics")
    assert answer.headers["Content-Type"].startswith("text/plain")
    found = {
        (sample.name, *map(sample.labels.get, sorted(sample.labels))): sample.value
        for family in text_string_to_metric_families(answer.content.decode())
        for sample in family.samples
    }
    assert found["zoo_requests_total", "POST", "/v1/embed", "200"] == 1
    assert found["zoo_requests_total", "POST", "/v1/embed", "415"] == 1
    assert found["zoo_requests_total", "other", "other", "404"] == 2  # paths of clients are no labels
    assert found["zoo_refused_total", "format"] == 1
    assert found["zoo_images_total",] == found["zoo_batch_images_sum",] == 3
    assert found["zoo_queue_images",] == found["zoo_buffer_bytes",] == 0
    assert found["process_resident_memory_bytes",] > 1e6


def test_the_access_log_has_no_query(start):
    entries = []
    client = start(log=entries.append)
    client.embed(picture(1), picture(2))
    client.ask("/healthz?token=secret")
    client.ask("/nowhere")
    seen = [(entry["method"], entry["path"], entry["status"], entry["images"]) for entry in entries]
    assert seen == [("POST", "/v1/embed", 200, 2), ("GET", "/healthz", 200, 0), ("GET", "/nowhere", 404, 0)]
    assert entries[0]["client"] == "127.0.0.1"
    assert entries[0]["bytes"] > len(picture(1))
