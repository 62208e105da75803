"""Pictures that the user names: formats that are opened, and files that a table may not reach."""

import pytest
from PIL import Image

from umbel.data import from_table, new_rows
from umbel.data.picture_files import PICTURE_FORMATS, check_picture_paths, opened_picture
from umbel.errors import UmbelError

POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 4 4\n%%EndComments\nshowpage\n"


@pytest.mark.parametrize("kind", PICTURE_FORMATS)
def test_every_listed_format_opens(tmp_path, kind):
    path = tmp_path / "picture"
    Image.new("RGB", (4, 3), (9, 9, 9)).save(path, kind)
    with opened_picture(path) as opened:
        assert (opened.format, opened.size) == (kind, (4, 3))


def test_postscript_is_not_opened_whatever_it_is_called(tmp_path):
    """Pillow would hand it to Ghostscript."""
    path = tmp_path / "picture.png"
    path.write_bytes(POSTSCRIPT)
    with Image.open(path) as opened:
        assert opened.format == "EPS"
    with pytest.raises(UmbelError, match=r"picture\.png: cannot be read as a picture; save it as one of PNG"):
        opened_picture(path)


def table(folder, first):
    """A table of 24 pictures; the first is the given one, the others lie beside the table."""
    for i in range(24):
        Image.new("RGB", (4, 4), (i, 0, 0)).save(folder / f"{i}.png")
    names = [str(first), *(f"{i}.png" for i in range(1, 24))]
    path = folder / "pictures.csv"
    path.write_text("file,age\n" + "".join(f"{name},{i}.5\n" for i, name in enumerate(names)))
    return path


def ways_out(tmp_path, inside):
    """One picture outside the table's folder, named in three ways."""
    outside = tmp_path / "secret.png"
    Image.new("RGB", (4, 4)).save(outside)
    (inside / "link.png").symlink_to(outside)
    (inside / "folder").symlink_to(tmp_path)
    return [outside, "../secret.png", "link.png", "folder/secret.png"]


def test_a_table_reaches_no_picture_outside_its_folder(tmp_path):
    inside = tmp_path / "table"
    inside.mkdir()
    for first in ways_out(tmp_path, inside):
        path = table(inside, first)
        with pytest.raises(UmbelError, match=r"outside the table's folder; .*--pictures-anywhere"):
            from_table(path, ["age"], image_column="file")
        data = from_table(path, ["age"], image_column="file", pictures_anywhere=True)
        description = data.reading
        assert data.input_shape == (3, 4, 4)
        with pytest.raises(UmbelError, match="outside the table's folder"):
            new_rows(path, description)
        with pytest.raises(UmbelError, match="outside the table's folder"):
            from_table(path, description=description)
        assert len(new_rows(path, description, pictures_anywhere=True).inputs) == 24


def test_paths_inside_the_folder_are_taken_however_they_are_written(tmp_path):
    path = table(tmp_path, tmp_path / "0.png")
    check_picture_paths(path, [str(tmp_path / "0.png"), "./1.png", f"../{tmp_path.name}/2.png", None], anywhere=False)


@pytest.mark.parametrize("name", ["a" * 5000 + ".png", "nothing.png", "a\0b.png", ".", "/dev/zero", "/dev/null"])
def test_what_is_no_file_is_one_line(tmp_path, name):
    for anywhere in (False, True):
        with pytest.raises(UmbelError, match=r"no such picture|cannot be looked for|outside"):
            check_picture_paths(tmp_path / "table.csv", [name], anywhere)
