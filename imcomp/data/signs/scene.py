"""One frame of an approach to a traffic sign."""

import math

import numpy as np
from PIL import Image

from imcomp.data.signs.backgrounds import BACKGROUNDS, to_colour, to_floats
from imcomp.data.signs.camera import approach, blur, expose, sense
from imcomp.data.signs.catalogue import SIGNS, Sign
from imcomp.data.signs.pen import PALETTE, Colour, Pen
from imcomp.data.signs.plates import blue_disc, red_ring, warning_triangle, yield_triangle

# What is drawn around the sign reaches this many half sign widths from its centre; a crop shows at most 1.7.
_REACH = 1.8
_KINDS = tuple(SIGNS)
_WEIGHTS = np.array([sign.weight for sign in SIGNS.values()])
_NEIGHBOURS = (red_ring, blue_disc, warning_triangle, yield_triangle)


def _paint_post(rng: np.random.Generator, sign: Sign, unit: float) -> Image.Image:
    """The sign, its pole and its neighbours in their plane, RGBA, ``unit`` pixels per half sign width."""
    side = math.ceil(2 * _REACH * unit)
    image = Image.new("RGBA", (side, side))
    light = np.exp(rng.normal(-0.32, 0.32)) * (1 + 0.04 * rng.standard_normal(3))
    fade = rng.beta(1.0, 4.5)  # sun bleaches colours towards a pale grey
    palette: dict[str, Colour] = {}
    for name, colour in PALETTE.items():
        pale = np.array(colour) * (1 - fade) + fade * (120 + 0.5 * np.array(colour)) + rng.normal(0, 4, 3)
        palette[name] = to_colour(np.clip(pale * light, 0, 255).astype(np.float32) / 255)
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


def render_sign(track_seed: int | tuple[int, ...], frame: int, frames: int, kind: str | None = None) -> Image.Image:
    """Renders one frame of an approach to a traffic sign.

    Args:
        track_seed: Names the track; non-negative integers. Equal seeds show the same sign in the same street.
        frame: Position in the track, 0 (far) to ``frames - 1`` (near).
        frames: Length of the track.
        kind: Name of a sign in ``imcomp.data.signs.catalogue.SIGNS``; None picks one as often as traffic shows it.

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
    camera = approach(sight, rng, progress, sign.height)

    # Everything is drawn on a canvas somewhat larger than the picture and shrunk, which smooths the edges.
    zoom = float(np.clip(2.2 * camera.width, 110, 300)) / camera.width
    canvas = round(zoom * camera.width), round(zoom * camera.height)
    paint = list(BACKGROUNDS)[int(street.choice(len(BACKGROUNDS), p=list(BACKGROUNDS.values())))]
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

    small = blur(air, rng, scene.resize((camera.width, camera.height), Image.Resampling.BOX))
    return sense(air, rng, expose(air, rng, to_floats(small), progress))
