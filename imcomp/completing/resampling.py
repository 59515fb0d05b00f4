"""From a picture to what a network is shown of it, and back."""

import numpy as np
import numpy.typing as npt
from PIL import Image

from imcomp.box import Box
from imcomp.completing.holes import Hole
from imcomp.completing.surfaces import Floats, Surface, strips
from imcomp.completing.views import View

# pixels of a window above which it is averaged strip by strip before it is resized
_LARGE = 1 << 22


def show(surface: Surface, hole: Hole, view: View) -> tuple[Floats, Hole]:
    """Read a window at the view's size, with known pixels alone: what is under the hole does not bleed out of it.

    Returns:
        The picture ``(C, h, w)``, 0 in the hole, and the hole ``(h, w)``. A pixel to which any pixel of the hole
        contributes is hole, so that a thin one does not vanish; so is what the picture does not know.
    """
    window, size = view.window, view.size
    if (window.height, window.width) == size:
        picture = surface.read(window)
        unknown = window.crop(hole) | np.isnan(picture).any(axis=0)
        return np.where(unknown, np.float32(0), picture), unknown
    factor = min(window.height // size[0], window.width // size[1]) // 2
    large = window.height * window.width > _LARGE and factor > 1
    cell = factor if large else 1
    sums, weights = [], []
    for strip in _whole_cells(window, cell):
        picture = surface.read(strip)
        known = ~(strip.crop(hole) | np.isnan(picture).any(axis=0))
        sums.append(_averaged(np.where(known, picture, 0), cell))
        weights.append(_averaged(known.astype(np.float32)[None], cell))
    weight = _resized(np.concatenate(weights, axis=1), size)
    picture = _resized(np.concatenate(sums, axis=1), size) / weight.clip(1e-6)
    shown = _any_hole(window.crop(hole), size) | (weight[0] < 1e-3)
    return np.where(shown, np.float32(0), picture.clip(0, 1)), shown


def lay(surface: Surface, hole: Hole, view: View, filled: Floats) -> None:
    """Bring a filled picture ``(C, h, w)`` of the view's size back, and lay it into the hole of the view's target."""
    window, target, (height, width) = view.window, view.target, view.size
    down, right = height / window.height, width / window.width
    for strip in strips(target):
        place = strip.within(window)
        if (window.height, window.width) == view.size:
            values = place.crop(filled)
        else:
            # a part of the picture resized as a whole: Pillow looks beyond the part where the filter does
            part = (place.left * right, place.top * down, place.right * right, place.bottom * down)
            part = (part[0], part[1], min(part[2], width), min(part[3], height))
            values = _resized(filled, (strip.height, strip.width), part)
        surface.write(strip, strip.crop(hole), values)


def _whole_cells(window: Box, cell: int) -> list[Box]:
    """Strips whose height is a multiple of ``cell``, except for the last."""
    if cell == 1:
        return [window]
    rows = max(_LARGE // window.width // cell, 1) * cell
    return list(strips(window, rows * window.width))


def _averaged(planes: npt.NDArray[np.float32], cell: int) -> npt.NDArray[np.float32]:
    """The mean of each cell; at the far edges, of what there is, as if the rest were 0."""
    if cell == 1:
        return planes
    planes = np.pad(planes, ((0, 0), (0, -planes.shape[1] % cell), (0, -planes.shape[2] % cell)))
    count, height, width = planes.shape
    means: npt.NDArray[np.float32] = planes.reshape(count, height // cell, cell, width // cell, cell).mean(axis=(2, 4))
    return means


def _resized(
    planes: npt.NDArray[np.float32], size: tuple[int, int], part: tuple[float, float, float, float] | None = None
) -> npt.NDArray[np.float32]:
    """Each plane at height and width ``size``, bilinearly, smoothed first where it shrinks."""
    height, width = size
    images = (Image.fromarray(plane).resize((width, height), Image.Resampling.BILINEAR, box=part) for plane in planes)
    return np.stack([np.asarray(image) for image in images])


def _any_hole(hole: Hole, size: tuple[int, int]) -> Hole:
    """At another size: hole where any pixel of it falls."""
    for axis, length in enumerate(size):
        extent = hole.shape[axis]
        if length == extent:
            continue
        index = np.arange(length)
        bounds = np.stack([index * extent // length, -(-(index + 1) * extent // length)], axis=1).ravel()
        beyond = np.zeros([1 if number == axis else side for number, side in enumerate(hole.shape)], np.bool_)
        # each even one is the range from a start to its end; ranges may share a pixel
        ranges = np.logical_or.reduceat(np.concatenate([hole, beyond], axis=axis), bounds, axis=axis)
        hole = ranges[::2] if axis == 0 else ranges[:, ::2]
    return hole
