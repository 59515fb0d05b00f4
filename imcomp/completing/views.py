"""Which parts of a picture a network is shown, and how large: the strategies."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from imcomp.box import Box, centred_span
from imcomp.completing.holes import Hole, find_bounds, find_parts, measure_thickness
from imcomp.errors import InputError, suggest

MOST_ENLARGED = 4.0
"""A thin hole is shown at most so many times as large as it is."""

# pixels of a view that is not shown as it is
_LARGEST = 1 << 24
# a window that covers this share of the picture's height and width might as well be the picture, and a picture might as
# well be shown at this share of its size
_NEARLY_WHOLE = 0.8


@dataclass(frozen=True)
class Training:
    """What a network was trained to see.

    Attributes:
        size: pixels of each side of the pictures.
        multiple: height and width that it takes are multiples of this.
        channels: 1 for grey, 3 for colour.
        stretch: whether pictures were brought to the square without keeping their aspect ratio.
        thickness: of the thinnest and of the thickest hole, see `measure_thickness`.
        form: the hole's place in the pictures, where it was the same rectangle in all of them; see `forms`.
    """

    size: int
    multiple: int
    channels: int
    stretch: bool
    thickness: tuple[int, int]
    form: Box | None = None

    @property
    def margin(self) -> int:
        """Pixels around a hole that are shown, at least."""
        return self.size // 4

    @property
    def most_at_once(self) -> int:
        """Pixels of a side of what is computed at once; what is larger is computed in tiles."""
        return 2 * self.size


@dataclass(frozen=True)
class View:
    """A part of a picture, shown at a size.

    Attributes:
        window: the part.
        size: height and width that it is shown at.
        target: the hole in it is filled.
    """

    window: Box
    size: tuple[int, int]
    target: Box


def form_of(mask: Mapping[str, Any], size: int) -> Box | None:
    """The one place that holes have in pictures of ``size``, from the holes' options; None where they differ."""
    if mask.get("name") != "center":
        return None
    sides, center = mask.get("size", 40), mask.get("center", (0.5, 0.5))
    height, width = (sides, sides) if isinstance(sides, int) else sides
    (top, bottom), (left, right) = (
        centred_span(size, length, centre) for length, centre in zip((height, width), center, strict=True)
    )
    return Box(top, left, bottom, right)


def plan(hole: Hole, training: Training, strategy: str) -> list[View]:
    """Choose what is shown for a hole.

    Returns:
        Views whose targets are disjoint and hold all of the hole; none where there is no hole.

    Raises:
        InputError: no such strategy.
    """
    check_strategy(strategy)
    target = find_bounds(hole)
    return [] if target is None else STRATEGIES[strategy](hole, training, target)


def check_strategy(strategy: str) -> None:
    """Refuse an unknown strategy.

    Raises:
        InputError: it is none.
    """
    if strategy not in STRATEGIES:
        raise InputError(f"strategy={strategy} is unknown; {suggest(str(strategy), list(STRATEGIES))}")


def _original(hole: Hole, training: Training, target: Box) -> list[View]:
    """The picture as it is; of a large one, what is round each part of the hole."""
    height, width = hole.shape
    if max(height, width) <= training.most_at_once:
        return [View(Box(0, 0, height, width), (height, width), target)]
    return [_window(part, 1.0, hole, training) for part in _joined(hole, lambda _: 1.0, training)]


def _resize(hole: Hole, training: Training, target: Box) -> list[View]:
    """The whole picture, as large as those that the network was trained on."""
    height, width = hole.shape
    side = training.size
    return [View(Box(0, 0, height, width), (side, side), target)]


def _crop(hole: Hole, training: Training, _: Box) -> list[View]:
    """Round each part of the hole a window, at the scale at which the hole is as thick as the network knows it."""
    scales: dict[Box, float] = {}

    def scale(part: Box) -> float:
        if part not in scales:
            scales[part] = _scale(part, hole, training)
        return scales[part]

    return [_window(part, scale(part), hole, training) for part in _joined(hole, scale, training)]


def _auto(hole: Hole, training: Training, target: Box) -> list[View]:
    """The whole picture where it is no larger than those trained on, or the window would be nearly all of it."""
    height, width = hole.shape
    if max(height, width) <= training.size or hole.all():
        return _whole(hole, training, target)
    views = _crop(hole, training, target)
    window = views[0].window
    if window.height >= _NEARLY_WHOLE * height and window.width >= _NEARLY_WHOLE * width:
        return _whole(hole, training, target)
    return views


STRATEGIES: dict[str, Callable[[Hole, Training, Box], list[View]]] = {
    "auto": _auto,
    "crop": _crop,
    "original": _original,
    "resize": _resize,
}
"""From a hole, what its network was trained on and the hole's bounds to what is shown."""

FORMING = frozenset({"auto", "crop"})
"""Strategies that bring holes to the form that a network knows; the others show them as they are."""


def _whole(hole: Hole, training: Training, target: Box) -> list[View]:
    """The whole picture, brought to the network's size as in training, or less for the hole to be as it was there."""
    height, width = hole.shape
    if training.stretch:
        side = training.size * _to_fit(target, (training.size / height, training.size / width), hole, training)
        return [View(Box(0, 0, height, width), _at_least_one(side, side), target)]
    scale = min(training.size / min(height, width), training.most_at_once / max(height, width))
    scale *= _to_fit(target, (scale, scale), hole, training)
    return [View(Box(0, 0, height, width), _at_least_one(height * scale, width * scale), target)]


def _to_fit(target: Box, scales: tuple[float, float], hole: Hole, training: Training) -> float:
    """By what to shrink a picture further for a network that knows one form: 1 where the hole, or its pieces, fit."""
    if training.form is None:
        return 1.0
    factors = [1.0]
    for low, high, scale, most in zip(target[:2], target[2:], scales, training.form.shape, strict=True):
        touched = math.ceil(high * scale - 1e-6) - math.floor(low * scale + 1e-6)
        if touched > most:  # a pixel less than would do, since the hole's edges may lie between two
            factors.append(max(most - 1, 1) / ((high - low) * scale))
    if min(factors) >= _NEARLY_WHOLE:
        return min(factors)
    thickness, most = measure_thickness(target.crop(hole)) * max(scales), min(training.form.shape)
    return max(most - 1, 1) / thickness if thickness > most else 1.0


def _scale(part: Box, hole: Hole, training: Training) -> float:
    """What brings a part's thickness into the range that the network knows; 1 where it is there already."""
    if training.form:
        shrunk = _to_fit(part, (1.0, 1.0), hole, training)
        if shrunk < 1:
            return shrunk
        enlarged = min((most - 1) / extent for most, extent in zip(training.form.shape, part.shape, strict=True))
    else:
        thickness = measure_thickness(part.crop(hole))
        thinnest, thickest = training.thickness
        if thickness > thickest:
            return thickest / thickness
        enlarged = thinnest / thickness
    enlarged = min(enlarged, MOST_ENLARGED)
    # what is long and thin is not enlarged beyond what is computed at once
    longest = max(part.height, part.width)
    return max(min(enlarged, (training.most_at_once - 2 * training.margin) / longest), 1.0)


def _window(part: Box, scale: float, hole: Hole, training: Training) -> View:
    """The part with its surroundings: as many as make the network's size, and a margin at least."""
    edges = []
    for low, high, extent in zip((part.top, part.left), (part.bottom, part.right), hole.shape, strict=True):
        wanted = math.ceil(max(training.size, (high - low) * scale + 2 * training.margin) / scale)
        length = min(wanted, extent)
        start = min(max((low + high - length) // 2, 0), extent - length)
        edges.append((start, start + length))
    (top, bottom), (left, right) = edges
    window = Box(top, left, bottom, right)
    if scale < 1:
        scale = min(scale, math.sqrt(_LARGEST / (window.height * window.width)))
    return View(window, _at_least_one(window.height * scale, window.width * scale), part)


def _joined(hole: Hole, scale: Callable[[Box], float], training: Training) -> list[Box]:
    """The hole's parts; together where one window for two costs no more than two windows."""
    parts = find_parts(hole)

    def cost(part: Box) -> int:
        height, width = _window(part, scale(part), hole, training).size
        return height * width

    waiting, joined = parts, list[Box]()
    while waiting:
        part = waiting.pop()
        for other in joined:
            both = part.union(other)
            others = [box for box in (*joined, *waiting) if box != other and both.overlaps(box)]
            as_large = scale(both) >= min(scale(part), scale(other))
            if not others and as_large and cost(both) <= cost(part) + cost(other):
                joined.remove(other)
                waiting.append(both)
                break
        else:
            joined.append(part)
    return sorted(joined)


def _at_least_one(height: float, width: float) -> tuple[int, int]:
    return max(round(height), 1), max(round(width), 1)
