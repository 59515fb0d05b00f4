"""Holes: where the picture is missing.

One polarity everywhere: a mask is ``(B, 1, H, W)`` float32 with **1 = hole**. A generator is called with the
picture size and one seed for each picture, and is a pure function of both, so that the same picture gets the
same hole in every run and on every number of devices.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor


class MaskGenerator(Protocol):
    """Cuts one hole (of one or many parts) into each picture of a batch."""

    def __call__(self, image_size: tuple[int, int], seeds: Tensor) -> Tensor:
        """Make one mask a seed.

        Args:
            image_size: height and width in pixels.
            seeds: ``(B,)`` int64; the masks are made on its device.

        Returns:
            ``(B, 1, H, W)`` float32, 1 = hole.

        Raises:
            ValueError: the hole does not fit into a picture of this size.
        """
        ...


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

    def box(self, image_size: tuple[int, int]) -> tuple[int, int, int, int]:
        """Place the hole: top, left, bottom, right in pixels (the last two exclusive)."""
        edges = []
        for name, extent, length, centre in zip(("high", "wide"), image_size, self.size, self.center, strict=True):
            # an odd remainder goes below and to the right, as integer division does for the reference's 108..148;
            # 1e-6, since 0.29 * 100 is a little less than 29
            start = int(centre * extent - length / 2 + 1e-6)
            if start < 0 or start + length > extent:
                raise ValueError(
                    f"a hole {length} pixels {name} centred at {centre:g} does not fit a picture {extent}"
                    f" pixels {name}; make the hole smaller (mask.size), the picture larger (data.size) or centre it"
                )
            edges.append((start, start + length))
        (top, bottom), (left, right) = edges
        return top, left, bottom, right

    def __call__(self, image_size: tuple[int, int], seeds: Tensor) -> Tensor:
        top, left, bottom, right = self.box(image_size)
        mask = torch.zeros(len(seeds), 1, *image_size, device=seeds.device)
        mask[..., top:bottom, left:right] = 1
        return mask


MASKS: dict[str, Callable[..., MaskGenerator]] = {"center": CenterMask}


def build_mask(options: Mapping[str, Any]) -> MaskGenerator:
    """Build a generator from plain options: ``{"name": "center", "size": 40}``.

    Raises:
        ValueError: an unknown name, or options that the generator does not take.
    """
    arguments = dict(options)
    name = arguments.pop("name", None)
    if name not in MASKS:
        raise ValueError(f"unknown mask {name!r}; choose from {', '.join(sorted(MASKS))}")
    try:
        return MASKS[name](**arguments)
    except TypeError as error:
        raise ValueError(f"mask {name!r}: {error}") from error


def mix_seeds(*parts: int | Tensor) -> Tensor:
    """Mix integers into well-spread seeds, with SplitMix64's finaliser after each part.

    G. Steele, D. Lea, C. Flood: Fast Splittable Pseudorandom Number Generators, OOPSLA 2014.

    Args:
        parts: integers or int64 tensors that broadcast against one another, such as (seed, epoch, indices).

    Returns:
        int64 tensor of the broadcast shape, on the tensors' device. The same parts give the same seeds.
    """
    device = next((part.device for part in parts if isinstance(part, Tensor)), None)
    state = torch.zeros((), dtype=torch.int64, device=device)
    for part in parts:
        state = state + part + _signed(0x9E3779B97F4A7C15)  # int64 arithmetic wraps round, as intended
        state = (state ^ _shift_right(state, 30)) * _signed(0xBF58476D1CE4E5B9)
        state = (state ^ _shift_right(state, 27)) * _signed(0x94D049BB133111EB)
        state = state ^ _shift_right(state, 31)
    return state


def _is_pair(value: Any, kind: type | tuple[type, ...]) -> bool:
    return isinstance(value, Sequence) and len(value) == 2 and all(isinstance(item, kind) for item in value)


def _signed(value: int) -> int:
    return value - (1 << 64) if value >= 1 << 63 else value


def _shift_right(value: Tensor, bits: int) -> Tensor:
    # torch's >> on int64 copies the sign bit; the mixer wants zeros
    return (value >> bits) & ((1 << (64 - bits)) - 1)
