"""Finding and reading picture files, however dirty: read rightly, or refused by name."""

import functools
import io
import logging
import os
import re
import stat
import warnings
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image, ImageFile, UnidentifiedImageError

from imcomp.data.progress import with_bar
from imcomp.files import write_text

# Pillow's own mark for a possible decompression bomb: a quarter of a GiB once decoded to RGB.
DEFAULT_MAX_PIXELS = 89_478_485

# Formats that Pillow registers but that are no pictures to train on: EPS runs Ghostscript on the file, WMF
# decodes on Windows only, and of the others Pillow reads nothing but the signature.
_REFUSED_FORMATS = {"EPS", "WMF", "BUFR", "GRIB", "HDF5", "MPEG"}

_TURNS = {  # EXIF orientation -> what sets the picture upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_BITS_PER_SAMPLE, _PHOTOMETRIC, _ORIENTATION = 258, 262, 274  # TIFF and EXIF tag numbers

# The header of a binary netpbm file. One whitespace ends it; CR LF there means that a text tool was at work.
_GAP = rb"(?:\s|#[^\r\n]*[\r\n])+"
_NETPBM = re.compile(
    rb"(?P<kind>P(?:4|([56f])))%b(?P<width>\d+)%b(?P<height>\d+)" % (_GAP, _GAP)
    + rb"(?(2)%b(?P<white>[-+.eE\d]+))(?P<end>\r\n|\s)" % _GAP
)

# For good and for all threads: no reading thread may use `warnings.catch_warnings`, which swaps state of
# the whole process. What Pillow warns of is judged here: bombs by `max_pixels`, damage by decoders' errors.
warnings.filterwarnings("ignore", module=r"PIL\.")
# Pillow logs what it also raises, and at level DEBUG every chunk of every PNG.
logging.getLogger("PIL").setLevel(logging.CRITICAL)

_log = logging.getLogger(__name__)


class UnreadablePicture(ValueError):  # noqa: N818 - it is what the file is, and no defect of the program
    """A file that gives no trustworthy picture; ``str()`` is the reason, one line without the path."""


@dataclass(frozen=True)
class BadPicture:
    """A file left out, and why."""

    path: Path
    reason: str


def find_pictures(root: Path) -> list[Path]:
    """Every picture file below ``root``, as `find_names` finds them: paths that begin with ``root``."""
    return [root / name for name in find_names(root)]


def find_names(root: Path) -> list[str]:
    """Every file below ``root`` whose extension, in any case, belongs to a format that Pillow reads.

    Hidden files and folders are left out, macOS's ``._*`` among them. Links are followed, but no folder is
    entered twice, so a link to a folder above ends there. A pipe or a broken link with a picture's name is
    listed, for `check_pictures` to name it.

    Returns:
        POSIX paths relative to ``root``, sorted.

    Raises:
        FileNotFoundError: There is no ``root``.
        NotADirectoryError: ``root`` is no folder.
    """
    if not root.exists():
        raise FileNotFoundError(f"no picture folder {str(root)!r}; give a folder that exists")
    if not root.is_dir():
        raise NotADirectoryError(f"{str(root)!r} is a file; give the folder that holds the pictures")
    extensions = _extensions()
    found: list[str] = []
    entered: set[tuple[int, int]] = set()
    # linked folders come last: where a folder is there by itself too, its pictures keep their real names
    real, linked = [root], list[Path]()
    while real or linked:
        folder = real.pop() if real else linked.pop(0)
        try:
            status = folder.stat()
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as error:
            if folder == root:
                raise
            _log.warning("left out folder %r: %s", str(folder), error.strerror)
            continue
        if (status.st_dev, status.st_ino) in entered:
            continue
        entered.add((status.st_dev, status.st_ino))
        below = "" if folder == root else f"{folder.relative_to(root).as_posix()}/"
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if _is_folder(entry):
                (linked if entry.is_symlink() else real).append(folder / entry.name)
            elif Path(entry.name).suffix.lower() in extensions:
                found.append(below + entry.name)
    return sorted(found)


def read_picture(path: Path, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> Image.Image:
    """The first frame of a picture file, upright as its EXIF orientation says, as `to_grey_or_rgb` gives it.

    The format is told by the content, not by the name. A binary netpbm file (PPM, PGM, PBM, PFM) whose line
    ends became CR LF on its way (git and text tools do that; Pillow then reads colours shifted by one byte)
    is repaired where its length proves what happened, and refused where not. Colour profiles are not applied.
    Damage inside compressed data that keeps the stream decodable cannot be noticed.

    Args:
        path: A regular file, or a link to one.
        max_pixels: Refuse larger pictures, from the header, before decoding. Pillow itself refuses
            more than twice ``PIL.Image.MAX_IMAGE_PIXELS`` (179 megapixels), whatever is given here.

    Returns:
        A fully decoded picture of mode ``L`` or ``RGB``, with no metadata.

    Raises:
        UnreadablePicture: For every file that cannot be read.
    """
    return read_by(path, max_pixels, _decode)


def read_by(path: Path, max_pixels: int, decode: Callable[[BinaryIO, int], Image.Image]) -> Image.Image:
    """Read a regular file with ``decode``, which takes it and ``max_pixels``; raises `UnreadablePicture` alone."""
    try:
        size = _regular_size(path)  # before opening, which would wait forever for the other end of a pipe
        with path.open("rb") as file:
            return decode(_mend_netpbm(file, size, max_pixels), max_pixels)
    except UnreadablePicture:
        raise
    except FileNotFoundError as error:
        gone = "is a link to a file that does not exist" if path.is_symlink() else "file does not exist"
        raise UnreadablePicture(gone) from error
    except Exception as error:  # Pillow's decoders raise nearly every type there is
        raise UnreadablePicture(_reason(error)) from error


def decode_picture(data: bytes, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> Image.Image:
    """What `read_picture` gives, of a file's bytes.

    Raises:
        UnreadablePicture: For all that cannot be read.
    """
    try:
        return _decode(_mend_netpbm(io.BytesIO(data), len(data), max_pixels), max_pixels)
    except UnreadablePicture:
        raise
    except Exception as error:  # Pillow's decoders raise nearly every type there is
        raise UnreadablePicture(_reason(error)) from error


def to_grey_or_rgb(image: Image.Image) -> Image.Image:
    """Any Pillow picture as 8 bits a channel: grey ones as ``L``, all others as ``RGB``.

    - Transparent pixels are laid over white. A palette gives RGB.
    - Grey of 12 or 16 bits is scaled, full scale to 255 (Pillow's ``convert("L")`` would clip at 255).
    - Grey in floating point (mode ``F``): values all within [0, 1] are multiplied by 255, values all within
      [0, 255] are kept; both are rounded.

    Raises:
        UnreadablePicture: Integers of 32 bits or with a sign, for which no value is known to mean white;
            floating point outside [0, 255] or not finite.
    """
    if image.mode in {"I", "F"} or image.mode.startswith("I;16"):
        return _deep_grey(image)
    mode = "L" if image.mode in {"1", "L", "LA", "La"} else "RGB"
    if not image.has_transparency_data:
        return image.convert(mode)
    # only this conversion turns the transparency of a palette or of a colour key into alpha
    image = image.convert("LA" if mode == "L" else "RGBA")
    flat = Image.new(mode, image.size, "white")
    flat.paste(image.convert(mode), mask=image.getchannel("A"))
    return flat


def check_pictures(
    root: Path, names: Sequence[str], *, workers: int, max_pixels: int = DEFAULT_MAX_PIXELS
) -> list[BadPicture]:
    """Decode every file once, under a bar on a terminal.

    Args:
        root: The folder.
        names: Files in it, as `find_names` gives them.
        workers: Threads (Pillow's decoders release the GIL); below 2, all is done in the calling thread.
        max_pixels: See `read_picture`.

    Returns:
        The unreadable files with their reasons, in the order given.
    """

    def reason(name: str) -> str | None:
        try:
            read_picture(root / name, max_pixels=max_pixels)
        except UnreadablePicture as error:
            return str(error)
        return None

    with ThreadPool(workers) if workers > 1 else nullcontext() as pool:
        reasons: Iterable[str | None] = pool.imap(reason, names, chunksize=8) if pool else map(reason, names)
        shown = with_bar(reasons, "Checking pictures", len(names))
        return [BadPicture(root / name, why) for name, why in zip(names, shown, strict=True) if why is not None]


def write_bad_report(bad: Sequence[BadPicture], file: Path) -> None:
    r"""Write a UTF-8 table ``path <tab> reason`` under one header line, whole or not at all.

    Names and reasons are `escaped`.
    """
    rows = [("path", "reason"), *((str(picture.path), picture.reason) for picture in bad)]
    text = "".join(f"{escaped(name)}\t{escaped(why)}\n" for name, why in rows)
    write_text(file, text)


@functools.cache
def _formats() -> tuple[str, ...]:
    registered = set(Image.registered_extensions().values())  # imports all of Pillow's plugins
    return tuple(name for name in Image.ID if name in registered - _REFUSED_FORMATS)


@functools.cache
def _extensions() -> frozenset[str]:
    formats = {*_formats(), "MPO"}  # read by the JPEG plugin
    return frozenset(end for end, name in Image.registered_extensions().items() if name in formats)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _regular_size(path: Path) -> int:
    status = path.stat()
    if stat.S_ISDIR(status.st_mode):
        raise UnreadablePicture("is a folder, not a file")
    if not stat.S_ISREG(status.st_mode):
        raise UnreadablePicture("is a pipe, socket or device, not a regular file")
    if status.st_size == 0:
        raise UnreadablePicture("file is empty")
    return status.st_size


def _check_size(width: int, height: int, max_pixels: int) -> None:
    if width * height > max_pixels:
        megapixels = width * height / 1e6
        raise UnreadablePicture(f"{width} x {height}, {megapixels:.1f} megapixels, more than {max_pixels=}")


def _mend_netpbm(file: BinaryIO, size: int, max_pixels: int) -> BinaryIO:
    """The file itself, or its netpbm picture in memory as it was before LF became CR LF."""
    head = file.read(4096)
    file.seek(0)
    if head[:2] not in {b"P4", b"P5", b"P6", b"Pf"}:
        return file
    match = _NETPBM.match(head)
    if match is None:
        raise UnreadablePicture(f"damaged netpbm header; begins with {head[:16]!r}")
    width, height = int(match["width"]), int(match["height"])
    _check_size(width, height, max_pixels)
    if match["kind"] == b"P4":
        row = (width + 7) // 8
    elif match["kind"] == b"Pf":
        row = 4 * width
    else:
        row = width * (3 if match["kind"] == b"P6" else 1) * (2 if int(match["white"]) > 255 else 1)
    expected, got = row * height, size - match.end()
    if match["end"] == b"\r\n" and got == expected - 1 and b"\r" in match[0].replace(b"\r\n", b""):
        return file  # CR alone ends every line, and the first pixel begins with the byte 10
    if got < expected:
        raise UnreadablePicture(f"truncated after {100 * got // expected}% of the pixel data")
    if match["end"] == b"\n" or (match["end"] != b"\r\n" and got == expected):
        return file
    if match["end"] == b"\r\n" and got <= 2 * expected:
        file.seek(match.end())
        pixels = file.read()
        if got != expected:
            # Each LF brought one CR. With as many pairs as surplus bytes, no pair was the picture's own.
            pixels = pixels.replace(b"\r\n", b"\n")
        if len(pixels) == expected:
            return io.BytesIO(match[0][: -len(match["end"])] + b"\n" + pixels)
    raise UnreadablePicture(
        f"{got} bytes of pixel data, expected {expected}: line ends were converted; copy it again as binary"
    )


def open_header(file: BinaryIO, max_pixels: int) -> ImageFile.ImageFile:
    """A picture that is not decoded yet, of a format and a size that are allowed."""
    try:
        image = Image.open(file, formats=_formats())
    except UnidentifiedImageError:
        file.seek(0)
        raise UnreadablePicture(f"no format that Pillow reads, or cut short; begins with {file.read(16)!r}") from None
    _check_size(*image.size, max_pixels)
    if "transparency" in image.info and _layout(image) in {"L;2", "L;4", "RGB;16B"}:
        # Pillow compares the key, of 2, 4 or 16 bits, with pixels of 8
        raise UnreadablePicture("transparent colour in a PNG of other than 8 bits a channel; save it with 8")
    return image


def _decode(file: BinaryIO, max_pixels: int) -> Image.Image:
    image = open_header(file, max_pixels)
    layout = _layout(image)
    image.load()
    upright = _TURNS.get(orientation_of(image))
    # Pillow has no grey of 16 bits with alpha and gives RGBA with three equal channels
    picture = to_grey_or_rgb(image.convert("LA") if layout == "LA;16B" else image)
    if upright is not None:
        picture = picture.transpose(upright)
    picture.info = {}  # a transparent colour or an orientation left here would be applied again on saving
    return picture


def _layout(image: ImageFile.ImageFile) -> Any:
    return image.tile[0][3] if image.format == "PNG" and image.tile else None


def orientation_of(image: ImageFile.ImageFile) -> int:
    """EXIF's, 1 where there is none."""
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # noqa: BLE001 - damaged metadata says nothing about the pixels
        return 1


def _deep_grey(image: Image.Image) -> Image.Image:
    tags: dict[int, Any] = getattr(image, "tag_v2", {})
    values = np.asarray(image)
    if image.mode == "F":
        low, high = float(values.min()), float(values.max())
        if not 0 <= low <= high <= 255:  # false for NaN too
            raise UnreadablePicture(f"floating point from {low:g} to {high:g}; expected [0, 1] or [0, 255]")
        grey = np.rint(values * 255 if high <= 1 else values).astype(np.uint8)
    elif image.mode == "I" and image.format not in {"PNG", "PPM"}:
        raise UnreadablePicture(
            "grey of 32 bits or with a sign, where no value is known to mean white; save it with 16 bits"
        )
    else:
        white = 4095 if tags.get(_BITS_PER_SAMPLE) == (12,) else 65535
        grey = ((values.astype(np.uint32) * 255 + white // 2) // white).astype(np.uint8)
        if "transparency" in image.info:
            grey[values == image.info["transparency"]] = 255
    if tags.get(_PHOTOMETRIC) == 0:  # white is zero; Pillow inverts that for 1 to 8 bits only
        grey = 255 - grey
    return Image.fromarray(grey)


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split())[:200]
    if isinstance(error, OSError) and error.strerror:
        return error.strerror[:1].lower() + error.strerror[1:]
    if isinstance(error, (Image.DecompressionBombError, Image.DecompressionBombWarning)):
        return text.partition(",")[0]
    if isinstance(error, MemoryError):
        return "not enough memory to decode it"
    if "truncated" in text.lower():
        return f"truncated, the file ends before the picture does: {text}"
    return f"damaged: {text or type(error).__name__}"


def escaped(text: str) -> str:
    r"""Write backslashes and whatever does not print (tabs, line ends, bytes that are no text) as Python escapes."""
    return "".join(c if c.isprintable() and c != "\\" else c.encode("unicode_escape").decode("ascii") for c in text)
