"""Picture files as they are: the samples that they hold, of any mode, and their metadata."""

import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from PIL import Image, ImageOps

from imcomp.data.pictures import DEFAULT_MAX_PIXELS, UnreadablePicture, open_header, orientation_of, read_by

_DESCRIPTIVE = (270, 271, 272, 305, 306, 315, 33432)  # description, make, model, software, date, artist, copyright
_FOLDERS = (0x8769, 0x8825)  # EXIF's own, GPS


def read_stored(path: Path, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> Image.Image:
    """The first frame of a picture file, of the file's own mode and with its metadata.

    It is upright, and the orientation is gone from its EXIF data. All else is as with ``read_picture``.

    Raises:
        UnreadablePicture: for every file that cannot be read; for colour of 16 bits, of which Pillow keeps 8.
    """
    return read_by(path, max_pixels, _keep)


def read_size(path: Path) -> tuple[int, int]:
    """Width and height as stored, from the header alone.

    Raises:
        UnreadablePicture: for every file that cannot be read.
    """
    return read_by(path, sys.maxsize, open_header).size


def _keep(file: BinaryIO, max_pixels: int) -> Image.Image:
    image = open_header(file, max_pixels)
    if not image.mode.startswith(("I", "F")) and any(_is_deep(tile[0], tile[3]) for tile in image.tile):
        raise UnreadablePicture("16 bits a channel in colour or with alpha, of which Pillow keeps 8; save it with 8")
    with suppress(Exception):  # whoever asks finds it kept, when the file is closed
        _ = getattr(image, "is_animated", False)
    described = b""
    if image.format == "TIFF":
        with suppress(Exception):  # damaged metadata say nothing about the pixels
            described = _described(image)
    image.load()  # which turns a TIFF upright
    if image.format == "TIFF":
        image.info["exif"] = described
    if 2 <= orientation_of(image) <= 8:
        ImageOps.exif_transpose(image, in_place=True)
    return image


def _described(image: Image.Image) -> bytes:
    """What a TIFF says of the picture, without what it says of its own structure."""
    stored, kept = image.getexif(), Image.Exif()
    for tag in _DESCRIPTIVE:
        if tag in stored:
            kept[tag] = stored[tag]
    for folder in _FOLDERS:
        if inner := stored.get_ifd(folder):
            kept[folder] = dict(inner)
    return kept.tobytes() if len(kept) else b""


def _is_deep(codec: str, layout: Any) -> bool:
    # netpbm tells the number that means white
    return ";16" in str(layout) or (codec == "ppm" and isinstance(layout, tuple) and int(layout[-1]) > 255)
