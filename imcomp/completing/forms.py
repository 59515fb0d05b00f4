"""Holes of any form for a network that knows a single one, at a single place.

Such a network takes any other hole for a part of the picture: pixels that are missing beyond the form for black, those
that are known within it for noise; and its layers know the form at that place alone. So the picture is moved until a
piece of the hole lies there, all of the form is hidden, and of what comes out the piece is kept.
"""

from collections.abc import Callable
from itertools import product

import numpy as np

from imcomp.box import Box
from imcomp.completing.holes import Hole, find_bounds, find_parts
from imcomp.completing.surfaces import Floats


def fill_in_form(
    pictures: Floats, holes: Hole, form: Box, side: int, paint: Callable[[Floats, Hole], Floats]
) -> Floats:
    """Fill holes piece by piece, each of a batch's pictures its next piece at once.

    Args:
        pictures: ``(N, C, h, w)``, no smaller than the form.
        holes: ``(N, h, w)``.
        form: where the network knows its holes, in a square of ``side`` pixels.
        side: of the square that the network is shown.
        paint: fills ``form`` in pictures ``(M, C, side, side)``.

    Returns:
        The pictures, unchanged outside of their holes.
    """
    filled = np.stack([spread(picture, hole) for picture, hole in zip(pictures, holes, strict=True)])
    plans = [cut_pieces(hole, form) for hole in holes]
    for step in range(max(map(len, plans))):
        waiting = [(number, pieces[step]) for number, pieces in enumerate(plans) if step < len(pieces)]
        planes = np.stack([_moved(filled[number], box, form, side) for number, box in waiting])
        hidden = np.zeros((len(planes), side, side), dtype=np.bool_)
        form.crop(hidden)[:] = True
        for (number, box), one in zip(waiting, paint(planes, hidden), strict=True):
            missing = box.crop(holes[number])
            box.crop(filled[number])[:, missing] = form.crop(one)[:, missing]
    return filled


def cut_pieces(hole: Hole, form: Box) -> list[Box]:
    """Boxes of the form's height and width, within the picture, that hold all of the hole together.

    A piece that lies in the form has that for a box, so that the picture is not moved for it.
    """
    height, width = form.shape
    picture = Box(0, 0, *hole.shape)
    boxes = []
    for part in find_parts(hole):
        if picture.contains(form) and form.contains(part):
            boxes.append(form)
            continue
        for top, left in product(range(part.top, part.bottom, height), range(part.left, part.right, width)):
            cell = Box(top, left, top + height, left + width).clip((part.bottom, part.right))
            if (bounds := find_bounds(cell.crop(hole))) is not None:
                boxes.append(_around(bounds.shift(top, left), form.shape, (picture.bottom, picture.right)))
    return boxes


def spread(picture: Floats, hole: Hole) -> Floats:
    """Lay into the hole of a picture ``(C, h, w)`` the mean of what is known nearby, coarser the further away."""
    return _spread(np.where(hole, np.float32(0), picture), (~hole).astype(np.float32)[None])


def _spread(sums: Floats, weight: Floats) -> Floats:
    known = weight > 0
    values: Floats = (sums / np.where(known, weight, 1)).astype(np.float32)
    if known.all() or not known.any():
        return values
    _, height, width = weight.shape
    beyond = ((0, 0), (0, height % 2), (0, width % 2))
    coarse: list[Floats] = [
        np.pad(planes, beyond).reshape(len(planes), -(-height // 2), 2, -(-width // 2), 2).sum(axis=(2, 4))
        for planes in (sums, weight)
    ]
    behind = _spread(coarse[0], coarse[1]).repeat(2, axis=1).repeat(2, axis=2)[:, :height, :width]
    laid: Floats = np.where(known, values, behind)
    return laid


def _around(bounds: Box, shape: tuple[int, int], size: tuple[int, int]) -> Box:
    """A box of height and width ``shape`` around a smaller one, within a picture of ``size``."""
    top, left = (
        min(max(low - (length - (high - low)) // 2, 0), extent - length)
        for low, high, length, extent in zip(bounds[:2], bounds[2:], shape, size, strict=True)
    )
    return Box(top, left, top + shape[0], left + shape[1])


def _moved(picture: Floats, box: Box, form: Box, side: int) -> Floats:
    """A square of a picture, and beyond its edges of its mirror images, in which ``box`` lies where the form does."""
    starts = (box.top - form.top, box.left - form.left)
    beyond = [
        (max(-start, 0), max(start + side - extent, 0)) for start, extent in zip(starts, picture.shape[1:], strict=True)
    ]
    wide = np.pad(picture, ((0, 0), *beyond), mode="symmetric")
    top, left = (max(start, 0) for start in starts)
    return Box(top, left, top + side, left + side).crop(wide)
