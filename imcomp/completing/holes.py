"""Where a picture is missing: reading masks, and measuring the hole."""

import sys
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from imcomp.box import Box
from imcomp.errors import InputError

Hole = npt.NDArray[np.bool_]
"""``(H, W)``, true = hole."""

# pixels beyond which a hole is measured on a coarser grid
_MEASURED = 1 << 22
# cells along a hole's longer side that tell its parts apart, and how many parts are told apart
_CELLS = 128
_SMALLEST_CELL = 8
_MOST_PARTS = 48


def to_hole(mask: Any, size: tuple[int, int]) -> Hole:
    """Read a mask: white, true or 1 is the hole.

    Whole numbers are cut at the middle of their scale: 128 of 255, 32,768 of 65,535; where none is above 1, at 1.
    Other numbers are cut at 0.5 where none is above 1, and as whole numbers otherwise. Colours count by their
    brightness.

    Args:
        mask: a PIL image of any mode, or an array or tensor of ``(H, W)``, ``(1, H, W)``, ``(H, W, 1)`` or
            ``(H, W, 3)``.
        size: height and width of the picture.

    Raises:
        InputError: no mask, one of another size, one that is partly transparent, or numbers that are none.
    """
    values = _values(mask)
    if values.shape != size:
        (height, width), (high, wide) = values.shape, size
        raise InputError(f"the mask is {width}x{height}, the picture {wide}x{high}; give a mask of its size")
    if values.dtype == np.bool_:
        return values
    highest = values.max(initial=0)
    if not np.isfinite(highest):
        raise InputError("the mask holds numbers that are not finite; give 1 in the hole and 0 elsewhere")
    limits = ((1, 1 if values.dtype.kind in "iu" else 0.5), (255, 128), (np.inf, 32768))
    hole: Hole = values >= next(limit for white, limit in limits if highest <= white)
    return hole


def find_bounds(hole: Hole) -> Box | None:
    """The smallest box around the hole; None where there is none."""
    rows, columns = np.flatnonzero(hole.any(axis=1)), np.flatnonzero(hole.any(axis=0))
    if not len(rows):
        return None
    return Box(int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1)


def measure_thickness(hole: Hole) -> int:
    """The side in pixels of the largest square that lies in the hole: how far its middle is from what is known.

    Large holes are measured on a coarser grid, to a few percent. 0 where there is no hole.
    """
    bounds = find_bounds(hole)
    if bounds is None:
        return 0
    hole = bounds.crop(hole)
    cell = int(np.ceil(np.sqrt(hole.size / _MEASURED)))
    if cell > 1:
        height, width = (extent // cell * cell for extent in hole.shape)
        cells = hole[:height, :width].reshape(height // cell, cell, width // cell, cell)
        return cell * max(_largest_square(np.logical_and.reduce(cells, axis=(1, 3))), 1)
    return _largest_square(hole)


def find_parts(hole: Hole) -> list[Box]:
    """Disjoint boxes that hold all of the hole: one around each part of it that lies apart from the others.

    Parts that are nearer to one another than 8 pixels, and 1/128 of the hole's extent, are taken for one; where there
    are more than 48, their neighbours.
    """
    bounds = find_bounds(hole)
    if bounds is None:
        return []
    inner = bounds.crop(hole)
    cell = max(_SMALLEST_CELL, -(-max(inner.shape) // _CELLS))
    while True:
        boxes = [_tight(box.scale(cell), inner) for box in _connected(_any_in_cells(inner, cell))]
        parts = merge_boxes([box.shift(bounds.top, bounds.left) for box in boxes])
        if len(parts) <= _MOST_PARTS:
            return parts
        cell *= 2


def merge_boxes(boxes: list[Box]) -> list[Box]:
    """Put together boxes that overlap, until none do."""
    merged: list[Box] = []
    waiting = list(boxes)
    while waiting:
        box = waiting.pop()
        touched = [other for other in merged if box.overlaps(other)]
        if touched:
            merged = [other for other in merged if other not in touched]
            for other in touched:
                box = box.union(other)
            waiting.append(box)
        else:
            merged.append(box)
    return sorted(merged)


def _any_in_cells(hole: Hole, cell: int) -> Hole:
    """Which cells of so many pixels hold a pixel of the hole."""
    rows, columns = (np.arange(0, extent, cell) for extent in hole.shape)
    cells: Hole = np.logical_or.reduceat(np.logical_or.reduceat(hole, rows, axis=0), columns, axis=1)
    return cells


def _connected(cells: Hole) -> list[Box]:
    """Boxes around the cells that touch one another."""
    left = {(int(row), int(column)) for row, column in np.argwhere(cells)}
    boxes = []
    while left:
        part, ends = [], [left.pop()]
        while ends:
            row, column = ends.pop()
            part.append((row, column))
            near = {(row + down, column + right) for down in (-1, 0, 1) for right in (-1, 0, 1)} & left
            left -= near
            ends.extend(near)
        rows, columns = zip(*part, strict=True)
        boxes.append(Box(min(rows), min(columns), max(rows) + 1, max(columns) + 1))
    return boxes


def _tight(box: Box, hole: Hole) -> Box:
    """The smallest box around what of the hole is in the box."""
    bounds = find_bounds(box.crop(hole))
    assert bounds is not None
    return bounds.shift(box.top, box.left)


def _values(mask: Any) -> npt.NDArray[Any]:
    """The mask's numbers, ``(H, W)``."""
    if isinstance(mask, Image.Image):
        if mask.has_transparency_data and mask.convert("RGBA").getchannel("A").getextrema() != (255, 255):
            raise InputError(
                "the mask is partly transparent; give one that is white in the hole and black elsewhere, without alpha"
            )
        deep = mask.mode == "F" or mask.mode.startswith("I")
        return np.asarray(mask if deep or mask.mode == "1" else mask.convert("L"))
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(mask, torch.Tensor):
        mask = mask.detach().cpu()
        mask = (mask.float() if mask.is_floating_point() else mask).numpy()
    values: Any = mask
    if not isinstance(values, np.ndarray):
        raise InputError(f"the mask is a {type(mask).__name__}; give a PIL image, a NumPy array or a tensor")
    shape: tuple[int, ...] = values.shape
    if len(shape) == 3 and shape[0] == 1:
        values = values[0]
    elif len(shape) == 3 and shape[2] in {1, 3}:
        values = values[..., 0] if shape[2] == 1 else values.mean(axis=2)
    if values.ndim != 2 or values.dtype.kind not in "biuf":
        raise InputError(f"the mask is {values.dtype} of shape {shape}; give numbers of shape (H, W)")
    return np.asarray(values)


def _largest_square(hole: Hole) -> int:
    """By bisection: where a square of a side lies in the hole, every smaller one does."""
    sums = np.zeros((hole.shape[0] + 1, hole.shape[1] + 1), np.int32)
    sums[1:, 1:] = hole.cumsum(axis=0, dtype=np.int32).cumsum(axis=1, dtype=np.int32)
    low, high = 0, min(hole.shape)
    while low < high:
        side = (low + high + 1) // 2
        filled = sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side] + sums[:-side, :-side]
        low, high = (side, high) if (filled == side * side).any() else (low, side - 1)
    return low
