"""What is behind a sign.

How many random numbers a painter draws never depends on the size of its canvas, so that the frames of a track show the
same scene at every resolution.
"""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from imcomp.data.signs.pen import Colour

Floats = NDArray[np.float32]


def noise(rng: np.random.Generator, size: int, roughness: float, cells: int = 3) -> Floats:
    """Noise of several octaves.

    Args:
        rng: Source of the noise.
        size: Side of the result in pixels.
        roughness: Ratio of the amplitudes of one octave and the next coarser one.
        cells: Cells per side of the coarsest octave.

    Returns:
        Array (size, size), about [0, 1] with mean 0.5.
    """
    total = np.zeros((size, size), np.float32)
    power = 0.0
    for octave in range(5):
        grid = rng.random((cells << octave, cells << octave), dtype=np.float32) - 0.5
        amplitude = roughness**octave
        power += amplitude**2
        if cells << octave <= size:
            total += amplitude * enlarge(grid, size, size)
    result: Floats = np.clip(0.5 + total / math.sqrt(power), 0, 1)
    return result


def enlarge(grid: Floats, width: int, height: int) -> Floats:
    """Resize bilinearly."""
    return np.asarray(Image.fromarray(grid).resize((width, height), Image.Resampling.BILINEAR))


def _blend(noise: Floats, dark: Floats, light: Floats) -> Image.Image:
    """Picture that runs from one colour (3 values in [0, 1]) to another with the noise."""
    return Image.fromarray((255 * (dark + noise[..., None] * (light - dark))).astype(np.uint8))


def to_floats(image: Image.Image) -> Floats:
    """Bring 8-bit pixels to [0, 1]."""
    scaled: Floats = np.asarray(image, np.float32) / np.float32(255)
    return scaled


def _tint(rng: np.random.Generator, low: float, high: float, warmth: float = 0.0, spread: float = 0.08) -> Floats:
    """Colour of a brightness between ``low`` and ``high``; positive warmth is brown, negative is blue."""
    level = rng.uniform(low, high)
    hue = 1 + spread * rng.standard_normal(3) + warmth * np.array([1.0, 0.2, -1.0])
    return np.clip(level * hue, 0, 1).astype(np.float32)


def to_colour(values: Floats) -> Colour:
    """Bring three values in [0, 1] to 8 bits."""
    red, green, blue = (int(255 * value) for value in values)
    return red, green, blue


def _foliage(rng: np.random.Generator, size: int) -> Image.Image:
    """Bushes and trees: rough, dark, sky shining through in places."""
    dark, light = _tint(rng, 0.02, 0.12, 0.1), _tint(rng, 0.15, 0.75, rng.uniform(-0.05, 0.35))
    contrast, roughness, cells = rng.uniform(1.0, 3.0), rng.uniform(0.65, 1.2), int(rng.integers(2, 7))
    return _blend(noise(rng, size, roughness, cells) ** contrast, dark, light)


def _sky(rng: np.random.Generator, size: int) -> Image.Image:
    """Sky, often with branches, or with a dark tree line at the bottom."""
    top = _tint(rng, 0.45, 0.95, rng.uniform(-0.3, 0.02))
    bottom = _tint(rng, 0.6, 1.0, rng.uniform(-0.15, 0.05))
    cloud, tree = noise(rng, size, 0.5, cells=2), _tint(rng, 0.03, 0.2, 0.1)
    horizon = rng.uniform(0.35, 1.0) + 0.06 * rng.standard_normal(12)
    branches = rng.random((int(rng.integers(0, 14)) if rng.random() < 0.5 else 0, 5))
    ramp = np.linspace(-0.4, 0.4, size, dtype=np.float32)[:, None]
    image = _blend(np.clip(cloud + ramp, 0, 1), top, bottom)
    draw = ImageDraw.Draw(image)
    line = [(size * step / 11, size * y) for step, y in enumerate(horizon)]
    if horizon.mean() < 0.85:
        draw.polygon([*line, (size, size), (0, size)], fill=to_colour(tree))
    for x, y, dx, dy, width in branches * size:
        ends = (x, y, x + 1.2 * (dx - size / 2), y + 1.2 * (dy - size / 2))
        draw.line(ends, fill=to_colour(tree), width=max(1, round(0.03 * width)))
    return image


def _wall(rng: np.random.Generator, size: int) -> Image.Image:
    """Plaster or bricks with windows."""
    base = _tint(rng, 0.15, 0.8, rng.uniform(-0.05, 0.3))
    image = _blend(noise(rng, size, 0.7), base * 0.75, np.minimum(base * 1.2, 1))
    draw = ImageDraw.Draw(image)
    if rng.random() < 0.4:
        rows, mortar = int(rng.integers(8, 20)), to_colour(base * rng.uniform(0.6, 1.2))
        for row in range(rows):
            y = size * row / rows
            draw.line((0, y, size, y), fill=mortar, width=max(1, size // 150))
            for column in range(rows // 2 + 1):
                x = size * (column + (row % 2) / 2) * 2 / rows
                draw.line((x, y, x, y + size / rows), fill=mortar, width=max(1, size // 150))
    for _ in range(rng.integers(0, 4)):
        left, top, width, height = rng.random(4) * (1, 1, 0.35, 0.5) * size
        frame, pane = _tint(rng, 0.3, 1.0), _tint(rng, 0.02, 0.5, -0.1)
        draw.rectangle((left, top, left + width, top + height), fill=to_colour(frame))
        edge = 0.12 * min(width, height)
        if edge > 1:
            box = (left + edge, top + edge, left + width - edge, top + height - edge)
            draw.rectangle(box, fill=to_colour(pane))
    return image


def _street(rng: np.random.Generator, size: int) -> Image.Image:
    """A jumble of houses, cars and road: overlapping quadrilaterals over soft noise."""
    dark, light = _tint(rng, 0.03, 0.2), _tint(rng, 0.2, 0.7, rng.uniform(-0.1, 0.2))
    image = _blend(noise(rng, size, 0.6), dark, light)
    draw = ImageDraw.Draw(image)
    for _ in range(rng.integers(3, 10)):
        x, y, width, height = rng.random(4) * (1.2, 1.2, 0.6, 0.6) * size - 0.1 * size
        slant = rng.normal(0, 0.04, 4) * size
        corners = [(x, y + slant[0]), (x + width, y + slant[1]), (x + width + slant[2], y + height)]
        bright = rng.random() < 0.2
        colour = _tint(rng, 0.6, 1.0) if bright else _tint(rng, 0.02, 0.5, rng.uniform(-0.1, 0.2), 0.15)
        draw.polygon([*corners, (x + slant[3], y + height)], fill=to_colour(colour))
    return image


def _haze(rng: np.random.Generator, size: int) -> Image.Image:
    """Nothing in particular: far, out of focus or foggy."""
    fog = noise(rng, size, rng.uniform(0.2, 0.6), cells=2)
    level = rng.uniform(0.05, 0.7)
    return _blend(fog, _tint(rng, level * 0.6, level), _tint(rng, level, level * 1.4))


BACKGROUNDS: dict[Callable[[np.random.Generator, int], Image.Image], float] = {
    _foliage: 0.46,
    _sky: 0.17,
    _wall: 0.13,
    _street: 0.16,
    _haze: 0.08,
}
