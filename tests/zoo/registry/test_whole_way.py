"""The whole way with a model that was really built: published, pulled into another home, verified, used, compared."""

import json

import numpy as np
import pytest

from tests.conftest import Workshop
from tests.zoo.registry.samples import tree


def elsewhere(root, registry):
    """Another home, with nothing of the build in it: no data, no store."""
    root.mkdir()
    shop = Workshop(root)
    shop.catalogue.write_text(f"registry: {{url: '{registry}'}}\n")
    return shop


@pytest.mark.parametrize("kind", ["folder", "http", "s3"])
def test_published_pulled_verified_used_and_compared(built, kind, request, tmp_path, serve, monkeypatch):
    registry = tmp_path / "registry"
    to = request.getfixturevalue("s3_url") if kind == "s3" else str(registry)
    published = built.zoo("publish", "tiny", "--registry", to)
    assert published.exit_code == 0, published.output
    assert f"published: tiny@1.0.0 in {to}, 6 measurements" in published.output
    assert "is in" in built.zoo("publish", "tiny", "--registry", to).output
    source = serve(registry) if kind == "http" else to

    away = elsewhere(tmp_path / "away", source)
    pulled = away.zoo("pull", "tiny", "--json")
    assert pulled.exit_code == 0, pulled.output
    release = json.loads(pulled.stdout)
    assert release["manifest"]["name"] == "tiny"
    assert len(release["measurements"]) == 6
    verified = away.zoo("verify", "tiny")
    assert verified.exit_code == 0, verified.output
    assert "0 damaged" in verified.output

    images = str(built.root / "data/squares/image_query")
    rows = {}
    for shop, name in ((built, "here"), (away, "away")):
        target = json.loads(away.zoo("embed", images, "-o", str(tmp_path / "a.npz"), "--json").stdout)["target"]
        done = shop.zoo("embed", images, "-o", str(tmp_path / f"{name}.npz"), "--model", "tiny", "--target", target)
        assert done.exit_code == 0, done.output
        with np.load(tmp_path / f"{name}.npz", allow_pickle=False) as file:
            rows[name] = file["embeddings"]
    assert np.array_equal(rows["here"], rows["away"])
    asked = away.zoo(
        "query",
        str(next((built.root / "data/squares/image_query").iterdir())),
        "--gallery",
        images,
        "--sheet",
        str(tmp_path / "s.png"),
    )
    assert asked.exit_code == 0, asked.output
    tables = json.loads(away.zoo("compare", "tiny", "--json").stdout)["tables"]
    assert sum(len(one["rows"]) for one in tables) == 6
    assert "tiny@1.0.0" in away.zoo("list").output
    assert not [path for path in tree(away.home) if "store" in path.split("/")]


def test_a_file_that_was_changed_is_found(built, tmp_path):
    built.zoo("publish", "tiny", "--registry", str(tmp_path / "registry"))
    away = elsewhere(tmp_path / "away", str(tmp_path / "registry"))
    away.zoo("pull", "tiny", "--all")
    file = away.home / "pulled/tiny/1.0.0/openvino-cpu/model.bin"
    content = file.read_bytes()
    file.unlink()
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    found = away.zoo("verify", "tiny")
    assert found.exit_code == 1
    assert "damaged: openvino-cpu/model.bin: other content (sha256)" in found.output
