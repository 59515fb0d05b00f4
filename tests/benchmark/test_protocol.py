"""The pictures that all entrants are given."""

import pytest
from PIL import Image

from imcomp.benchmark.protocol import DRAWN, FOUND, gtsrb_folder, lay_out_pictures
from imcomp.errors import InputError


def test_the_hole_is_in_the_middle(protocol):
    assert protocol.rows == slice(12, 20)


def test_signs_are_drawn_where_there_is_no_gtsrb(tmp_path):
    assert lay_out_pictures(tmp_path / "a", 3, tmp_path / "nowhere") == DRAWN
    assert lay_out_pictures(tmp_path / "b", 3, tmp_path / "nowhere") == DRAWN
    names = [path.name for path in sorted((tmp_path / "a").iterdir())]
    assert names == ["000000.png", "000001.png", "000002.png"]
    assert all((tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes() for name in names)


def test_gtsrb_is_taken_and_comes_again_where_it_is_short(tmp_path):
    folder = gtsrb_folder(tmp_path) / "00000"
    folder.mkdir(parents=True)
    for index in range(2):
        Image.new("RGB", (4, 4), (index, 0, 0)).save(folder / f"{index}.ppm")
    assert lay_out_pictures(tmp_path / "pictures", 3, tmp_path) == FOUND
    reds = [Image.open(path).getpixel((0, 0))[0] for path in sorted((tmp_path / "pictures").iterdir())]
    assert set(reds) == {0, 1}
    assert reds[2] == reds[0]


def test_an_empty_gtsrb_is_refused(tmp_path):
    gtsrb_folder(tmp_path).mkdir(parents=True)
    with pytest.raises(InputError, match=r"no pictures in .*; give data_root=PATH"):
        lay_out_pictures(tmp_path / "pictures", 3, tmp_path)
