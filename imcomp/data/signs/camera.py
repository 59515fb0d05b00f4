"""How a camera sees a sign: place and view, light and exposure, blur, sensor."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from imcomp.data.signs.backgrounds import Floats, enlarge, noise, to_floats

#: Smallest and largest side of a picture in pixels, those of GTSRB.
MIN_SIZE, MAX_SIZE = 25, 243


@dataclass(frozen=True)
class Camera:
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


def approach(track: np.random.Generator, rng: np.random.Generator, progress: float, half_height: float) -> Camera:
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
    return Camera(width, height, scale, place @ tilt @ np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1.0]]))


def expose(track: np.random.Generator, rng: np.random.Generator, pixels: Floats, progress: float) -> Floats:
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
    leaves = noise(track, 48, 0.7, cells=3)

    x = np.linspace(-1, 1, width, dtype=np.float32)[None, :]
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    light = (1 + slope[0] * x) * (1 + slope[1] * y)
    if shadow:  # the edge of a house's shadow
        edge = (math.cos(angle) * x + math.sin(angle) * y - offset) * 8
        light = light * (depth + (1 - depth) * np.clip(0.5 + edge, 0, 1))
    if dapple:  # sun through leaves
        spots = enlarge(leaves, width, height)
        light = light * (depth + (1 - depth) * np.clip(2.5 * spots - 0.8, 0, 1))
    lit = pixels * light[..., None].astype(np.float32)
    lit = lit + np.float32(grey) * (lit.mean(axis=2, keepdims=True) - lit)
    lit = np.maximum(lit, 1e-3) ** np.float32(gamma) * cast.astype(np.float32)
    lit = lit + np.float32(veil) * (lit.mean() - lit) + np.float32(0.01)
    target = np.exp(level + swing * math.sin(phase + 6.3 * cycles * progress) + rng.normal(0, 0.05))
    target = min(target, 0.8)  # a brighter mean would drown the sign in white
    exposed: Floats = lit * np.float32(target / lit.mean())
    return exposed


def blur(track: np.random.Generator, rng: np.random.Generator, image: Image.Image) -> Image.Image:
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


def sense(track: np.random.Generator, rng: np.random.Generator, exposed: Floats) -> Image.Image:
    """Camera: clipping, Bayer pattern, sharpening, noise and 8 bits."""
    bayer, sharp = track.random(2) < (0.5, 0.7)
    amount, grain = track.uniform(0.3, 1.3), track.exponential(0.006)
    values: Floats = np.clip(exposed, 0, 1.15)
    if bayer:
        values = _demosaic(values)
    if sharp:
        image = Image.fromarray((np.clip(values, 0, 1) * 255).astype(np.uint8))
        percent = round(100 * amount)
        values = to_floats(image.filter(ImageFilter.UnsharpMask(1, percent, 0)))
    error = rng.standard_normal(values.shape, dtype=np.float32)
    # Shot noise grows with the root of the light.
    values = values + np.float32(0.002 + grain) * error * np.sqrt(0.15 + values.clip(0, 1), dtype=np.float32)
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
