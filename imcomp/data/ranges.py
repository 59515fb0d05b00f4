"""What mask generators share: reading ranges from options, and holding a hole's area within bounds."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from imcomp.data.seeds import mix_seeds

Area = tuple[float, float]

REDRAWS = 20
"""How often a hole is drawn anew before the one nearest to the bounds is kept."""


def whole_range(key: str, value: Any, lowest: int) -> tuple[int, int]:
    """Read a number or [low, high] of whole numbers.

    Raises:
        ValueError: anything else, or a number below ``lowest``.
    """
    low, high = _pair(value)
    if not (_is_whole(low) and _is_whole(high)) or not lowest <= low <= high:
        raise ValueError(f"{key} {value} is no range; give [low, high] or one whole number, at least {lowest}")
    return low, high


def whole_number(key: str, value: Any, lowest: int) -> int:
    """Read a whole number.

    Raises:
        ValueError: anything else, or a number below ``lowest``.
    """
    if not _is_whole(value) or value < lowest:
        raise ValueError(f"{key} {value} is out of range; give a whole number, at least {lowest}")
    return int(value)


def number_range(key: str, value: Any, lowest: float, highest: float = float("inf")) -> tuple[float, float]:
    """Read a number or [low, high] of numbers.

    Raises:
        ValueError: anything else, or a number outside [lowest, highest].
    """
    low, high = _pair(value)
    if not (_is_number(low) and _is_number(high)) or not lowest <= low <= high <= highest or high == float("inf"):
        bounds = f"at least {lowest:g}" if highest == float("inf") else f"from {lowest:g} to {highest:g}"
        raise ValueError(f"{key} {value} is no range; give [low, high] or one number, {bounds}")
    return float(low), float(high)


def reference_side(relative_to: int | None) -> int | None:
    """Check the shorter side, in pixels, of the picture that lengths are given for; None for pixels of any picture.

    Raises:
        ValueError: anything but None or a whole number of at least 1.
    """
    if relative_to is not None:
        whole_number("relative_to", relative_to, 1)
    return relative_to


def scale_of(relative_to: int | None, image_size: tuple[int, int]) -> float:
    """How many of the picture's pixels one pixel of a picture with a shorter side of ``relative_to`` is."""
    return min(image_size) / relative_to if relative_to else 1.0


def area_range(value: Any) -> Area | None:
    """Read the bounds of a hole's share of the picture, [low, high] in [0, 1]; None for no bounds.

    Raises:
        ValueError: anything else, or bounds that no hole of at least one pixel could lie in.
    """
    if value is None:
        return None
    low, high = number_range("area", value, 0, 1)
    if not isinstance(value, Sequence) or high == 0:
        raise ValueError(f"area {value} leaves no room for a hole; give [low, high], shares of the picture, or null")
    return low, high


def draw_within(draw: Callable[[Tensor], Tensor], seeds: Tensor, area: Area | None, *, grow: bool = False) -> Tensor:
    """Draw masks whose area lies within bounds, each from its own seed alone.

    A hole outside them is drawn anew from a seed derived from its own, up to ``REDRAWS`` times; of all that were drawn
    the one nearest to the bounds is kept.

    Args:
        draw: from ``(N,)`` seeds to ``(N, 1, H, W)`` masks; N may be 0.
        seeds: ``(B,)`` int64.
        area: lowest and highest share of hole pixels; None draws once.
        grow: what is drawn anew may also be added to what is there, where that comes nearer.

    Returns:
        ``(B, 1, H, W)`` masks.
    """
    masks = draw(seeds)
    if area is None:
        return masks
    distance = pixels_outside(masks, area)
    for attempt in range(1, REDRAWS + 1):
        outside = distance.nonzero().flatten()
        if not len(outside):
            break
        again = draw(mix_seeds(seeds[outside], attempt))
        for tried in (again, torch.maximum(again, masks[outside])) if grow else (again,):
            reached = pixels_outside(tried, area)
            nearer = reached < distance[outside]
            masks[outside[nearer]] = tried[nearer]
            distance[outside[nearer]] = reached[nearer]
    return masks


def pixels_outside(masks: Tensor, area: Area) -> Tensor:
    """Count the pixels that each hole has too few or too many: ``(B,)`` int64, 0 within the bounds."""
    pixels = masks.shape[-2] * masks.shape[-1]
    # whole pixels, so that rounding decides nothing: 0.07 * 100 is a little more than 7
    fewest, most = math.ceil(area[0] * pixels - 1e-6), math.floor(area[1] * pixels + 1e-6)
    # a row's sum is exact in float32, a large picture's is not
    count = masks.flatten(1, 2).sum(dim=-1).long().sum(dim=-1)
    return (fewest - count).clamp(min=0) + (count - most).clamp(min=0)


def _pair(value: Any) -> tuple[Any, Any]:
    if isinstance(value, Sequence) and not isinstance(value, str):
        return (value[0], value[1]) if len(value) == 2 else (None, None)
    return value, value


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
