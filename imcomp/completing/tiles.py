"""Filling a hole that is too large to be computed at once: tile by tile, from its rim inwards, with blended seams."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from imcomp.box import Box
from imcomp.completing.holes import Hole, measure_thickness
from imcomp.completing.surfaces import Floats, Surface
from imcomp.completing.views import Training

Paint = Callable[[Floats, Hole], Floats]
"""Fills the hole ``(h, w)`` of a picture ``(C, h, w)``."""

_OVERLAP = 16  # pixels at a network's size of 256 over which two tiles are blended


def fill_tiles(surface: Surface, hole: Hole, region: Box, paint: Paint, training: Training) -> None:
    """Fill the hole in a region tile by tile; no more than a tile is in memory beside the picture.

    The tile with the most known pixels around it comes first; what it fills is known to those after it. Where a tile
    reaches into one that is done, the first gives way to the second from one end of the overlap to the other.

    Args:
        surface: the picture.
        hole: of the whole picture, ``(H, W)``.
        region: where it is filled.
        paint: fills a hole at once.
        training: of the network.
    """
    # in a thick hole a tile must not be thicker than the network can bridge; in a thin one large tiles are cheaper
    thick = measure_thickness(region.crop(hole)) > 2 * training.thickness[1]
    core = max(training.thickness[1], training.size // 4) if thick else training.size
    half = max(_OVERLAP * training.size // 512, 1)
    margin = max((training.size - core) // 2, training.margin)
    left = hole.copy()
    for cell in _inwards(region.crop(hole), core, margin):
        place = cell.shift(region.top, region.left)
        inner = place.grow(half).clip((region.bottom, region.right))
        inner = Box(max(inner.top, region.top), max(inner.left, region.left), inner.bottom, inner.right)
        outer = place.grow(margin).clip(hole.shape)
        own, undone = inner.crop(hole), inner.crop(left)
        picture = surface.read(outer)
        before = inner.within(outer).crop(picture).copy()
        # missing in the tile: its own part, done or not, and around it what is not done yet or never known
        missing = outer.crop(left) | np.isnan(picture).any(axis=0)
        inner.within(outer).crop(missing)[own] = True
        picture[:, missing] = 0
        output = inner.within(outer).crop(paint(picture, missing))
        share = np.where(undone, np.float32(1), _ramp(inner, place, half))
        # not by arithmetic where the tile has all: what is under the hole may be no number
        surface.write(inner, own, np.where(share == 1, output, before + share * (output - before)))
        undone[:] = False


def _inwards(hole: Hole, core: int, margin: int) -> list[Box]:
    """The cells of a grid that hold hole, each time the one around which the least is missing."""
    rows, columns = (np.arange(0, extent, core) for extent in hole.shape)
    missing = np.add.reduceat(np.add.reduceat(hole, rows, axis=0, dtype=np.int64), columns, axis=1)
    reach = -(-margin // core)
    padded = np.pad(missing, reach)
    height, width = missing.shape
    around = np.zeros_like(missing)
    for down in range(2 * reach + 1):
        for right in range(2 * reach + 1):
            around += padded[down : down + height, right : right + width]
    waiting = missing > 0
    order = []
    while waiting.any():
        row, column = np.unravel_index(np.where(waiting, around, np.iinfo(np.int64).max).argmin(), missing.shape)
        waiting[row, column] = False
        near = (slice(max(row - reach, 0), row + reach + 1), slice(max(column - reach, 0), column + reach + 1))
        around[near] -= missing[row, column]
        top, left = int(row) * core, int(column) * core
        order.append(Box(top, left, top + core, left + core).clip(hole.shape))
    return order


def _ramp(inner: Box, cell: Box, half: int) -> npt.NDArray[np.float32]:
    """A tile's share where it overlaps others: from nearly 0 at its rim to nearly 1 as far inside of its cell."""

    def along(low: int, high: int, start: int, end: int) -> npt.NDArray[np.float32]:
        place = np.arange(low, high) + 0.5
        inside = np.minimum(place - (start - half), (end + half) - place)
        return np.asarray(np.clip(inside / (2 * half), 0, 1), dtype=np.float32)

    rows = along(inner.top, inner.bottom, cell.top, cell.bottom)
    columns = along(inner.left, inner.right, cell.left, cell.right)
    shares: npt.NDArray[np.float32] = np.minimum(rows[:, None], columns[None])
    return shares
