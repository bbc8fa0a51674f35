"""Lists of images, as people and programs write them."""

import pytest
from pydantic import ValidationError

from pipeline.data.account import account_lines
from pipeline.data.splits import Split
from pipeline.errors import DataError
from tests.helpers import draw_vehicles
from tests.pipeline.test_accounts import find, not_used

BOM = "\ufeff"


@pytest.fixture
def veri(tmp_path):
    return draw_vehicles(tmp_path / "veri")


@pytest.fixture
def names(veri):
    return sorted(path.name for path in (veri / "image_train").iterdir())[:8]


def found(veri, tmp_path, content, **split):
    """Names of the training images in a list."""
    (veri / "mine.txt").write_bytes(content if isinstance(content, bytes) else content.encode())
    index = find(tmp_path, train={"folder": "image_train", "names": "mine.txt", **split})
    return [path.rpartition("/")[2] for path in index.train.paths]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", ["", BOM])
@pytest.mark.parametrize("quote", ["", '"'])
def test_one_path_a_line(veri, tmp_path, names, end, mark, quote):
    content = mark + "".join(f"{quote}{name}{quote}{end}" for name in names) + end
    assert found(veri, tmp_path, content) == names


def test_a_list_of_windows_powershell(veri, tmp_path, names):
    assert found(veri, tmp_path, (BOM + "\r\n".join(names)).encode("utf-16-le")) == names
    with pytest.raises(DataError, match=r"the list mine.txt is not UTF-8. Save it as UTF-8"):
        found(veri, tmp_path, "\u00e9.jpg".encode("latin-1"))


@pytest.mark.parametrize("quote", ["", '"'])
def test_a_line_with_quoted_parts(veri, tmp_path, names, quote):
    rows = [f"{quote}{name}{quote},{quote}v {n // 2}{quote},{quote}{n % 2}{quote}" for n, name in enumerate(names)]
    line = "(?P<path>[^,]+),(?P<identity>[^,]+),(?P<camera>[^,]+)$"
    assert found(veri, tmp_path, BOM + "\r\n".join(rows), line=line) == names


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_columns_of_a_table(veri, tmp_path, names, delimiter):
    """With a comma and a quote inside a field, unused columns, and Windows line ends."""
    (veri / "image_train" / 'a, "b".jpg').write_bytes((veri / "image_train" / names[0]).read_bytes() + b"\0")
    rows = [["cam", "note", "file", "who"], ["1", "x", '"a, ""b"".jpg"', "0"]]
    rows += [["1", '"x, ;\ty"', f'"{name}"', str(n // 2)] for n, name in enumerate(names)]
    content = BOM + "\r\n".join(delimiter.join(row) for row in rows) + "\r\n"
    columns = {"path": "file", "identity": "who", "camera": "cam"}
    assert found(veri, tmp_path, content, columns=columns) == ['a, "b".jpg', *names]


def test_columns_that_are_not_there(veri, tmp_path, names):
    content = "file,who\n" + "\n".join(f"{name},1" for name in names)
    with pytest.raises(DataError, match=r"mine.txt has no column 'path'. It has: file, who"):
        found(veri, tmp_path, content, columns={"path": "path"})
    with pytest.raises(DataError, match=r"line 2 of the list mine.txt has no 'file'"):
        found(veri, tmp_path, "file,who\n,1\n", columns={"path": "file"})
    with pytest.raises(ValidationError, match="columns needs path"):
        Split(names="mine.txt", columns={"identity": "who"})
    with pytest.raises(ValidationError, match="need a list file"):
        Split(columns={"path": "file"})
    with pytest.raises(ValidationError, match="exclude each other"):
        Split(names="mine.txt", columns={"path": "file"}, line="(?P<path>x)")


def test_skipped_lines_are_reported(veri, tmp_path, names):
    (veri / "mine.txt").write_text("\n".join(["8", "name split", *(f"{name} train" for name in names), ""]))
    line = r"(?P<path>\S+) train$"
    index = find(tmp_path, train={"folder": "image_train", "names": "mine.txt", "line": line})
    assert not_used(index) == {"line": (2, "8")}
    assert "not used: 2 lines of the list do not match `line` (8)" in account_lines(index.accounts)[0]


def test_names_in_another_unicode_form_are_found(veri, tmp_path, names):
    """A list from Linux (NFC) of files from macOS (NFD), and the other way round."""
    composed, apart = "\u00e9", "e\u0301"
    for there, listed in ((apart, composed), (composed, apart)):
        folder = veri / "image_train" / there
        folder.mkdir()
        for name in names:
            (veri / "image_train" / name).rename(folder / f"{name[:-4]}{there}.jpg")
        content = "\n".join(f"{listed}/{name[:-4]}{listed}.jpg" for name in names)
        (veri / "mine.txt").write_text(content)
        pattern = r"(?P<identity>\d+)_c(?P<camera>\d+)_"
        index = find(tmp_path, train={"folder": "image_train", "names": "mine.txt"}, pattern=pattern)
        assert len(index.train) == 8
        assert all((veri / path).exists() for path in index.train.paths)
        for name in names:
            (folder / f"{name[:-4]}{there}.jpg").rename(veri / "image_train" / name)


def test_the_same_image_twice_is_an_error(veri, tmp_path, names):
    with pytest.raises(DataError, match=rf"mine.txt lists image_train/{names[1]} twice \(2 such lines\)"):
        found(veri, tmp_path, "\n".join([*names, names[1], f"./{names[1]}"]))


def test_missing_images_and_lists_are_told_with_the_remedy(veri, tmp_path, names):
    with pytest.raises(
        DataError, match=r"lists image_train/none.jpg, which is not in .*veri \(1 of 9 such\). Add them"
    ):
        found(veri, tmp_path, "\n".join([*names, "none.jpg"]))
    with pytest.raises(DataError, match=r"\(8 of 8 such\). There is image_train/\S+\.jpg: set `suffix: \.jpg`"):
        found(veri, tmp_path, "\n".join(name[:-4] for name in names))
    with pytest.raises(DataError, match=r"There is image_train/\S+: paths in a list are relative to the split's"):
        found(veri, tmp_path, "\n".join(f"image_train/{name}" for name in names))
    with pytest.raises(DataError, match=r"can't read the list none.txt: No such file or directory. `names` is a file"):
        find(tmp_path, train={"folder": "image_train", "names": "none.txt"})


def test_an_empty_list_is_an_error(veri, tmp_path):
    with pytest.raises(DataError, match=r"no line of mine.txt"):
        found(veri, tmp_path, BOM + "\r\n\r\n")


def test_a_listed_name_that_does_not_fit_is_explained(veri, tmp_path, names):
    (veri / "image_train" / "0000_cA_1_0.jpg").write_bytes(b"x")
    with pytest.raises(DataError, match=r"does not match: camera would be 'A' there"):
        found(veri, tmp_path, "0000_cA_1_0.jpg\n")
