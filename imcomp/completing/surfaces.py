"""A picture while it is completed: what it shows, and how what fills the hole is written in its own numbers."""

from collections.abc import Callable, Iterator
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image

from imcomp.box import Box
from imcomp.completing.holes import Hole
from imcomp.data.pictures import to_grey_or_rgb

Floats = npt.NDArray[np.float32]
"""``(C, H, W)`` in [0, 1], C = 1 grey, 3 colour."""

_GREY = {"1", "L", "LA", "La"}
_TIFF_BITS, _TIFF_PHOTOMETRIC = 258, 262


class Surface(Protocol):
    """A picture that is read and written box by box."""

    size: tuple[int, int]
    """Height and width."""
    channels: int
    """That it shows: 1 for grey, 3 for colour."""

    def read(self, box: Box) -> Floats:
        """What the picture shows in the box, transparent pixels over white; NaN where its numbers mean nothing."""
        ...

    def write(self, box: Box, hole: Hole, values: Floats) -> None:
        """Write ``values`` into the hole of the box, opaque, and nothing elsewhere."""
        ...


def strips(box: Box, pixels: int = 1 << 22) -> Iterator[Box]:
    """Cut a box into strips of about so many pixels, from top to bottom."""
    rows = max(pixels // max(box.width, 1), 1)
    for top in range(box.top, box.bottom, rows):
        yield Box(top, box.left, min(top + rows, box.bottom), box.right)


def find_scale(numbers: Callable[[Box], npt.NDArray[Any]], hole: Hole) -> tuple[float, float]:
    """Which numbers mean black and white where a picture does not say.

    Args:
        numbers: gives those of a box, ``(h, w, ...)``.
        hole: what is under it does not count, nor does what is not finite.

    Returns:
        The first of [0, 1], [0, 255] and [0, 65535] that holds all numbers; else their own lowest and highest.
    """
    low, high = np.inf, -np.inf
    for strip in strips(Box(0, 0, *hole.shape)):
        known = numbers(strip)[~strip.crop(hole)]
        known = known[np.isfinite(known)]
        if known.size:
            low, high = min(low, float(known.min())), max(high, float(known.max()))
    if low > high:
        return 0.0, 1.0
    for white in (1.0, 255.0, 65535.0):
        if low >= 0 and high <= white:
            return 0.0, white
    return low, high if high > low else low + 1


class Canvas:
    """What a network is shown, ``(C, H, W)``, filled in place."""

    def __init__(self, picture: Floats) -> None:
        self.picture = picture
        self.channels, height, width = picture.shape
        self.size = (height, width)

    def read(self, box: Box) -> Floats:
        part: Floats = box.crop(self.picture).copy()
        return part

    def write(self, box: Box, hole: Hole, values: Floats) -> None:
        box.crop(self.picture)[:, hole] = values[:, hole]


class ImageSurface:
    """A PIL image of any mode.

    Args:
        image: stays as it is.
        hole: of the picture; what is under it does not count for its range of numbers.
    """

    def __init__(self, image: Image.Image, hole: Hole) -> None:
        self.result = image.copy()
        self.size = (image.height, image.width)
        self.mode = image.mode
        self.deep = image.mode == "F" or image.mode.startswith("I")
        self.channels = 1 if self.deep or image.mode in _GREY else 3
        if self.deep:
            self.black, self.white = self._range(image, hole)
        self._colours: npt.NDArray[np.float32] | None = None

    def read(self, box: Box) -> Floats:
        crop = self._crop(box)
        if self.deep:
            values = np.asarray(crop).astype(np.float32)[None]
            values[~np.isfinite(values)] = np.nan
            shown: Floats = np.clip((values - self.black) / (self.white - self.black), 0, 1)
            return shown
        levels: Floats = np.asarray(to_grey_or_rgb(crop), dtype=np.float32) / np.float32(255)
        return levels[None] if levels.ndim == 2 else levels.transpose(2, 0, 1)

    def write(self, box: Box, hole: Hole, values: Floats) -> None:
        samples = np.array(self._crop(box))
        filled = self._encode(values)
        samples[hole] = filled[hole]
        raw = np.packbits(samples, axis=1) if self.mode == "1" else samples
        # frombytes, and no mask: Pillow pastes through a mask in some modes alone
        patch = Image.frombytes(self.mode, (box.width, box.height), raw.tobytes())
        self.result.paste(patch, (box.left, box.top))

    def _crop(self, box: Box) -> Image.Image:
        return self.result.crop((box.left, box.top, box.right, box.bottom))

    def _encode(self, values: Floats) -> npt.NDArray[Any]:
        """In the picture's own numbers, ``(H, W)`` or ``(H, W, bands)``."""
        if self.deep:
            numbers: npt.NDArray[Any] = self.black + values[0].astype(np.float64) * (self.white - self.black)
            return numbers if self.mode == "F" else self._beside_key(np.rint(numbers))
        if self.mode == "1":
            whiter: npt.NDArray[np.bool_] = values[0] >= 0.5
            return whiter
        levels = (values * 255).round().astype(np.uint8).transpose(1, 2, 0)
        opaque = np.full_like(levels[..., :1], 255)
        if self.mode in {"P", "PA"}:
            nearest = self._nearest(levels)
            return nearest if self.mode == "P" else np.concatenate([nearest[..., None], opaque], axis=2)
        if self.mode in {"L", "RGB"}:
            plain = levels[..., 0] if self.mode == "L" else levels
            return self._beside_key(plain)
        if self.mode in {"LA", "La", "RGBA", "RGBa", "RGBX"}:
            return np.concatenate([levels, opaque], axis=2)
        return np.asarray(Image.fromarray(levels).convert(self.mode))  # CMYK, YCbCr, LAB, HSV

    def _nearest(self, levels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """The index of the opaque colour of the palette that is nearest to each pixel."""
        if self._colours is None:
            palette = np.array(self.result.getpalette("RGBA"), np.float32).reshape(-1, 4)
            clear = self.result.info.get("transparency")
            if isinstance(clear, bytes):
                palette[: len(clear), 3] = np.frombuffer(clear, np.uint8)[: len(palette)]
            elif isinstance(clear, int) and clear < len(palette):  # a GIF may name a colour that it has not
                palette[clear, 3] = 0
            palette[:, :3][palette[:, 3] < palette[:, 3].max()] = np.inf
            self._colours = palette[:, :3]
        usable = np.flatnonzero(np.isfinite(self._colours[:, 0]))
        colours = self._colours[usable]
        unique, place = np.unique(levels.reshape(-1, 3), axis=0, return_inverse=True)
        nearest = np.empty(len(unique), np.uint8)
        for start in range(0, len(unique), 1 << 14):
            some = unique[start : start + (1 << 14)].astype(np.float32)
            # |some - colour|^2, without what is the same for all colours
            nearest[start : start + len(some)] = usable[((colours**2).sum(1) - 2 * some @ colours.T).argmin(1)]
        return nearest[place].reshape(levels.shape[:2])

    def _beside_key(self, levels: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Step aside from the one colour that a PNG may declare transparent."""
        key = self.result.info.get("transparency")
        if isinstance(key, int) or (isinstance(key, tuple) and len(key) == 3):
            same = levels == np.array(key)
            last = levels if levels.ndim == 2 else levels[..., 2]
            clear = same if levels.ndim == 2 else same.all(axis=2)
            last[clear] = np.where(last[clear] == 0, 1, last[clear] - 1)
        return levels

    def _range(self, image: Image.Image, hole: Hole) -> tuple[float, float]:
        """Which numbers are black and white."""
        tags: dict[int, Any] = getattr(image, "tag_v2", {})
        if self.mode.startswith("I;16"):
            black, white = 0.0, 4095.0 if tags.get(_TIFF_BITS) == (12,) else 65535.0
        else:
            black, white = find_scale(lambda box: np.asarray(self._crop(box)), hole)
        return (white, black) if tags.get(_TIFF_PHOTOMETRIC) == 0 else (black, white)
