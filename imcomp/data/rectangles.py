"""Holes with straight edges: one at a fixed place, random boxes, the picture's rim, a grid."""

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from imcomp.box import Box, centred_span
from imcomp.data.ranges import (
    area_range,
    draw_within,
    number_range,
    reference_side,
    scale_of,
    whole_number,
    whole_range,
)
from imcomp.data.seeds import integers, random_bits, uniform

SIDES = ("left", "right", "top", "bottom")


class CenterMask:
    """One rectangle at a fixed place, the same in every picture.

    Args:
        size: height and width of the hole in pixels, or one number for a square.
        center: row and column of the hole's centre as fractions of the picture's height and width.

    Raises:
        ValueError: a size that is not of whole pixels, at least 1, or a centre outside [0, 1].
    """

    def __init__(self, size: int | Sequence[int] = 40, center: Sequence[float] = (0.5, 0.5)) -> None:
        sides = (size, size) if isinstance(size, int) else size
        if not _is_pair(sides, int) or min(sides) < 1:
            raise ValueError(f"size {size} is no hole; give [height, width] or one number, at least 1 pixel")
        if not _is_pair(center, (int, float)) or not all(0 <= place <= 1 for place in center):
            raise ValueError(f"center {center} is not in the picture; give [row, column], each from 0 to 1")
        self.size = (sides[0], sides[1])
        self.center = (float(center[0]), float(center[1]))

    def box(self, image_size: tuple[int, int]) -> Box:
        """Place the hole."""
        edges = []
        for name, extent, length, centre in zip(("high", "wide"), image_size, self.size, self.center, strict=True):
            start, end = centred_span(extent, length, centre)
            if start < 0 or end > extent:
                raise ValueError(
                    f"a hole {length} pixels {name} centred at {centre:g} does not fit a picture {extent}"
                    f" pixels {name}; make the hole smaller (mask.size), the picture larger (data.size) or centre it"
                )
            edges.append((start, end))
        (top, bottom), (left, right) = edges
        return Box(top, left, bottom, right)

    def __call__(self, image_size: tuple[int, int], seeds: Tensor) -> Tensor:
        mask = torch.zeros(1, 1, *image_size, device=seeds.device)
        self.box(image_size).crop(mask).fill_(1)
        return mask.expand(len(seeds), -1, -1, -1)


class BoxMask:
    """Random boxes anywhere in the picture; they may overlap.

    Args:
        count: boxes in a picture, a number or [low, high].
        size: pixels of a box's height and width, which are drawn one by one: a number, [low, high] for both, or
            [[low, high], [low, high]] for the height and for the width.
        margin: pixels between the boxes and the border, at least.
        relative_to: ``size`` and ``margin`` are pixels of a picture whose shorter side is this, so that boxes cover
            the same share of pictures of all sizes; None for the picture's own pixels.
        area: bounds of the hole's share of the picture, [low, high], see `draw_within`; None for none.

    Raises:
        ValueError: a value that is no such range.
    """

    def __init__(
        self,
        count: int | Sequence[int] = (1, 4),
        size: int | Sequence[int] | Sequence[Sequence[int]] = (32, 96),
        margin: int = 0,
        relative_to: int | None = None,
        area: Sequence[float] | None = None,
    ) -> None:
        self.count = whole_range("count", count, 1)
        # one range for both sides, unless there are two
        sides = size if _is_pair(size, Sequence) else (size, size)
        self.height, self.width = (whole_range("size", side, 1) for side in sides)  # type: ignore[union-attr]
        self.margin = whole_number("margin", margin, 0)
        self.relative_to = reference_side(relative_to)
        self.area = area_range(area)

    def __call__(self, image_size: tuple[int, int], seeds: Tensor) -> Tensor:
        scale = scale_of(self.relative_to, image_size)
        margin = round(self.margin * scale)
        (lowest, highest), (narrowest, widest) = lengths = [
            (max(round(low * scale), 1), max(round(high * scale), 1)) for low, high in (self.height, self.width)
        ]
        for name, extent, length in zip(("high", "wide"), image_size, (highest, widest), strict=True):
            if length + 2 * margin > extent:
                raise ValueError(
                    f"a box {length} pixels {name}{f' with a margin of {margin}' if margin else ''} does not fit a"
                    f" picture {extent} pixels {name}; make it smaller (mask.size, mask.margin)"
                    + ("" if self.relative_to else " or the picture larger (data.size)")
                )
        if self.area is not None:
            pixels = image_size[0] * image_size[1]
            smallest, largest = lowest * narrowest / pixels, self.count[1] * highest * widest / pixels
            if largest < self.area[0] or smallest > self.area[1]:
                raise ValueError(
                    f"{self.count[1]} boxes cover {smallest:.2g} to {largest:.2g} of a picture of {image_size[0]}x"
                    f"{image_size[1]} pixels, never {list(self.area)}; change mask.area, mask.count or mask.size"
                )
        return draw_within(lambda redrawn: self._draw(image_size, lengths, margin, redrawn), seeds, self.area)

    def _draw(
        self, image_size: tuple[int, int], lengths: Sequence[tuple[int, int]], margin: int, seeds: Tensor
    ) -> Tensor:
        most = self.count[1]
        bits = random_bits(seeds, 1 + 4 * most)
        count, places = bits[:, :1], bits[:, 1:].view(-1, most, 4)  # a box's numbers do not depend on the count
        there = torch.arange(most, device=seeds.device) < integers(count, *self.count)  # (B, N)
        spans = []
        for axis, extent in enumerate(image_size):
            length = integers(places[..., axis], *lengths[axis])
            start = integers(places[..., 2 + axis], margin, extent - margin - length)
            pixel = torch.arange(extent, device=seeds.device)
            spans.append((pixel >= start[..., None]) & (pixel < (start + length)[..., None]))  # (B, N, extent)
        rows, columns = (spans[0] & there[..., None]).float(), spans[1].float()
        # how many boxes cover each pixel: small whole numbers, exact in any precision
        return (rows.mT @ columns).clamp_(max=1).unsqueeze(1)


class OutpaintMask:
    """Everything beyond the given sides: the rim of the picture, as if it had been cut off.

    Args:
        sides: of `left`, `right`, `top`, `bottom`.
        fraction: depth of the hole as a share of the picture's width or height, a number or [low, high]; each side's
            is drawn by itself.
        pixels: depth in pixels instead, a number or [low, high]; `fraction` then does not count.
        subset: give each picture a random choice of the sides, at least one, all choices alike.

    Raises:
        ValueError: no sides, unknown or repeated ones, or a value that is no such range.
    """

    def __init__(
        self,
        sides: Sequence[str] = SIDES,
        fraction: float | Sequence[float] = (0.1, 0.25),
        pixels: int | Sequence[int] | None = None,
        subset: bool = False,  # noqa: FBT001, FBT002 - an option in a config, always given by name
    ) -> None:
        if isinstance(sides, str) or not sides or set(sides) - set(SIDES) or len(set(sides)) < len(sides):
            raise ValueError(f"sides {sides} are no sides of a picture; give a list of {', '.join(SIDES)}")
        self.sides = tuple(sides)
        self.fraction = number_range("fraction", fraction, 0, 1)
        self.pixels = None if pixels is None else whole_range("pixels", pixels, 1)
        self.subset = subset

    def __call__(self, image_size: tuple[int, int], seeds: Tensor) -> Tensor:
        height, width = image_size
        bits = random_bits(seeds, 1 + len(SIDES))
        # a number in binary for each non-empty subset
        chosen = integers(bits[:, 0], 1, (1 << len(self.sides)) - 1)
        depths = dict.fromkeys(SIDES, torch.zeros_like(seeds)[:, None])
        for index, side in enumerate(self.sides):
            extent = width if side in ("left", "right") else height
            depth = self._depth(side, extent, bits[:, 1 + SIDES.index(side)])
            depths[side] = (depth * (chosen >> index & 1) if self.subset else depth)[:, None]
        row, column = (torch.arange(extent, device=seeds.device) for extent in image_size)
        rows = (row < depths["top"]) | (row >= height - depths["bottom"])
        columns = (column < depths["left"]) | (column >= width - depths["right"])
        return (rows[:, None, :, None] | columns[:, None, None, :]).float()

    def _depth(self, side: str, extent: int, bits: Tensor) -> Tensor:
        """Depth of the hole in pixels, ``(B,)`` int64, at least 1."""
        both = 2 if {"left", "right"} <= set(self.sides) and side in ("left", "right") else 1
        both = 2 if {"top", "bottom"} <= set(self.sides) and side in ("top", "bottom") else both
        deepest = self.pixels[1] if self.pixels else round(self.fraction[1] * extent)
        if deepest * both >= extent:
            key, value = ("pixels", list(self.pixels)) if self.pixels else ("fraction", list(self.fraction))
            raise ValueError(
                f"a hole {deepest} pixels deep on the {side}{' and opposite' if both > 1 else ''} leaves nothing of a"
                f" picture of {extent} pixels; lower mask.{key}={value} or make data.size larger"
            )
        if self.pixels:
            return integers(bits, *self.pixels)
        return (uniform(bits, *self.fraction) * extent).round().long().clamp(min=1, max=max(deepest, 1))


class GridMask:
    """Square holes in a regular grid.

    Args:
        cell: pixels from one hole to the next, in both directions.
        hole: pixels of a hole's side, fewer than ``cell``.
        offset: row and column of the first hole, or one number for both; `random` moves the grid from picture to
            picture.

    Raises:
        ValueError: a value that is no such number.
    """

    def __init__(
        self, cell: int = 32, hole: int = 16, offset: Literal["random"] | int | Sequence[int] = "random"
    ) -> None:
        self.cell = whole_number("cell", cell, 2)
        self.hole = whole_number("hole", hole, 1)
        if hole >= cell:
            raise ValueError(f"hole {hole} fills a cell of {cell} pixels; make mask.hole smaller or mask.cell larger")
        pair = (offset, offset) if isinstance(offset, int) else offset
        if offset != "random" and not _is_pair(pair, int):
            raise ValueError(f"offset {offset} is no place; give [row, column], one number or random")
        self.offset = None if isinstance(pair, str) else (pair[0], pair[1])

    def __call__(self, image_size: tuple[int, int], seeds: Tensor) -> Tensor:
        if self.cell > min(image_size):
            raise ValueError(
                f"a cell of {self.cell} pixels does not fit a picture of {image_size[0]}x{image_size[1]} pixels;"
                " make mask.cell smaller or data.size larger"
            )
        starts = integers(random_bits(seeds, 2), 0, self.cell - 1)
        if self.offset is not None:
            starts = torch.tensor(self.offset, device=seeds.device).expand(len(seeds), 2)
        rows, columns = (
            (torch.arange(extent, device=seeds.device) - starts[:, axis, None]) % self.cell < self.hole
            for axis, extent in enumerate(image_size)
        )
        return (rows[:, None, :, None] & columns[:, None, None, :]).float()


def _is_pair(value: Any, kind: type | tuple[type, ...]) -> bool:
    if not isinstance(value, Sequence) or len(value) != 2:
        return False
    return all(isinstance(item, kind) and not isinstance(item, (str, bool)) for item in value)
