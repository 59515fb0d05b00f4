"""Pictures from anywhere: read whole, or refused in a line."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from imcomp.app.pictures import join_holes, open_picture, to_canvas
from imcomp.errors import InputError


def opened(path):
    return open_picture(path, max_bytes=100_000, max_pixels=10_000)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_what_png_holds_stays_as_it_is(tmp_path, picture, mode):
    image = picture.convert("L").convert("I;16") if mode == "I;16" else picture.convert(mode)
    image.save(tmp_path / "a.png")
    found = opened(tmp_path / "a.png")
    assert (found.mode, found.size) == (mode, image.size)
    assert np.array_equal(np.asarray(found), np.asarray(image))


@pytest.mark.parametrize(("mode", "name"), [("CMYK", "a.jpg"), ("CMYK", "a.tif"), ("LAB", "a.tif")])
def test_what_it_cannot_hold_becomes_colour(tmp_path, picture, mode, name):
    image = Image.new("LAB", picture.size) if mode == "LAB" else picture.convert(mode)
    image.save(tmp_path / name, icc_profile=b"of that colour space")
    found = opened(tmp_path / name)
    assert (found.mode, found.size) == ("RGB", picture.size)
    assert "icc_profile" not in found.info


@pytest.mark.parametrize("orientation", range(1, 9))
def test_it_is_turned_as_it_says(tmp_path, orientation):
    image = Image.new("RGB", (4, 2))
    image.putpixel((0, 0), (255, 255, 255))
    exif = Image.Exif()
    exif[274] = orientation
    image.save(tmp_path / "a.png", exif=exif)
    found = opened(tmp_path / "a.png")
    corner = {1: (0, 0), 2: (3, 0), 3: (3, 1), 4: (0, 1), 5: (0, 0), 6: (1, 0), 7: (1, 3), 8: (0, 3)}[orientation]
    assert found.getpixel(corner) == (255, 255, 255)
    assert found.getexif().get(274, 1) == 1


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def bomb(side):
    """A few bytes that say they are a picture of so many pixels a side."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")


def half():
    content = io.BytesIO()
    Image.effect_noise((60, 40), 50).save(content, "PNG")
    return content.getvalue()[:500]


HOSTILE = [
    (b"", "the file is empty"),
    (b"I am a picture, honestly", "the file is damaged or not a picture; give a PNG"),
    (bytes(100_001), r"the file has 0\.1 MB; at most 0\.1 MB are taken"),
    (bomb(101), r"the picture is 101x101; at most 0\.01 million pixels are taken"),
    (bomb(30_000), "too many pixels|is 30000x30000"),
    (half(), "the file is damaged or not a picture"),
    (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "the file is damaged or not a picture"),
    (b"<svg xmlns='http://www.w3.org/2000/svg'><script/></svg>", "the file is damaged or not a picture"),
]


@pytest.mark.parametrize(("content", "words"), HOSTILE, ids=range(len(HOSTILE)))
def test_what_is_no_picture_is_told(tmp_path, content, words):
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(InputError, match=words) as told:
        opened(tmp_path / "a.png")
    assert "\n" not in str(told.value)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_the_limit_may_be_above_what_pillow_warns_of(tmp_path):
    Image.new("1", (10_000, 9_000)).save(tmp_path / "a.png")  # 90 megapixels; it warns from 89.5
    found = open_picture(tmp_path / "a.png", max_bytes=100_000, max_pixels=100_000_000)
    assert found.size == (10_000, 9_000)
    with pytest.raises(InputError, match=r"is 10000x9000; at most 89\.9 million pixels are taken"):
        open_picture(tmp_path / "a.png", max_bytes=100_000, max_pixels=89_900_000)
    (tmp_path / "b.png").write_bytes(bomb(14_000))
    with pytest.raises(InputError, match=r"too many pixels; at most 178\.957 million pixels are taken"):
        open_picture(tmp_path / "b.png", max_bytes=100_000, max_pixels=500_000_000)


@pytest.mark.parametrize("mode", ["F", "I"])
def test_numbers_without_a_white_are_told(tmp_path, mode):
    Image.new(mode, (4, 4)).save(tmp_path / "a.tif")
    with pytest.raises(InputError, match=f"of mode {mode}, where no number means white; give 8 or 16 bits"):
        opened(tmp_path / "a.tif")


def test_a_file_that_is_gone_is_told(tmp_path):
    with pytest.raises(InputError, match="not there any more; upload it again"):
        opened(tmp_path / "a.png")


@pytest.mark.parametrize(
    ("size", "shown"),
    [((64, 32), (640, 320)), ((800, 700), (800, 700)), ((4096, 2048), (1024, 512)), ((1, 9), (71, 640))],
)
def test_the_canvas_is_good_to_paint_on(size, shown):
    canvas = to_canvas(Image.new("RGB", size))
    assert (canvas.mode, canvas.size) == ("RGB", shown)


def test_the_canvas_shows_the_higher_bits_and_transparency():
    assert to_canvas(Image.new("I;16", (640, 640), 0x80FF)).getpixel((0, 0)) == (128,) * 3
    assert to_canvas(Image.new("LA", (640, 640), (0, 9))).mode == "RGBA"


def painted(size, box, level=255):
    drawing = Image.new("L", size)
    drawing.paste(level, box)
    return drawing


def test_a_drawing_grows_to_the_picture():
    hole = join_holes((40, 20), painted((20, 10), (5, 5, 6, 6)), None)
    assert (hole.mode, hole.size, hole.getbbox()) == ("L", (40, 20), (10, 10, 12, 12))
    assert set(np.asarray(hole).flat) == {0, 255}


@pytest.mark.parametrize("level", [1, 255])
def test_every_pixel_that_the_brush_touched_counts(level):
    hole = join_holes((20, 10), painted((200, 100), (95, 55, 96, 56), level), None)
    assert hole.getbbox() == (9, 5, 10, 6)


def test_drawing_and_mask_are_joined():
    hole = join_holes((20, 10), painted((20, 10), (0, 0, 2, 2)), painted((20, 10), (8, 8, 10, 10)))
    assert np.count_nonzero(np.asarray(hole)) == 8


@pytest.mark.parametrize(
    ("drawing", "mask", "words"),
    [
        (None, None, "nothing is marked; paint over"),
        (Image.new("L", (20, 10)), Image.new("L", (20, 10)), "nothing is marked; paint over"),
        (None, Image.new("L", (21, 10), 255), "the mask is 21x10, the picture 20x10; give a mask of its size"),
    ],
)
def test_no_hole_is_told(drawing, mask, words):
    with pytest.raises(InputError, match=words):
        join_holes((20, 10), drawing, mask)
