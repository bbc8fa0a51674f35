"""The contact sheet: everything is on it, uncropped."""

import numpy as np
import pytest
from PIL import Image

from zoo.errors import OutputError, SheetError
from zoo.sanitize import one_line
from zoo.use.sheet import EDGE, HEAD, MOST, TILE, Neighbour, check_sheet, draw_sheet, write_sheet


@pytest.fixture
def files(tmp_path):
    """A red, a wide green and a tall blue image."""
    made = []
    for name, size, colour in (
        ("red", (40, 40), "#ff0000"),
        ("green", (400, 40), "#00ff00"),
        ("blue", (9, 90), "#0000ff"),
    ):
        Image.new("RGB", size, colour).save(tmp_path / f"{name}.png")
        made.append(tmp_path / f"{name}.png")
    return made


def extent(sheet, colour):
    """Width and height of an area of one colour, and its left edge."""
    rows, columns = np.nonzero((np.asarray(sheet) == colour).all(2))
    return np.ptp(columns) + 1, np.ptp(rows) + 1, columns.min()


def test_query_is_left_and_shapes_are_kept(files):
    red, green, blue = files
    sheet = draw_sheet(red, [Neighbour(green, "green.png", 0.5), Neighbour(blue, "blue.png", -0.5)], "2 nearest")
    width, height, red_left = extent(sheet, (255, 0, 0))
    assert width == height > TILE - 40
    width, height, green_left = extent(sheet, (0, 255, 0))
    assert (width, height) == (TILE - 20, 28)
    width, height, blue_left = extent(sheet, (0, 0, 255))
    assert (width, height) == (28, TILE - 20)
    assert red_left < green_left < blue_left


@pytest.mark.parametrize("count", [1, 3, 5, 6, 10, 15, 16, 60, 75])
def test_any_number_of_images_stays_on_the_sheet(files, count):
    sheet = draw_sheet(files[1], [Neighbour(files[0], "red.png", 1 - place / 80) for place in range(count)], "x" * 500)
    pixels = np.asarray(sheet)
    paper = pixels[0, 0]
    for strip in (pixels[: EDGE // 2], pixels[-EDGE // 2 :], pixels[:, : EDGE // 2], pixels[:, -EDGE // 2 :]):
        assert (strip == paper).all()
    drawn = (pixels == (255, 0, 0)).all(2).sum() / (TILE - 20) ** 2
    assert drawn == pytest.approx(min(count, MOST), rel=0.01)


def test_extreme_shapes_and_unreadable_files_and_strange_names_are_drawn(files, tmp_path):
    Image.new("RGB", (2000, 1), "#ff00ff").save(tmp_path / "line.png")
    strange = [
        Neighbour(tmp_path / "line.png", "a/line.png", 1.0),
        Neighbour(tmp_path / "none.png", "車\n\udcff" * 40, -1.0),
    ]
    sheet = draw_sheet(files[0], strange, "title")
    assert extent(sheet, (255, 0, 255))[:2] == (TILE - 20, 1)
    assert sheet.height > EDGE + HEAD + TILE


def test_characters_that_can_not_be_drawn_are_marked():
    assert one_line("a\n\x1b[31mb\udcffü") == "a ?[31mb?ü"


@pytest.mark.parametrize(("name", "kind"), [("s.png", "PNG"), ("s.jpg", "JPEG"), ("S.JPEG", "JPEG")])
def test_the_suffix_determines_the_format(files, tmp_path, name, kind):
    drawn = draw_sheet(files[0], [Neighbour(files[1], "green.png", 0.1)], "title")
    write_sheet(tmp_path / name, drawn)
    with Image.open(tmp_path / name) as image:
        assert (image.format, image.size) == (kind, drawn.size)


def test_other_formats_and_names_of_inputs_are_refused(files, tmp_path):
    with pytest.raises(SheetError, match=r"a sheet ends in .png, .jpg, .jpeg, not 'a.gif'. Name it a.png"):
        check_sheet(tmp_path / "a.gif", files)
    with pytest.raises(SheetError, match="would replace one of its inputs"):
        check_sheet(files[0], files)
    with pytest.raises(OutputError, match="does not exist"):
        check_sheet(tmp_path / "no" / "a.png", files)
    check_sheet(tmp_path / "a.png", files)
