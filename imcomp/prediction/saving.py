"""Writing a completed picture: the format, without loss where it can be, and all that the file said besides."""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image, PngImagePlugin

from imcomp.errors import InputError, suggest
from imcomp.files import atomic

# zlib's quickest: its usual 6 saves 4% of a photograph's bytes and takes three times as long
_COMPRESSION = 1

FORMATS = ("lossless", "keep", "png", "tiff", "webp", "jpeg", "bmp")
"""What an output can be: `lossless` is PNG, or TIFF for what PNG cannot hold; `keep` is the input's own."""

_MODES = {
    "PNG": {"1", "L", "LA", "P", "RGB", "RGBA", "I;16"},
    "TIFF": {"1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "LAB", "I", "I;16", "I;16B", "F"},
    "WEBP": {"RGB", "RGBA"},
    "JPEG": {"L", "RGB", "CMYK"},
    "BMP": {"1", "L", "P", "RGB"},  # and RGBA so that whoever reads it takes alpha for padding
    "GIF": {"L", "P"},
    "PPM": {"1", "L", "RGB", "I;16"},
    "TGA": {"L", "P", "RGB", "RGBA"},
}
"""What Pillow writes each format from without changing a pixel, JPEG's loss apart."""

_KEYED = {"PNG", "GIF"}
"""What keeps which colour, or which of a palette's, is transparent; the others would show it."""

_MOST = {"JPEG": 65500, "WEBP": 16383}
"""Pixels that a side may have."""

_SUFFIXES = {"PNG": ".png", "TIFF": ".tif", "WEBP": ".webp", "JPEG": ".jpg", "BMP": ".bmp"}
# what Pillow raises where metadata are not what they should be
_DAMAGE = (ValueError, TypeError, KeyError, AttributeError, ArithmeticError, RuntimeError, SyntaxError, struct.error)
_XMP_KEY = "XML:com.adobe.xmp"
# EXIF data as a text, in hexadecimal: ImageMagick writes PNGs so
_RAW_EXIF, _RAW_APP1 = "Raw profile type exif", "Raw profile type APP1"
_TIFF_BITS, _TIFF_PHOTOMETRIC = 258, 262


@dataclass(frozen=True)
class Format:
    """How a picture is written.

    Attributes:
        name: Pillow's.
        suffix: of the file.
        options: of ``Image.save``.
    """

    name: str
    suffix: str
    options: Mapping[str, Any]

    @property
    def lossy(self) -> bool:
        """Whether pixels outside the hole change too."""
        return self.name == "JPEG"


def check_format(wanted: str) -> None:
    """Refuse an unknown format.

    Raises:
        InputError: it is none.
    """
    if wanted not in FORMATS:
        raise InputError(f"format={wanted} is unknown; {suggest(wanted, FORMATS)}")


def choose_format(wanted: str, image: Image.Image, path: Path) -> Format:
    """Choose how to write a picture.

    Args:
        wanted: one of `FORMATS`.
        image: as it was read.
        path: its file, whose suffix is kept with `keep`.

    Raises:
        InputError: a format that cannot hold a picture of this mode or size, or grey that none holds as it is meant.
    """
    _check_meaning(image)
    lossless = "PNG" if image.mode in _MODES["PNG"] else "TIFF"
    if wanted == "lossless":
        name = lossless
    elif wanted == "keep":
        name = "JPEG" if image.format == "MPO" else str(image.format)
        if image.mode not in _MODES.get(name, ()) or (name not in _KEYED and _has_key(image)):
            name = lossless  # a format that Pillow reads and does not write
    else:
        name = wanted.upper()
    if image.mode not in _MODES[name]:
        raise InputError(f"{name} cannot hold a picture of mode {image.mode}; give format=lossless")
    if name not in _KEYED and _has_key(image):
        raise InputError(f"{name} cannot hold that a colour is transparent; give format=lossless")
    if name in _MOST and max(image.size) > _MOST[name]:
        size = f"{image.width} x {image.height} pixels"
        raise InputError(f"{name} cannot hold {size}, but {_MOST[name]} a side; give format=lossless")
    kept = wanted == "keep" and Image.registered_extensions().get(path.suffix.lower()) == name
    suffix = path.suffix if kept else _SUFFIXES.get(name, f".{name.lower()}")
    return Format(name, suffix, _options(name, image))


def possible_suffixes(wanted: str, path: Path) -> list[str]:
    """What a result's suffix may be, before its picture is read; see `choose_format`."""
    if wanted == "lossless":
        return [_SUFFIXES["PNG"], _SUFFIXES["TIFF"]]
    if wanted == "keep":
        return [*dict.fromkeys([path.suffix, *(_SUFFIXES.get(name, f".{name.lower()}") for name in _MODES)])]
    return [_SUFFIXES[wanted.upper()]]


def save(image: Image.Image, path: Path, form: Format, source: Image.Image) -> bool:
    """Write a picture whole or not at all.

    Args:
        image: to be written.
        path: where.
        form: how.
        source: whose profile, EXIF data, resolution and texts come along.

    Returns:
        Whether all of these could be written; where they are damaged, the picture is written without.

    Raises:
        InputError: the format cannot hold it, or not under this name.
        OSError: the disk is full or cannot be written to.
    """
    metadata = _metadata(source, form.name)
    # libtiff, which compresses, takes no EXIF data
    options = {**form.options, "compression": "raw"} if form.name == "TIFF" and "exif" in metadata else form.options
    with atomic(path) as beside:
        try:
            image.save(beside, form.name, **options, **metadata)
        except _DAMAGE:
            plain = image.copy()
            plain.info = {key: value for key, value in image.info.items() if key == "transparency"}
            try:
                plain.save(beside, form.name, **form.options)
            except _DAMAGE as error:
                reason = " ".join(str(error).split())
                raise InputError(
                    f"it cannot be written as {form.name} ({reason}); give another format, or rename it"
                ) from error
            return False
    return True


def _check_meaning(image: Image.Image) -> None:
    """Refuse grey whose numbers Pillow keeps and whose meaning it drops."""
    tags: Mapping[int, Any] = getattr(image, "tag_v2", {})
    if image.mode.startswith(("I", "F")) and tags.get(_TIFF_PHOTOMETRIC) == 0:
        raise InputError("more than 8 bits with 0 for white, which would become a negative; save it with 0 for black")
    if tags.get(_TIFF_BITS) == (12,):
        raise InputError("12 bits a pixel, which would become 16 and nearly black; save it with 8 or 16")


def _has_key(image: Image.Image) -> bool:
    """Whether pixels are transparent for their colour, and not by a channel of their own."""
    if "transparency" not in image.info:
        return False
    return image.mode.startswith("I") or image.convert("RGBA").getchannel("A").getextrema() != (255, 255)


def _options(name: str, image: Image.Image) -> dict[str, Any]:
    if name == "PNG":
        return {"compress_level": _COMPRESSION}
    if name == "WEBP":
        return {"lossless": True, "quality": 0, "exact": True}
    if name == "TIFF":
        return {"compression": "tiff_adobe_deflate"}
    if name == "JPEG":
        # with the tables of its own file, a picture changes least where it is written again
        tables = getattr(image, "quantization", None)
        return {"qtables": tables, "subsampling": _subsampling(image)} if tables else {"quality": 95, "subsampling": 0}
    return {}


def _subsampling(image: Image.Image) -> int:
    from PIL import JpegImagePlugin

    found: int = JpegImagePlugin.get_sampling(image) if image.mode == "RGB" else -1
    return max(found, 0)


def _metadata(source: Image.Image, name: str) -> dict[str, Any]:
    """What ``Image.save`` does not take from the picture itself."""
    info = source.info
    found: dict[str, Any] = {key: info[key] for key in ("icc_profile",) if info.get(key)}
    resolution = info.get("dpi")
    if isinstance(resolution, tuple) and len(resolution) == 2 and all(0 < float(one) < 1e6 for one in resolution):
        found["dpi"] = tuple(float(one) for one in resolution)
    if info.get("exif"):
        found["exif"] = info["exif"]
    elif _RAW_EXIF in info and len(source.getexif()):
        found["exif"] = source.getexif()
    xmp = info.get("xmp") or info.get(_XMP_KEY)
    if isinstance(xmp, str):
        xmp = xmp.encode()
    if name == "PNG":
        texts = _texts(source, xmp)
        if texts.chunks:
            found["pnginfo"] = texts
    elif xmp and name in {"JPEG", "WEBP"}:
        found["xmp"] = xmp
    return found if name in {"PNG", "TIFF", "WEBP", "JPEG"} else {}


def _texts(source: Image.Image, xmp: bytes | None) -> PngImagePlugin.PngInfo:
    texts = PngImagePlugin.PngInfo()
    written = set()
    for key, value in getattr(source, "text", {}).items() if source.format == "PNG" else ():
        if key in (_XMP_KEY, _RAW_EXIF, _RAW_APP1):  # the latter tell of an orientation that is no longer so
            continue
        written.add(key)
        texts.add_itxt(key, str(value)) if not str(value).isascii() else texts.add_text(key, str(value))
    comment = source.info.get("comment")
    if isinstance(comment, (str, bytes)) and comment and "Comment" not in written:
        texts.add_itxt("Comment", comment if isinstance(comment, str) else comment.decode("utf-8", "replace"))
    if xmp:
        texts.add_itxt(_XMP_KEY, xmp.decode("utf-8", "replace"))
    return texts
