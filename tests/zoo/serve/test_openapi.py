"""/openapi.json is valid, and true: what it describes exists, and answers as it says."""

import json
import re

import jsonschema
import pytest
from aiohttp import web
from openapi_spec_validator import OpenAPIV31SpecValidator

from tests.zoo.serve.client import BYTES, Client, form
from tests.zoo.serve.conftest import picture
from zoo.serve.app import make_app
from zoo.serve.limits import Limits
from zoo.serve.openapi import WHEN, description


@pytest.fixture(scope="module")
def described(server):
    return server.ask("/openapi.json").json


def test_the_description_is_valid(described):
    assert not [*OpenAPIV31SpecValidator(described).iter_errors()]
    assert not [*OpenAPIV31SpecValidator(description(Limits(rate=3), 8)).iter_errors()]


def test_every_route_is_described_and_the_other_way_round(described, model):
    async def routes():
        app, *_ = make_app(model, Limits())
        return {(route.resource.canonical, route.method) for route in app.router.routes()}

    import asyncio

    paths = {(path, method.upper()) for path, methods in described["paths"].items() for method in methods}
    assert paths == asyncio.run(routes())


def matches(described, path, method, answer):
    """The answer is one that is described."""
    response = described["paths"][path][method.lower()]["responses"][str(answer.status)]
    kind = re.split(r"[;\s]", answer.headers["Content-Type"])[0]
    schema = response["content"][kind]["schema"]
    if kind == "application/json":
        whole = {"$ref": schema.get("$ref"), "components": described["components"]} if "$ref" in schema else schema
        jsonschema.validate(answer.json, whole, jsonschema.Draft202012Validator)
    for name, header in response.get("headers", {}).items():
        value = answer.headers[name]
        jsonschema.validate(int(value) if header["schema"].get("type") == "integer" else value, header["schema"])
    return answer


def test_every_get_answers_as_described(described, server):
    for path, methods in described["paths"].items():
        if "get" in methods:
            assert matches(described, path, "GET", server.ask(path)).status == 200


def test_every_body_that_is_described_is_taken(described, server):
    """With every content type, for every form of the answer."""
    operation = described["paths"]["/v1/embed"]["post"]
    forms = {"image/jpeg": "JPEG", "image/png": "PNG", "image/webp": "WEBP"}
    bodies = {kind: (picture(1, form=name), kind) for kind, name in forms.items()}
    bodies["multipart/form-data"] = form(*[picture(1)] * operation_limit(operation), name="image")
    assert set(bodies) == set(operation["requestBody"]["content"])
    accepted = set(operation["responses"]["200"]["content"])
    assert accepted == {"application/json", BYTES}
    for body, kind in bodies.values():
        for accept in accepted:
            answer = server.ask("/v1/embed", "POST", body, Content_Type=kind, Accept=accept)
            assert matches(described, "/v1/embed", "POST", answer).status == 200
            assert answer.headers["Content-Type"].startswith(accept)


def operation_limit(operation):
    """Images of a request, as described."""
    schema = operation["requestBody"]["content"]["multipart/form-data"]["schema"]
    (image,) = schema["properties"].values()
    return image["maxItems"]


@pytest.mark.parametrize(
    ("status", "body", "headers"),
    [
        (400, b"x", {"Content_Type": "multipart/form-data; boundary=edge"}),
        (406, picture(1), {"Content_Type": "image/png", "Accept": "text/html"}),
        (413, bytes(17 * 2**20), {"Content_Type": "image/png"}),
        (415, b"x", {"Content_Type": "text/plain"}),
        (422, b"", {"Content_Type": "image/png"}),
    ],
)
def test_errors_are_as_described(described, server, status, body, headers):
    answer = server.ask("/v1/embed", "POST", body, **headers)
    assert matches(described, "/v1/embed", "POST", answer).status == status


def test_the_limit_of_the_rate_is_described_where_there_is_one(described, start):
    assert "429" not in json.dumps(described)
    client: Client = start(rate=1)
    limited = client.ask("/openapi.json").json
    client.ask("/v1/model")
    answer = matches(limited, "/v1/model", "GET", client.ask("/v1/model"))
    assert answer.status == 429
    assert answer.headers["Retry-After"] == "1"


def test_every_error_has_a_phrase():
    assert all(web.Response(status=status).reason for status in WHEN)
