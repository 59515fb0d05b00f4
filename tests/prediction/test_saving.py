"""Formats, and what a file says besides its pixels."""

import os
import struct

import numpy as np
import pytest
from PIL import Image, ImageCms, PngImagePlugin

from imcomp.data.stored import read_stored
from imcomp.errors import InputError
from imcomp.prediction.saving import check_format, choose_format, save

PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
MODES = ["1", "L", "LA", "P", "RGB", "RGBA", "I;16", "I", "F", "CMYK"]


def picture(mode="RGB", size=(20, 10)):
    rng = np.random.default_rng(0)
    if mode in {"I", "F", "I;16"}:
        dtype = {"I": np.int32, "F": np.float32, "I;16": np.uint16}[mode]
        return Image.fromarray(rng.integers(0, 65536, size[::-1]).astype(dtype))
    bands = len(Image.new(mode, (1, 1)).getbands())
    image = Image.fromarray(rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)).convert("RGB")
    return image.convert("RGBA").convert(mode) if bands in (2, 4) and mode != "CMYK" else image.convert(mode)


def through(tmp_path, image, name, wanted, **options):
    """Write a picture as a user's file, read it and write it as a result."""
    file = tmp_path / name
    image.save(file, **options)
    read = read_stored(file)
    form = choose_format(wanted, read, file)
    place = tmp_path / f"out{form.suffix}"
    assert save(read.copy(), place, form, read)
    return read, read_stored(place), form


@pytest.mark.parametrize("mode", MODES)
def test_without_loss_in_every_mode(tmp_path, mode):
    before, after, form = through(tmp_path, picture(mode), "a.tif", "lossless")
    assert (after.mode, after.size) == (before.mode, before.size)
    assert np.array_equal(np.asarray(before), np.asarray(after))
    assert form.name == ("PNG" if mode in {"1", "L", "LA", "P", "RGB", "RGBA", "I;16"} else "TIFF")


@pytest.mark.parametrize(
    ("name", "wanted", "suffix"),
    [
        ("a.jpg", "lossless", ".png"),
        ("a.jpg", "keep", ".jpg"),
        ("a.jpeg", "keep", ".jpeg"),
        ("a.JPG", "keep", ".JPG"),
        ("a.png", "keep", ".png"),
        ("a.tiff", "keep", ".tiff"),
        ("a.webp", "keep", ".webp"),
        ("a.bmp", "keep", ".bmp"),
        ("a.pcx", "keep", ".png"),
        ("a.png", "jpeg", ".jpg"),
        ("a.png", "webp", ".webp"),
        ("a.png", "tiff", ".tif"),
        ("a.png", "bmp", ".bmp"),
    ],
)
def test_formats(tmp_path, name, wanted, suffix):
    before, after, form = through(tmp_path, picture(), name, wanted)
    assert form.suffix == suffix
    assert np.array_equal(np.asarray(before), np.asarray(after)) is not form.lossy


def test_a_jpeg_that_is_kept_changes_little(tmp_path):
    ramp = Image.merge("RGB", [Image.linear_gradient("L")] * 3)
    before, after, _ = through(tmp_path, ramp, "a.jpg", "keep", quality=60)
    assert np.abs(np.asarray(before, int) - np.asarray(after, int)).max() <= 2


@pytest.mark.parametrize("wanted", ["lossless", "keep", "tiff"])
@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tif", "a.webp"])
def test_profile_exif_and_resolution_come_along(tmp_path, name, wanted):
    exif = Image.Exif()
    exif[0x010E], exif[0x8298] = "a sign", "somebody"
    exif.get_ifd(0x8769)[0x9003] = "2026:01:02 03:04:05"
    _, after, _ = through(tmp_path, picture(), name, wanted, icc_profile=PROFILE, exif=exif.tobytes(), dpi=(300, 300))
    assert after.info["icc_profile"] == PROFILE
    found = after.getexif()
    assert (found[0x010E], found[0x8298]) == ("a sign", "somebody")
    assert found.get_ifd(0x8769)[0x9003] == "2026:01:02 03:04:05"
    if name != "a.webp":  # which knows no resolution
        assert after.info["dpi"] == pytest.approx((300, 300), abs=0.1)


def test_texts_come_along(tmp_path):
    texts = PngImagePlugin.PngInfo()
    texts.add_text("Title", "a sign")
    texts.add_itxt("Author", "Zoë")
    texts.add_itxt("XML:com.adobe.xmp", "<x:xmpmeta/>")
    _, after, _ = through(tmp_path, picture(), "a.png", "lossless", pnginfo=texts)
    assert {key: str(value) for key, value in after.text.items()} == {
        "Title": "a sign", "Author": "Zoë", "XML:com.adobe.xmp": "<x:xmpmeta/>",
    }  # fmt: skip


@pytest.mark.parametrize("key", [(0, 128, 255), 77])
def test_a_transparent_colour_comes_along(tmp_path, key):
    image = picture("RGB" if isinstance(key, tuple) else "L")
    _, after, _ = through(tmp_path, image, "a.png", "lossless", transparency=key)
    assert after.info["transparency"] == key


@pytest.mark.parametrize("orientation", range(2, 9))
def test_a_turned_picture_is_written_upright(tmp_path, orientation):
    from PIL import ImageOps

    exif = Image.Exif()
    exif[274], exif[0x010E] = orientation, "a sign"
    image = picture()
    _, after, _ = through(tmp_path, image, "a.png", "lossless", exif=exif)
    image.info["exif"] = exif.tobytes()
    assert np.array_equal(np.asarray(after), np.asarray(ImageOps.exif_transpose(image)))
    assert after.getexif().get(274, 1) == 1
    assert after.getexif()[0x010E] == "a sign"


def test_an_orientation_in_a_text_is_gone_too(tmp_path):
    exif, texts = Image.Exif(), PngImagePlugin.PngInfo()
    exif[274], exif[0x010E] = 6, "a sign"
    data = exif.tobytes()
    for kind in ("exif", "APP1"):
        texts.add_text(f"Raw profile type {kind}", f"\n{kind}\n{len(data):8d}\n{data.hex()}\n")
    before, after, _ = through(tmp_path, picture(), "a.png", "lossless", pnginfo=texts)
    assert before.size == after.size == (10, 20)
    assert after.text == {}
    assert dict(after.getexif()) == {0x010E: "a sign"}


def test_damaged_metadata_are_left_out_and_told(tmp_path):
    image, source = picture(), picture()
    source.info = {"dpi": (300, 300), "exif": object(), "icc_profile": PROFILE}
    assert not save(image, tmp_path / "a.png", choose_format("png", image, tmp_path / "a.png"), source)
    assert np.array_equal(np.asarray(read_stored(tmp_path / "a.png")), np.asarray(image))


@pytest.mark.parametrize(
    ("mode", "wanted"), [("CMYK", "png"), ("F", "png"), ("L", "webp"), ("I;16", "jpeg"), ("LA", "bmp"), ("RGBA", "bmp")]
)
def test_a_format_that_cannot_hold_the_picture_is_told(tmp_path, mode, wanted):
    with pytest.raises(
        InputError, match=f"{wanted.upper()} cannot hold a picture of mode {mode}; give format=lossless"
    ):
        choose_format(wanted, picture(mode), tmp_path / "a.tif")


@pytest.mark.parametrize("wanted", ["tiff", "webp", "jpeg", "bmp"])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_a_format_that_would_show_a_transparent_colour_is_told(tmp_path, mode, wanted):
    image, file = picture(mode), tmp_path / "a.png"
    image.save(file, transparency=image.getpixel((0, 0)))
    words = (
        "cannot hold" if (mode, wanted) == ("L", "webp") else "cannot hold that a colour is transparent; give format="
    )
    with pytest.raises(InputError, match=words):
        choose_format(wanted, read_stored(file), file)


def test_a_transparent_colour_that_no_pixel_has_is_no_hindrance(tmp_path):
    Image.new("L", (20, 10), 9).save(tmp_path / "a.png", transparency=8)
    assert choose_format("bmp", read_stored(tmp_path / "a.png"), tmp_path / "a.png").name == "BMP"


@pytest.mark.parametrize(("wanted", "most"), [("webp", 16383), ("jpeg", 65500)])
def test_a_picture_that_is_too_large_for_a_format_is_told(tmp_path, wanted, most):
    assert choose_format(wanted, Image.new("RGB", (1, most)), tmp_path / "a.png").name == wanted.upper()
    words = f"{wanted.upper()} cannot hold {most + 1} x 1 pixels, but {most} a side; give format=lossless"
    with pytest.raises(InputError, match=words):
        choose_format(wanted, Image.new("RGB", (most + 1, 1)), tmp_path / "a.png")


def tiff(path, bits, photometric, pixels):
    """Write a TIFF of four pixels in a row, which Pillow would write of no such kind."""
    short, long = 3, 4
    tags = [(256, short, 4), (257, short, 1), (258, short, bits), (259, short, 1), (262, short, photometric)]
    tags += [(273, long, 8), (277, short, 1), (278, short, 1), (279, long, len(pixels))]
    stored = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
    start = struct.pack("<2sHI", b"II", 42, 8 + len(pixels))
    path.write_bytes(start + pixels + struct.pack("<H", len(tags)) + stored + bytes(4))
    return read_stored(path)


@pytest.mark.parametrize("wanted", ["lossless", "keep", "tiff"])
def test_grey_that_would_come_out_as_another_is_told(tmp_path, wanted):
    file = tmp_path / "a.tif"
    assert choose_format(wanted, tiff(file, 16, 1, b"\xff\xef" * 4), file)
    with pytest.raises(InputError, match="0 for white, which would become a negative; save it with 0 for black"):
        choose_format(wanted, tiff(file, 16, 0, b"\xff\xef" * 4), file)
    with pytest.raises(InputError, match="12 bits a pixel, which would become 16 and nearly black; save it with 8"):
        choose_format(wanted, tiff(file, 12, 1, b"\xff\xff\xff" * 2), file)


@pytest.mark.skipif(os.name != "posix", reason="names are text elsewhere")
def test_a_name_that_a_format_cannot_write_is_told(tmp_path):
    image, place = picture(), tmp_path / os.fsdecode(b"\xff.tif")
    with pytest.raises(InputError, match=r"cannot be written as TIFF \(.*; give another format, or rename it"):
        save(image, place, choose_format("tiff", image, place), image)
    assert [*tmp_path.iterdir()] == []


def test_an_unknown_format_is_told():
    with pytest.raises(InputError, match="format=jpg is unknown; did you mean jpeg"):
        check_format("jpg")
