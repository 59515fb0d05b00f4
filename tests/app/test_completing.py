"""The app's work without a page: files in, a PNG file out."""

import numpy as np
import pytest
from PIL import Image

from imcomp.app.completing import Desk
from imcomp.app.networks import Networks
from imcomp.app.settings import Settings
from imcomp.errors import InputError


@pytest.fixture
def desk(checkpoint, tmp_path):
    folder = tmp_path / "results"
    folder.mkdir()
    settings = Settings((str(checkpoint),), max_mb=1, max_megapixels=0.1)
    return Desk(Networks(settings.ckpts, "cpu"), settings, folder)


def test_the_hole_is_filled_and_no_other_pixel_changed(desk, files, picture, mask):
    path, before, after = desk.complete(*files)
    assert path.name == "sign-completed.png"
    with Image.open(path) as completed:
        assert (completed.format, completed.mode, completed.size) == ("PNG", "RGB", picture.size)
        pixels, hole = np.asarray(completed), np.asarray(mask) > 0
    assert np.array_equal(pixels[~hole], np.asarray(picture)[~hole])
    assert (pixels[hole] != np.asarray(picture)[hole]).any()
    assert before.size == after.size == (640, 427)


def test_what_is_painted_is_filled(desk, files, picture):
    drawing = Image.new("L", (120, 80))
    drawing.paste(255, (40, 24, 60, 40))
    by_brush, _, _ = desk.complete(files[0], None, painted=drawing)
    by_mask, _, _ = desk.complete(*files)
    assert by_brush != by_mask
    assert by_brush.read_bytes() == by_mask.read_bytes()


def test_a_result_is_completed_again_under_the_same_name(desk, files):
    first, _, _ = desk.complete(*files)
    second, _, _ = desk.complete(first, files[1])
    assert first != second
    assert second.name == "sign-completed.png"


@pytest.mark.parametrize(
    ("name", "plain"),
    [("a b\n.png", "a_b-completed.png"), ("...png", "picture-completed.png"), ("ä.png", "ä-completed.png")],
)
def test_names_are_plain(desk, files, tmp_path, name, plain):
    (tmp_path / name).write_bytes(files[0].read_bytes())
    assert desk.complete(tmp_path / name, files[1])[0].name == plain


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((None, None), "there is no picture; upload one"),
        (("sign.png", None), "nothing is marked"),
        (("sign.png", "sign.jpg"), "not there any more"),
        (("sign.png", "small.png"), "the mask is 9x9, the picture 60x40"),
        (("sign.png", "mask.png", "other"), "there is no network 'other' here"),
        (("large.png", "mask.png"), r"the picture is 400x400; at most 0\.1 million pixels"),
    ],
)
def test_mistakes_are_told_and_nothing_is_written(desk, files, tmp_path, arguments, words):
    Image.new("L", (9, 9), 255).save(tmp_path / "small.png")
    Image.new("L", (400, 400)).save(tmp_path / "large.png")
    picture, mask, *network = arguments
    with pytest.raises(InputError, match=words):
        desk.complete(picture and tmp_path / picture, mask and tmp_path / mask, *network)
    assert not [*desk.folder.iterdir()]
