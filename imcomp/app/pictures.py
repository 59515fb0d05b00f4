"""Pictures that come from anywhere, and the holes drawn on them. NumPy and Pillow alone."""

import io
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageOps

from imcomp.completing.holes import to_hole
from imcomp.errors import InputError

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "MPO")
"""What Pillow may take a file for: those that people have, and whose decoders run nothing else."""

_PNG_MODES = {"1", "L", "LA", "P", "RGB", "RGBA", "I;16"}
_MOST_PIXELS = 178_956_970  # Pillow refuses more, whatever is allowed here
_LEAST_SHOWN, _MOST_SHOWN = 640, 1024  # pixels of the longer side on the canvas


def open_picture(path: str | Path, *, max_bytes: int, max_pixels: int) -> Image.Image:
    """Read a file that somebody uploaded; see `decode`.

    Args:
        path: the file.
        max_bytes: that it may have.
        max_pixels: that it may have, decoded.

    Raises:
        InputError: gone, empty, too large, or no picture.
    """
    try:
        with Path(path).open("rb") as file:
            size = file.seek(0, io.SEEK_END)
            if size > max_bytes:
                raise InputError(f"the file has {size / 1e6:.1f} MB; at most {max_bytes / 1e6:g} MB are taken")
            if not size:
                raise InputError("the file is empty; give a picture")
            return decode(file, max_pixels=max_pixels)
    except OSError as error:
        raise InputError("the file is not there any more; upload it again") from error


def decode(file: BinaryIO, *, max_pixels: int) -> Image.Image:
    """Read a picture whole, and turn it as its EXIF orientation says.

    Returns:
        A picture of a mode that PNG holds, with its own pixels; CMYK and its like become RGB.

    Raises:
        InputError: too many pixels, or no picture.
    """
    most = f"at most {min(max_pixels, _MOST_PIXELS) / 1e6:g} million pixels are taken"
    try:
        with Image.open(file, formats=FORMATS) as image:
            too_large = image.width * image.height > max_pixels
            if not too_large:
                image.load()
                upright = ImageOps.exif_transpose(image)
    except Image.DecompressionBombError as error:
        raise InputError(f"the picture has too many pixels; {most}") from error
    except Exception as error:  # how a damaged picture fails is its decoder's to know
        raise InputError(
            "the file is damaged or not a picture; give a PNG, JPEG, WebP, BMP, GIF or TIFF file"
        ) from error
    if too_large:
        raise InputError(f"the picture is {image.width}x{image.height}; {most}")
    return _for_png(upright)


def _for_png(image: Image.Image) -> Image.Image:
    if image.mode in _PNG_MODES:
        return image.copy()  # without its file
    if image.mode in {"I", "F", "I;16B", "I;16L", "I;16N"}:
        raise InputError(f"the picture is of mode {image.mode}, where no number means white; give 8 or 16 bits")
    plain = image.convert("RGBA" if image.mode in {"PA", "La", "RGBa"} else "RGB")
    plain.info.pop("icc_profile", None)  # the other colour space's
    return plain


def to_canvas(picture: Image.Image) -> Image.Image:
    """The picture in 8 bits, as large as is good to paint on: its longer side has 640 to 1,024 pixels."""
    longer = max(picture.size)
    scale = min(max(longer, _LEAST_SHOWN), _MOST_SHOWN) / longer
    size = (max(round(picture.width * scale), 1), max(round(picture.height * scale), 1))
    if picture.mode == "I;16":
        picture = Image.fromarray((np.asarray(picture) >> 8).astype(np.uint8))
    shown = picture.convert("RGBA" if picture.has_transparency_data else "RGB")
    return shown.resize(size, Image.Resampling.LANCZOS if scale < 1 else Image.Resampling.BICUBIC)


def join_holes(size: tuple[int, int], painted: Image.Image | None, mask: Image.Image | None) -> Image.Image:
    """What is painted and what a mask says, together.

    Args:
        size: width and height of the picture.
        painted: mode `L` of any size, above 0 where the brush was.
        mask: of the picture's size; white is the hole.

    Returns:
        Mode `L`, 255 = hole.

    Raises:
        InputError: a mask of another size, or no hole at all.
    """
    hole = np.zeros(size[::-1], bool)
    if painted is not None:
        # where it shrinks, every pixel that the brush touched counts; where it grows, none that it did not
        shrinks = painted.width > size[0] or painted.height > size[1]
        way = Image.Resampling.BOX if shrinks else Image.Resampling.NEAREST
        touched = painted.point(lambda level: 255 if level else 0)
        hole |= np.asarray(touched.resize(size, way)) > 0
    if mask is not None:
        hole |= to_hole(mask, size[::-1])
    if not hole.any():
        raise InputError("nothing is marked; paint over what is to be filled, or give a mask that is white there")
    return Image.fromarray(hole.astype(np.uint8) * 255)
