"""Traffic signs rendered on the fly: the data set that needs no file and no download.

The pictures imitate the German Traffic Sign Recognition Benchmark (GTSRB): crops of 25 to 243 px around one
sign, often dark, blurred and low in contrast, that come in *tracks*: consecutive pictures of one physical
sign while a car approaches it. A track fixes what stands in the street (sign, fading, background, light); a
frame fixes how the camera saw it (size, view, exposure, blur, noise).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from imcomp.data.pictograms import (
    PALETTE,
    SIGNS,
    Colour,
    Pen,
    Sign,
    blue_disc,
    red_ring,
    warning_triangle,
    yield_triangle,
)

#: Smallest and largest side of a picture in pixels, those of GTSRB.
MIN_SIZE, MAX_SIZE = 25, 243

Floats = NDArray[np.float32]

# What is drawn around the sign reaches this many half sign widths from its centre; a crop shows at most 1.7.
_REACH = 1.8
_KINDS = tuple(SIGNS)
_WEIGHTS = np.array([sign.weight for sign in SIGNS.values()])
_NEIGHBOURS = (red_ring, blue_disc, warning_triangle, yield_triangle)


# What is behind the sign. How many random numbers a painter draws never depends on the size of its canvas, so
# that the frames of a track show the same scene at every resolution.


def _noise(rng: np.random.Generator, size: int, roughness: float, cells: int = 3) -> Floats:
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
            total += amplitude * _enlarge(grid, size, size)
    result: Floats = np.clip(0.5 + total / math.sqrt(power), 0, 1)
    return result


def _enlarge(grid: Floats, width: int, height: int) -> Floats:
    return np.asarray(Image.fromarray(grid).resize((width, height), Image.Resampling.BILINEAR))


def _blend(noise: Floats, dark: Floats, light: Floats) -> Image.Image:
    """Picture that runs from one colour (3 values in [0, 1]) to another with the noise."""
    return Image.fromarray((255 * (dark + noise[..., None] * (light - dark))).astype(np.uint8))


def _floats(image: Image.Image) -> Floats:
    scaled: Floats = np.asarray(image, np.float32) / np.float32(255)
    return scaled


def _tint(rng: np.random.Generator, low: float, high: float, warmth: float = 0.0, spread: float = 0.08) -> Floats:
    """Colour of a brightness between ``low`` and ``high``; positive warmth is brown, negative is blue."""
    level = rng.uniform(low, high)
    hue = 1 + spread * rng.standard_normal(3) + warmth * np.array([1.0, 0.2, -1.0])
    return np.clip(level * hue, 0, 1).astype(np.float32)


def _colour(values: Floats) -> Colour:
    red, green, blue = (int(255 * value) for value in values)
    return red, green, blue


def _foliage(rng: np.random.Generator, size: int) -> Image.Image:
    """Bushes and trees: rough, dark, sky shining through in places."""
    dark, light = _tint(rng, 0.02, 0.12, 0.1), _tint(rng, 0.15, 0.75, rng.uniform(-0.05, 0.35))
    contrast, roughness, cells = rng.uniform(1.0, 3.0), rng.uniform(0.65, 1.2), int(rng.integers(2, 7))
    return _blend(_noise(rng, size, roughness, cells) ** contrast, dark, light)


def _sky(rng: np.random.Generator, size: int) -> Image.Image:
    """Sky, often with branches, or with a dark tree line at the bottom."""
    top = _tint(rng, 0.45, 0.95, rng.uniform(-0.3, 0.02))
    bottom = _tint(rng, 0.6, 1.0, rng.uniform(-0.15, 0.05))
    cloud, tree = _noise(rng, size, 0.5, cells=2), _tint(rng, 0.03, 0.2, 0.1)
    horizon = rng.uniform(0.35, 1.0) + 0.06 * rng.standard_normal(12)
    branches = rng.random((int(rng.integers(0, 14)) if rng.random() < 0.5 else 0, 5))
    ramp = np.linspace(-0.4, 0.4, size, dtype=np.float32)[:, None]
    image = _blend(np.clip(cloud + ramp, 0, 1), top, bottom)
    draw = ImageDraw.Draw(image)
    line = [(size * step / 11, size * y) for step, y in enumerate(horizon)]
    if horizon.mean() < 0.85:
        draw.polygon([*line, (size, size), (0, size)], fill=_colour(tree))
    for x, y, dx, dy, width in branches * size:
        ends = (x, y, x + 1.2 * (dx - size / 2), y + 1.2 * (dy - size / 2))
        draw.line(ends, fill=_colour(tree), width=max(1, round(0.03 * width)))
    return image


def _wall(rng: np.random.Generator, size: int) -> Image.Image:
    """Plaster or bricks with windows."""
    base = _tint(rng, 0.15, 0.8, rng.uniform(-0.05, 0.3))
    image = _blend(_noise(rng, size, 0.7), base * 0.75, np.minimum(base * 1.2, 1))
    draw = ImageDraw.Draw(image)
    if rng.random() < 0.4:
        rows, mortar = int(rng.integers(8, 20)), _colour(base * rng.uniform(0.6, 1.2))
        for row in range(rows):
            y = size * row / rows
            draw.line((0, y, size, y), fill=mortar, width=max(1, size // 150))
            for column in range(rows // 2 + 1):
                x = size * (column + (row % 2) / 2) * 2 / rows
                draw.line((x, y, x, y + size / rows), fill=mortar, width=max(1, size // 150))
    for _ in range(rng.integers(0, 4)):
        left, top, width, height = rng.random(4) * (1, 1, 0.35, 0.5) * size
        frame, pane = _tint(rng, 0.3, 1.0), _tint(rng, 0.02, 0.5, -0.1)
        draw.rectangle((left, top, left + width, top + height), fill=_colour(frame))
        edge = 0.12 * min(width, height)
        if edge > 1:
            box = (left + edge, top + edge, left + width - edge, top + height - edge)
            draw.rectangle(box, fill=_colour(pane))
    return image


def _street(rng: np.random.Generator, size: int) -> Image.Image:
    """A jumble of houses, cars and road: overlapping quadrilaterals over soft noise."""
    dark, light = _tint(rng, 0.03, 0.2), _tint(rng, 0.2, 0.7, rng.uniform(-0.1, 0.2))
    image = _blend(_noise(rng, size, 0.6), dark, light)
    draw = ImageDraw.Draw(image)
    for _ in range(rng.integers(3, 10)):
        x, y, width, height = rng.random(4) * (1.2, 1.2, 0.6, 0.6) * size - 0.1 * size
        slant = rng.normal(0, 0.04, 4) * size
        corners = [(x, y + slant[0]), (x + width, y + slant[1]), (x + width + slant[2], y + height)]
        bright = rng.random() < 0.2
        colour = _tint(rng, 0.6, 1.0) if bright else _tint(rng, 0.02, 0.5, rng.uniform(-0.1, 0.2), 0.15)
        draw.polygon([*corners, (x + slant[3], y + height)], fill=_colour(colour))
    return image


def _haze(rng: np.random.Generator, size: int) -> Image.Image:
    """Nothing in particular: far, out of focus or foggy."""
    noise = _noise(rng, size, rng.uniform(0.2, 0.6), cells=2)
    level = rng.uniform(0.05, 0.7)
    return _blend(noise, _tint(rng, level * 0.6, level), _tint(rng, level, level * 1.4))


_BACKGROUNDS: dict[Callable[[np.random.Generator, int], Image.Image], float] = {
    _foliage: 0.46,
    _sky: 0.17,
    _wall: 0.13,
    _street: 0.16,
    _haze: 0.08,
}


@dataclass(frozen=True)
class _Camera:
    """How one frame saw the scene.

    Attributes:
        width: Width of the picture in pixels.
        height: Height of the picture in pixels.
        scale: Pixels of the picture per half sign width.
        matrix: Homography (3, 3) from the sign's plane to the pixels of the picture.
    """

    width: int
    height: int
    scale: float
    matrix: NDArray[np.float64]


def _approach(track: np.random.Generator, rng: np.random.Generator, progress: float, half_height: float) -> _Camera:
    """Places the camera: the nearer, the larger the sign and the more it is seen from the side."""
    first = np.clip(np.exp(track.normal(math.log(31), 0.16)), MIN_SIZE, 60)
    last = np.clip(np.exp(track.normal(math.log(80), 0.48)), first + 5, MAX_SIZE)
    yaw, pitch, roll, side = track.normal(0, (0.2, 0.08, 0.05, 0.12))
    # The distance shrinks steadily, and the size is its inverse.
    size = 1 / ((1 - progress) / first + progress / last) * np.exp(rng.normal(0, 0.03))
    yaw, pitch, roll = np.array([yaw + side * progress, pitch, roll]) + rng.normal(0, (0.03, 0.03, 0.02))

    cy, sy, cp, sp = math.cos(yaw), math.sin(yaw), math.cos(pitch), math.sin(pitch)
    depth = 6.0
    tilt = np.array([[cy, 0, 0], [sy * sp, cp, 0], [-sy * cp / depth, sp / depth, 1]])
    corners = tilt @ np.array([(x, y, 1) for x in (-1, 1) for y in (-half_height, half_height)]).T
    corners = corners[:2] / corners[2]
    extent = np.ptp(corners, axis=1)
    centre = (corners.max(axis=1) + corners.min(axis=1)) / 2

    # GTSRB's crops leave a tenth of the size, at least 5 px, on every side of the sign.
    width = int(np.clip(round(size), MIN_SIZE, MAX_SIZE))
    margin = max(0.1 * width, 5.0) * np.exp(rng.normal(0, 0.12))
    scale = (width - 2 * margin) / extent[0]
    height = int(np.clip(round(scale * extent[1] + 2 * margin), MIN_SIZE, MAX_SIZE))
    shift = np.array([width, height]) * (0.5 + rng.normal(0, 0.012, 2)) - scale * centre
    place = np.array([[scale, 0, shift[0]], [0, scale, shift[1]], [0, 0, 1.0]])
    cr, sr = math.cos(roll), math.sin(roll)
    return _Camera(width, height, scale, place @ tilt @ np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1.0]]))


def _paint_post(rng: np.random.Generator, sign: Sign, unit: float) -> Image.Image:
    """The sign, its pole and its neighbours in their plane, RGBA, ``unit`` pixels per half sign width."""
    side = math.ceil(2 * _REACH * unit)
    image = Image.new("RGBA", (side, side))
    light = np.exp(rng.normal(-0.32, 0.32)) * (1 + 0.04 * rng.standard_normal(3))
    fade = rng.beta(1.0, 4.5)  # sun bleaches colours towards a pale grey
    palette: dict[str, Colour] = {}
    for name, colour in PALETTE.items():
        pale = np.array(colour) * (1 - fade) + fade * (120 + 0.5 * np.array(colour)) + rng.normal(0, 4, 3)
        palette[name] = _colour(np.clip(pale * light, 0, 255).astype(np.float32) / 255)
    pen = Pen(image, unit, palette, bold=float(np.clip(rng.normal(1.0, 0.1), 0.75, 1.25)))

    pole, above, plate, stacked, board = rng.random(5) < (0.8, 0.3, 0.3, 0.18, 0.05)
    half = rng.uniform(0.05, 0.13)
    if pole:
        pen.rectangle(-half, -_REACH if above else 0, half, _REACH, "grey")
        pen.rectangle(-half, -_REACH if above else 0, -half * 0.4, _REACH, "black")
    gap = sign.height + rng.uniform(0.04, 0.2)
    if plate:
        wide, low = rng.uniform(0.5, 1.0), gap + rng.uniform(0.3, 0.8)
        pen.rectangle(-wide, gap, wide, low, "black")
        pen.rectangle(-wide + 0.04, gap + 0.04, wide - 0.04, low - 0.04, "white")
        pen.text(str(rng.integers(100, 9999)) + " m", 0, (gap + low) / 2, wide, 0.5 * (low - gap), "black")
    if stacked:
        towards = 1 if not plate and rng.random() < 0.5 else -1
        _NEIGHBOURS[int(rng.integers(len(_NEIGHBOURS)))](pen.at(0, towards * (gap + 0.95)))
    if board:
        pen.rectangle(-1.25, -1.25, 1.25, 1.25, "white" if rng.random() < 0.7 else "yellow")
    sign.draw(pen)
    if rng.random() < 0.06:  # stickers and dirt
        for x, y, size in rng.uniform(-0.7, 0.7, (int(rng.integers(1, 4)), 3)):
            pen.disc(x, y, 0.03 + 0.15 * abs(size), "black" if size > 0 else "grey")
    return image


def _expose(track: np.random.Generator, rng: np.random.Generator, pixels: Floats, progress: float) -> Floats:
    """Light and exposure: shading, colour cast, veil, gamma, and the brightness the camera settled for.

    Args:
        track: Draws what stays the same along the track.
        rng: Draws what differs from frame to frame.
        pixels: Array (height, width, 3) in [0, 1].
        progress: Position in the track, 0 = first frame, 1 = last.

    Returns:
        Array of the same shape; values above 1 are overexposed.
    """
    height, width = pixels.shape[:2]
    level, swing, phase, cycles = track.normal(math.log(0.285), 0.6), *track.uniform(0, (0.5, 6.3, 1.5))
    veil, gamma = 0.45 * track.beta(0.6, 6), np.exp(track.normal(0, 0.15))
    cast, grey = 1 + track.normal(0, 0.05, 3) * (1, 0.4, 1), track.uniform(0.0, 0.5)
    slope = track.normal(0, 0.12, 2)
    shadow, dapple = track.random(2) < (0.08, 0.05)
    angle, offset, depth = track.uniform((0, -0.4, 0.3), (6.3, 0.4, 0.8))
    leaves = _noise(track, 48, 0.7, cells=3)

    x = np.linspace(-1, 1, width, dtype=np.float32)[None, :]
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    light = (1 + slope[0] * x) * (1 + slope[1] * y)
    if shadow:  # the edge of a house's shadow
        edge = (math.cos(angle) * x + math.sin(angle) * y - offset) * 8
        light = light * (depth + (1 - depth) * np.clip(0.5 + edge, 0, 1))
    if dapple:  # sun through leaves
        spots = _enlarge(leaves, width, height)
        light = light * (depth + (1 - depth) * np.clip(2.5 * spots - 0.8, 0, 1))
    lit = pixels * light[..., None].astype(np.float32)
    lit = lit + np.float32(grey) * (lit.mean(axis=2, keepdims=True) - lit)
    lit = np.maximum(lit, 1e-3) ** np.float32(gamma) * cast.astype(np.float32)
    lit = lit + np.float32(veil) * (lit.mean() - lit) + np.float32(0.01)
    target = np.exp(level + swing * math.sin(phase + 6.3 * cycles * progress) + rng.normal(0, 0.05))
    target = min(target, 0.8)  # a brighter mean would drown the sign in white
    exposed: Floats = lit * np.float32(target / lit.mean())
    return exposed


def _blur(track: np.random.Generator, rng: np.random.Generator, image: Image.Image) -> Image.Image:
    """Lens and motion blur, in pixels of the picture; a track is about equally sharp in all its frames."""
    usual = track.normal(math.log(0.36), 0.55)
    sigma = float(np.clip(np.exp(usual + rng.normal(0, 0.3)), 0.1, 1.8))
    shake = 0.35 if track.random() < 0.5 else 0.1
    image = image.filter(ImageFilter.GaussianBlur(sigma))
    length, angle, moving = rng.gamma(1.5, 1.0), rng.uniform(0, math.pi), rng.random() < shake
    if moving and length > 0.5:
        # The edge continues, or the shifts would draw a dark frame around the picture.
        pad = math.ceil(length / 2)
        width, height = image.size
        image = Image.fromarray(np.pad(np.asarray(image), ((pad, pad), (pad, pad), (0, 0)), mode="edge"))
        blurred = image
        for count, t in enumerate(np.linspace(-0.5, 0.5, 6)):
            shift = (1, 0, length * t * math.cos(angle), 0, 1, length * t * math.sin(angle))
            moved = image.transform(image.size, Image.Transform.AFFINE, shift, Image.Resampling.BILINEAR)
            blurred = Image.blend(blurred, moved, 1 / (count + 1))  # the running mean; the first weight is 1
        image = blurred.crop((pad, pad, pad + width, pad + height))
    return image


def _sense(track: np.random.Generator, rng: np.random.Generator, exposed: Floats) -> Image.Image:
    """Camera: clipping, Bayer pattern, sharpening, noise and 8 bits."""
    bayer, sharp = track.random(2) < (0.5, 0.7)
    amount, grain = track.uniform(0.3, 1.3), track.exponential(0.006)
    values: Floats = np.clip(exposed, 0, 1.15)
    if bayer:
        values = _demosaic(values)
    if sharp:
        image = Image.fromarray((np.clip(values, 0, 1) * 255).astype(np.uint8))
        percent = round(100 * amount)
        values = _floats(image.filter(ImageFilter.UnsharpMask(1, percent, 0)))
    noise = rng.standard_normal(values.shape, dtype=np.float32)
    # Shot noise grows with the root of the light.
    values = values + np.float32(0.002 + grain) * noise * np.sqrt(0.15 + values.clip(0, 1), dtype=np.float32)
    return Image.fromarray((np.clip(values, 0, 1) * 255 + 0.5).astype(np.uint8))


def _demosaic(values: Floats) -> Floats:
    """Keeps one colour per pixel (RGGB) and interpolates the others: a cheap camera's zigzags."""
    height, width = values.shape[:2]
    known = np.zeros((height, width, 3), np.float32)
    known[0::2, 0::2, 0] = known[0::2, 1::2, 1] = known[1::2, 0::2, 1] = known[1::2, 1::2, 2] = 1
    sums = np.pad(np.concatenate([values * known, known], axis=2), ((1, 1), (1, 1), (0, 0)), mode="edge")
    sums = sums[:-2] + 2 * sums[1:-1] + sums[2:]
    sums = sums[:, :-2] + 2 * sums[:, 1:-1] + sums[:, 2:]
    interpolated: Floats = np.where(known > 0, values, sums[..., :3] / np.maximum(sums[..., 3:], 1e-6))
    return interpolated


def render_sign(track_seed: int | tuple[int, ...], frame: int, frames: int, kind: str | None = None) -> Image.Image:
    """Renders one frame of an approach to a traffic sign.

    Args:
        track_seed: Names the track; non-negative integers. Equal seeds show the same sign in the same street.
        frame: Position in the track, 0 (far) to ``frames - 1`` (near).
        frames: Length of the track.
        kind: Name of a sign in ``imcomp.data.pictograms.SIGNS``; None picks one as often as traffic shows it.

    Returns:
        RGB picture of 25 to 243 px per side, a pure function of the arguments.

    Raises:
        ValueError: If ``frame`` is outside the track, or ``kind`` is not a known sign.
    """
    if not 0 <= frame < frames:
        raise ValueError(f"frame {frame} of a track of {frames}; pass 0 to frames - 1")
    if kind is not None and kind not in SIGNS:
        raise ValueError(f"unknown kind of sign {kind!r}; choose from {', '.join(SIGNS)}")
    seed = (track_seed,) if isinstance(track_seed, int) else tuple(track_seed)
    # One stream per concern and frame: how many numbers a painter draws must not shift what others draw.
    street, sight, air = (np.random.default_rng([*seed, concern]) for concern in (1, 2, 3))
    rng = np.random.default_rng([*seed, 4, frame + 1])
    progress = frame / (frames - 1) if frames > 1 else float(sight.random())

    drawn = _KINDS[int(street.choice(len(_KINDS), p=_WEIGHTS / _WEIGHTS.sum()))]
    sign = SIGNS[kind or drawn]
    camera = _approach(sight, rng, progress, sign.height)

    # Everything is drawn on a canvas somewhat larger than the picture and shrunk, which smooths the edges.
    zoom = float(np.clip(2.2 * camera.width, 110, 300)) / camera.width
    canvas = round(zoom * camera.width), round(zoom * camera.height)
    paint = list(_BACKGROUNDS)[int(street.choice(len(_BACKGROUNDS), p=list(_BACKGROUNDS.values())))]
    world = paint(street, round(0.9 * max(canvas)))
    # The far background grows more slowly than the sign, so that a near frame shows less of it.
    seen = world.width * (0.95 - 0.35 * progress) * rng.uniform(0.95, 1)
    left, top = (world.width - seen) * np.clip(0.5 + rng.normal(0, 0.15, 2), 0, 1)
    scene = world.resize(canvas, Image.Resampling.BILINEAR, box=(left, top, left + seen, top + seen))

    post = _paint_post(street, sign, zoom * camera.scale)
    centre, unit = post.width / 2, zoom * camera.scale
    layer = np.array([[unit, 0, centre], [0, unit, centre], [0, 0, 1]])
    back = layer @ np.linalg.inv(np.diag([zoom, zoom, 1]) @ camera.matrix)
    coefficients = (back / back[2, 2]).ravel()[:8].tolist()
    post = post.transform(canvas, Image.Transform.PERSPECTIVE, coefficients, Image.Resampling.BILINEAR)
    scene.paste(post, mask=post)

    small = _blur(air, rng, scene.resize((camera.width, camera.height), Image.Resampling.BOX))
    return _sense(air, rng, _expose(air, rng, _floats(small), progress))


class SyntheticSource:
    """Pictures of traffic signs, rendered when they are read.

    Picture ``index`` is frame ``index % frames_per_track`` of track ``index // frames_per_track``. It depends
    on nothing but the arguments and the index, so that every process and every order of reading sees the same
    pictures. (Other versions of Pillow or NumPy may round a few pixels differently.)

    Args:
        count: Number of pictures.
        seed: Names the data set; other seeds hold other signs.
        frames_per_track: Consecutive pictures of one physical sign.

    Raises:
        ValueError: If ``count`` or ``frames_per_track`` is below 1, or ``seed`` is negative.
    """

    def __init__(self, count: int, seed: int = 0, frames_per_track: int = 30) -> None:
        if count < 1:
            raise ValueError(f"count is {count}; a synthetic source needs at least 1 picture")
        if frames_per_track < 1:
            raise ValueError(f"frames_per_track is {frames_per_track}; pass 1 (all signs differ) or more")
        if seed < 0:
            raise ValueError(f"seed is {seed}; pass 0 or a positive integer")
        self.count = count
        self.seed = seed
        self.frames_per_track = frames_per_track

    def __len__(self) -> int:
        return self.count

    def _locate(self, index: int) -> tuple[int, int]:
        if not 0 <= index < self.count:
            raise IndexError(f"picture {index} of a synthetic source that holds 0 to {self.count - 1}")
        return divmod(index, self.frames_per_track)

    def read(self, index: int) -> Image.Image:
        """Renders picture ``index``: RGB, 25 to 243 px per side."""
        track, frame = self._locate(index)
        return render_sign((self.seed, track), frame, self.frames_per_track)

    def name(self, index: int) -> str:
        """Track and frame, such as ``00003_00017``; unique in the source."""
        track, frame = self._locate(index)
        return f"{track:05d}_{frame:05d}"

    def group(self, index: int) -> str:
        """The track, such as ``00003``; a split must not cut through it."""
        return f"{self._locate(index)[0]:05d}"
