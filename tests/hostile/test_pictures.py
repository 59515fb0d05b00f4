"""Broken and hostile picture files: each is completed rightly or named with its reason, and the others go on."""

import csv
import io
import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, PngImagePlugin


def png(*chunks):
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )


def header(width, height, bits=8, colour=0):
    return (b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0))


def saved(form="PNG", mode="L", size=(40, 30), **options):
    file = io.BytesIO()
    Image.effect_noise(size, 60).convert(mode).save(file, form, **options)
    return file.getvalue()


def rows(width=40, height=30):
    return zlib.compress((b"\0" + bytes(width)) * height)


BOMB = zlib.compress(bytes(100_000_000))
FRAMES = [Image.new("L", (40, 30), shade) for shade in (10, 200)]

BROKEN = {
    "empty.png": (b"", "file is empty"),
    "one-byte.png": (b"\x89", "no format that Pillow reads"),
    "text.png": (b"this is no picture\n" * 99, "no format that Pillow reads"),
    "html.jpg": (b"<!doctype html><script>alert(1)</script>", "no format that Pillow reads"),
    "zip.png": (b"PK\x03\x04" + bytes(99), "no format that Pillow reads"),
    "pickle.png": (b"\x80\x04\x8c\x05posix\x8c\x06system\x93", "no format that Pillow reads"),
    "svg.png": (b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>', "no format"),
    "postscript.png": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 40 30\n(/etc/passwd) (r) file\n", "no format"),
    "signature.png": (b"\x89PNG\r\n\x1a\n", "no format that Pillow reads, or cut short"),
    "half.png": (saved()[:-400], "truncated"),
    "half.jpg": (saved("JPEG")[:-400], "truncated"),
    "half.gif": (saved("GIF")[:200], ""),
    "half.bmp": (saved("BMP")[:-400], "truncated"),
    "half.webp": (saved("WEBP")[:-400], ""),
    "half.tif": (saved("TIFF")[:-400], ""),
    "no-pixels.png": (png(header(40, 30), (b"IEND", b"")), ""),
    "wrong-checksum.png": (saved()[:40] + b"\xff\xff" + saved()[42:], ""),
    "no-width.png": (png(header(0, 30), (b"IDAT", rows()), (b"IEND", b"")), ""),
    "huge.png": (png(header(60_000, 60_000), (b"IDAT", rows()), (b"IEND", b"")), "exceeds limit of 178956970 pixels"),
    "large.png": (
        png(header(13_000, 12_000), (b"IDAT", rows()), (b"IEND", b"")),
        "156.0 megapixels, more than max_pixels",
    ),
    "huge.bmp": (
        b"BM" + struct.pack("<IIIIIIHHIIIIII", 99, 0, 54, 40, 90_000, 90_000, 1, 24, 0, 0, 0, 0, 0, 0),
        "exceeds limit",
    ),
    "text-bomb.png": (
        png(header(40, 30), (b"zTXt", b"Comment\0\0" + BOMB), (b"IDAT", rows()), (b"IEND", b"")),
        "too large",
    ),
    "profile-bomb.png": (
        png(header(40, 30), (b"iCCP", b"icc\0\0" + BOMB), (b"IDAT", rows()), (b"IEND", b"")),
        "too large",
    ),
    "deep-colour.ppm": (b"P6\n40 30\n65535\n" + bytes(40 * 30 * 6), "16 bits a channel in colour"),
    "short.ppm": (b"P6\n40 30\n255\n" + bytes(9), "truncated after 0% of the pixel data"),
    "endless.pgm": (b"P5\n4000000000 4000000000\n255\n", "megapixels"),
    "deep-colour.png": (
        png(header(2, 1, 16, 2), (b"IDAT", zlib.compress(bytes(13))), (b"IEND", b"")),
        "16 bits a channel in colour or with alpha, of which Pillow keeps 8",
    ),
}
"""File: its content, and what is said of it."""


def animated(form):
    file = io.BytesIO()
    FRAMES[0].save(file, form, save_all=True, append_images=FRAMES[1:])
    return file.getvalue()


def with_metadata():
    texts = PngImagePlugin.PngInfo()
    texts.add_itxt("Title", "<script>alert(1)</script>")
    texts.add_text("../../etc/passwd", "no path")
    return saved(pnginfo=texts, icc_profile=b"no profile at all", exif=b"Exif\0\0damaged", dpi=(1e-9, 1e6))


ODD = {
    "wrong-suffix.png": saved("JPEG"),
    "wrong-suffix.jpg": saved("PNG"),
    "animated.gif": animated("GIF"),
    "animated.png": animated("PNG"),
    "trailing.jpg": saved("JPEG") + b"#!/bin/sh\necho hello\n" * 99,
    "metadata.png": with_metadata(),
    "one-pixel.png": saved(size=(1, 1)),
    "a-line.png": saved(size=(3000, 1)),
    "bilevel.png": saved(mode="1"),
    "palette.gif": saved("GIF", "P"),
    "print.jpg": saved("JPEG", "CMYK"),
    "deep.png": saved(mode="I;16"),
    "floats.tif": saved("TIFF", "F"),
    "colour.webp": saved("WEBP", "RGB"),
}
"""Files that are unusual and right."""


def test_broken_files_are_named_and_the_rest_goes_on(command, tmp_path, picture, written):
    for name, (content, _) in BROKEN.items():
        (tmp_path / "in" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "in" / name).write_bytes(content)
    os.mkfifo(tmp_path / "in" / "pipe.png")
    (tmp_path / "in" / "gone.png").symlink_to("nowhere.png")
    picture("in/good.png")

    code, out, err = command("input=in")

    assert (code, err) == (1, "")
    lines = {line.partition(": ")[0]: line for line in out.splitlines()}
    for name, (_, words) in BROKEN.items():
        assert words in lines[f"left out 'in/{name}'"], name
    assert "is a pipe" in lines["left out 'in/pipe.png'"]
    assert "link to a file that does not exist" in lines["left out 'in/gone.png'"]
    assert written() == ["good.png"]


@pytest.mark.parametrize("name", ["empty.png", "text.png", "half.png", "huge.png", "text-bomb.png"])
def test_a_broken_mask_is_one_line(command, tmp_path, picture, name):
    picture("a.png")
    (tmp_path / name).write_bytes(BROKEN[name][0])
    code, _, err = command("input=a.png", f"mask={name}")
    assert (code, err.count("\n")) == (2, 1)
    assert err.startswith(f"error: mask={name}: ")
    assert not (tmp_path / "completed").exists()


def test_odd_files_are_completed_and_keep_their_known_pixels(command, tmp_path, written):
    (tmp_path / "in").mkdir()
    for name, content in ODD.items():
        (tmp_path / "in" / name).write_bytes(content)
    code, out, err = command("input=in", "mask.box=[0,0,1,1]")
    assert (code, err) == (0, ""), out
    with (tmp_path / "completed" / "predictions.csv").open(newline="", encoding="utf-8") as file:
        results = {row["file"]: row["output"] for row in csv.DictReader(file)}
    assert sorted(results.values()) == written()
    assert results.keys() == ODD.keys()
    for name, result in results.items():
        with Image.open(tmp_path / "in" / name) as before, Image.open(tmp_path / "completed" / result) as after:
            assert (after.mode, after.size) == (before.mode, before.size)
            known = np.ones((before.height, before.width), bool)
            known[0, 0] = False
            assert np.array_equal(np.asarray(before)[known], np.asarray(after)[known]), name
    html = (tmp_path / "completed" / "index.html").read_text()
    assert "<script>alert" not in html


def test_the_limit_can_be_lowered_and_is_never_off(command, picture):
    picture("a.png")
    code, out, _ = command("input=a.png", "max_pixels=1000")
    assert code == 1
    assert "more than max_pixels=1000" in out
    code, _, err = command("input=a.png", "max_pixels=null")
    assert (code, err) == (2, "error: max_pixels=None is a NoneType; expected int\n")
    assert Image.MAX_IMAGE_PIXELS == 89_478_485
