"""Faces of traffic signs, drawn with a pen whose unit is half the width of the sign.

Coordinates run from -1 to 1, x to the right and y down, with the sign's bounding box centred on (0, 0).
Shapes follow the German catalogue (VzKat) closely enough for a network to learn what continues under a hole;
they are not meant for print.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, partial
from typing import NamedTuple

from PIL import Image, ImageDraw, ImageFont

Colour = tuple[int, int, int]
Point = tuple[float, float]

#: Half the height of a triangular sign whose half width is 1.
TRIANGLE_HEIGHT = 0.88

PALETTE: dict[str, Colour] = {
    "red": (190, 28, 32),
    "blue": (22, 74, 160),
    "yellow": (240, 175, 30),
    "green": (30, 140, 80),
    "white": (235, 235, 232),
    "grey": (150, 152, 154),
    "black": (24, 24, 26),
}


@lru_cache(maxsize=64)
def _text_mask(text: str, stroke: int) -> Image.Image:
    """Tight mask (mode L) of a text in Pillow's own font, 64 px high before cropping."""
    font = ImageFont.load_default(64)
    left, top, right, bottom = (int(edge) for edge in font.getbbox(text, stroke_width=stroke))
    mask = Image.new("L", (right - left, bottom - top))
    ImageDraw.Draw(mask).text((-left, -top), text, fill=255, font=font, stroke_width=stroke)
    return mask


class Pen:
    """Draws on an RGBA picture in the units of a sign.

    Args:
        image: The picture to draw on, mode RGBA; (0, 0) of the pen is its centre.
        unit: Pixels per unit.
        palette: Colours by name; the light on the sign and its fading are already in them.
        bold: Thickness of strokes and letters relative to the catalogue, about 0.8 to 1.2.
    """

    def __init__(
        self, image: Image.Image, unit: float, palette: Mapping[str, Colour] = PALETTE, bold: float = 1.0
    ) -> None:
        self.image = image
        self.unit = unit
        self.palette = palette
        self.bold = bold
        self.origin = (image.width / 2, image.height / 2)
        self._draw = ImageDraw.Draw(image)

    def at(self, x: float, y: float, scale: float = 1.0) -> Pen:
        """A pen on the same picture whose origin is (x, y) and whose unit is ``scale`` times this one."""
        pen = Pen(self.image, self.unit * scale, self.palette, self.bold)
        pen.origin = self._pixel((x, y))
        return pen

    def _pixel(self, point: Point) -> Point:
        return self.origin[0] + point[0] * self.unit, self.origin[1] + point[1] * self.unit

    def polygon(self, points: Sequence[Point], colour: str, corner: float = 0.0) -> None:
        """Filled polygon, grown by ``corner`` on all sides with round corners of that radius."""
        pixels = [self._pixel(point) for point in points]
        fill = self.palette[colour]
        self._draw.polygon(pixels, fill=fill)
        if corner:
            width = max(1, round(2 * corner * self.unit))
            self._draw.line([*pixels, pixels[0], pixels[1]], fill=fill, width=width, joint="curve")

    def rectangle(self, left: float, top: float, right: float, bottom: float, colour: str) -> None:
        """Filled upright rectangle."""
        box = (*self._pixel((left, top)), *self._pixel((right, bottom)))
        self._draw.rectangle(box, fill=self.palette[colour])

    def disc(self, x: float, y: float, radius: float, colour: str) -> None:
        """Filled circle."""
        box = (*self._pixel((x - radius, y - radius)), *self._pixel((x + radius, y + radius)))
        self._draw.ellipse(box, fill=self.palette[colour])

    def arc(self, x: float, y: float, radius: float, start: float, end: float, width: float, colour: str) -> None:
        """Part of a circle's rim, clockwise from ``start`` to ``end`` in degrees, 0 = right."""
        outer = radius + width / 2
        box = (*self._pixel((x - outer, y - outer)), *self._pixel((x + outer, y + outer)))
        self._draw.arc(box, start, end, fill=self.palette[colour], width=max(1, round(width * self.unit)))

    def line(self, points: Sequence[Point], width: float, colour: str) -> None:
        """Polyline with round joints and flat ends."""
        pixels = [self._pixel(point) for point in points]
        pixel_width = max(1, round(width * self.bold * self.unit))
        self._draw.line(pixels, fill=self.palette[colour], width=pixel_width, joint="curve")

    def arrow(self, points: Sequence[Point], width: float, colour: str, head: float = 2.6) -> None:
        """Polyline that ends in an arrow head; ``head`` is its breadth in line widths."""
        (x0, y0), (x1, y1) = points[-2:]
        length = math.hypot(x1 - x0, y1 - y0)
        dx, dy = (x1 - x0) / length, (y1 - y0) / length
        half, depth = head * width / 2, head * width * 0.62
        x, y = x1 - dx * depth, y1 - dy * depth
        self.line([*points[:-1], (x, y)], width, colour)
        self.polygon([(x1, y1), (x - dy * half, y + dx * half), (x + dy * half, y - dx * half)], colour)

    def text(self, text: str, x: float, y: float, width: float, height: float, colour: str) -> None:
        """Text squeezed into a box of that width and height around (x, y)."""
        mask = _text_mask(text, round(2.5 * self.bold))
        size = max(1, round(width * self.unit)), max(1, round(height * self.unit))
        left, top = self._pixel((x - width / 2, y - height / 2))
        squeezed = mask.resize(size, Image.Resampling.BILINEAR)
        self.image.paste(self.palette[colour], (round(left), round(top)), squeezed)


Drawing = Callable[[Pen], None]


# Plates: the outline of a sign without its pictogram.


def red_ring(pen: Pen) -> None:
    """Round prohibition sign."""
    pen.disc(0, 0, 1.0, "white")
    pen.disc(0, 0, 0.97, "red")
    pen.disc(0, 0, 0.97 - 0.23 * pen.bold, "white")


def blue_disc(pen: Pen) -> None:
    """Round mandatory sign."""
    pen.disc(0, 0, 1.0, "white")
    pen.disc(0, 0, 0.95, "blue")


def warning_triangle(pen: Pen) -> None:
    """Triangle that points up."""
    _triangle(pen, -1)


def yield_triangle(pen: Pen) -> None:
    """Triangle that points down."""
    _triangle(pen, 1)


def _triangle(pen: Pen, tip: int) -> None:
    # The inner triangle is the outer one shrunk about its incentre, which keeps the rim equally wide.
    centre, height = -tip * 0.3, TRIANGLE_HEIGHT
    for colour, scale in (("white", 0.9), ("red", 0.87), ("white", 0.87 - 0.26 * pen.bold)):
        corners = [(0.0, tip * height), (1.0, -tip * height), (-1.0, -tip * height)]
        shrunk = [(x * scale, centre + (y - centre) * scale) for x, y in corners]
        pen.polygon(shrunk, colour, corner=0.06 if scale > 0.8 else 0.02)


def diamond(pen: Pen) -> None:
    """Priority road."""
    for colour, radius in (("white", 0.95), ("black", 0.91), ("white", 0.89), ("yellow", 0.56)):
        pen.polygon([(0, -radius), (radius, 0), (0, radius), (-radius, 0)], colour, corner=0.04)


def octagon(pen: Pen) -> None:
    """Stop sign without its word."""
    for colour, radius in (("white", 1.08), ("red", 1.02)):
        angles = [math.radians(22.5 + 45 * corner) for corner in range(8)]
        pen.polygon([(radius * math.cos(a), radius * math.sin(a)) for a in angles], colour)


def white_disc(pen: Pen) -> None:
    """Round plate of the signs that end a restriction."""
    pen.disc(0, 0, 1.0, "black")
    pen.disc(0, 0, 0.97, "white")


def blue_square(pen: Pen) -> None:
    """Square information sign."""
    pen.polygon([(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)], "white", corner=0.08)
    pen.polygon([(-0.86, -0.86), (0.86, -0.86), (0.86, 0.86), (-0.86, 0.86)], "blue", corner=0.08)


# Pictograms: drawn inside about [-1, 1] x [-1, 1].


def exclamation(pen: Pen) -> None:
    """Danger."""
    pen.polygon([(-0.14, -1.0), (0.14, -1.0), (0.09, 0.42), (-0.09, 0.42)], "black", corner=0.06 * pen.bold)
    pen.disc(0, 0.78, 0.19 * pen.bold, "black")


def curve(pen: Pen, side: int) -> None:
    """Bend to the left (``side`` -1) or right (1)."""
    foot = -side * 0.35
    pen.line([(foot, 0.95), (foot, 0.1), (-side * 0.2, -0.25), (side * 0.15, -0.38)], 0.36, "black")
    pen.polygon([(side * 0.1, -0.85), (side * 0.75, -0.3), (side * 0.1, 0.1)], "black")


def double_curve(pen: Pen, side: int = -1) -> None:
    """Two bends, the first to ``side``."""
    foot, bend = -side * 0.05, -side * 0.3
    pen.line([(foot, 0.95), (foot, 0.5), (side * 0.35, -0.05), (bend, -0.05)], 0.3, "black")
    pen.arrow([(bend, 0.0), (foot, -0.35), (foot, -1.0)], 0.28, "black")


def crossroads(pen: Pen) -> None:
    """Junction where the right has priority."""
    pen.line([(-0.65, -0.6), (0.65, 0.7)], 0.36, "black")
    pen.line([(0.65, -0.6), (-0.65, 0.7)], 0.36, "black")


def right_of_way(pen: Pen) -> None:
    """Priority at the next junction: a thick arrow across a thin road."""
    pen.line([(-0.85, 0.1), (0.85, 0.1)], 0.24, "black")
    pen.arrow([(0, 0.9), (0, -1.15)], 0.4, "black", head=2.2)


def walker(pen: Pen, colour: str = "black") -> None:
    """A person who walks."""
    pen.disc(0.02, -0.85, 0.19, colour)
    pen.polygon([(-0.2, -0.6), (0.18, -0.6), (0.14, 0.15), (-0.16, 0.15)], colour)
    pen.line([(0.05, 0.05), (0.22, 0.5), (0.4, 0.95)], 0.19, colour)
    pen.line([(-0.05, 0.05), (-0.15, 0.5), (-0.42, 0.9)], 0.19, colour)
    pen.line([(-0.12, -0.5), (-0.42, -0.1), (-0.36, 0.1)], 0.13, colour)
    pen.line([(0.12, -0.5), (0.4, -0.15), (0.55, -0.1)], 0.13, colour)


def pedestrians(pen: Pen) -> None:
    """A person on a crossing."""
    walker(pen.at(0, -0.1, 0.95))
    for x in (-0.8, -0.3, 0.3, 0.8):
        pen.line([(x, 0.78), (x * 1.15, 1.05)], 0.12, "black")


def children(pen: Pen) -> None:
    """Two children who run."""
    walker(pen.at(-0.45, 0.22, 0.7))
    walker(pen.at(0.4, -0.02, 0.92))


def roadworks(pen: Pen) -> None:
    """A worker with a shovel beside a heap."""
    pen.disc(-0.12, -0.78, 0.18, "black")
    pen.line([(-0.12, -0.5), (-0.32, 0.05), (-0.62, 0.9)], 0.28, "black")
    pen.line([(-0.32, 0.05), (-0.05, 0.42), (-0.1, 0.9)], 0.2, "black")
    pen.line([(-0.12, -0.42), (0.2, -0.05)], 0.16, "black")
    pen.line([(-0.45, -0.05), (0.62, 0.45)], 0.1, "black")
    pen.polygon([(0.1, 0.9), (0.55, 0.25), (0.75, 0.3), (1.1, 0.9)], "black")


def bicycle(pen: Pen) -> None:
    """A bicycle from its side."""
    for x in (-0.58, 0.58):
        pen.arc(x, 0.3, 0.4, 0, 360, 0.11 * pen.bold, "black")
    pen.line([(-0.58, 0.3), (-0.28, -0.3), (0.38, -0.3), (0.0, 0.3), (-0.58, 0.3)], 0.1, "black")
    pen.line([(-0.34, -0.45), (0.0, 0.3)], 0.1, "black")
    pen.line([(0.58, 0.3), (0.32, -0.55), (0.55, -0.62)], 0.1, "black")
    pen.line([(-0.5, -0.47), (-0.18, -0.47)], 0.12, "black")


def snowflake(pen: Pen) -> None:
    """Ice or snow."""
    for degrees in range(0, 360, 60):
        x, y = math.sin(math.radians(degrees)), math.cos(math.radians(degrees))
        pen.line([(0, 0), (0.9 * x, 0.9 * y)], 0.13, "black")
        for turn in (-40, 40):
            branch = math.radians(degrees + turn)
            tip = (0.5 * x + 0.36 * math.sin(branch), 0.5 * y + 0.36 * math.cos(branch))
            pen.line([(0.5 * x, 0.5 * y), tip], 0.12, "black")


def deer(pen: Pen) -> None:
    """A deer that leaps to the left."""
    body = [(-0.75, -0.5), (-0.5, -0.62), (-0.25, -0.2), (0.5, 0.05), (0.72, 0.25), (0.45, 0.42), (-0.3, 0.2)]
    pen.polygon([*body, (-0.5, -0.3), (-0.72, -0.36)], "black", corner=0.05)
    pen.line([(-0.3, 0.1), (-0.62, 0.4), (-0.9, 0.35)], 0.11, "black")
    pen.line([(-0.2, 0.15), (-0.45, 0.62), (-0.7, 0.7)], 0.11, "black")
    pen.line([(0.5, 0.3), (0.72, 0.62), (0.98, 0.8)], 0.12, "black")
    pen.line([(0.4, 0.3), (0.5, 0.65), (0.78, 0.92)], 0.12, "black")
    pen.line([(-0.55, -0.55), (-0.4, -0.95), (-0.6, -1.1)], 0.07, "black")
    pen.line([(-0.52, -0.55), (-0.25, -0.8), (-0.22, -1.05)], 0.07, "black")


def traffic_light(pen: Pen) -> None:
    """Three lamps."""
    pen.polygon([(-0.2, -0.92), (0.2, -0.92), (0.2, 0.86), (-0.2, 0.86)], "black", corner=0.12)
    for y, colour in ((-0.66, "red"), (-0.03, "yellow"), (0.6, "green")):
        pen.disc(0, y, 0.23, colour)


def bumps(pen: Pen) -> None:
    """Uneven road."""
    humps = [(0.1 * step, 0.62 - 0.5 * abs(math.sin(math.pi * step / 9)) ** 1.5) for step in range(-9, 10)]
    pen.polygon([(-1.0, 0.85), (-1.0, 0.66), *humps, (1.0, 0.66), (1.0, 0.85)], "black")


def narrowing(pen: Pen) -> None:
    """The road narrows from the right."""
    pen.line([(-0.38, 0.95), (-0.38, -0.95)], 0.18, "black")
    pen.line([(0.55, 0.95), (0.55, 0.4), (0.15, -0.2), (0.15, -0.95)], 0.18, "black")


def car(pen: Pen, colour: str = "black") -> None:
    """A car from behind."""
    pen.polygon([(-0.8, -0.05), (-0.55, -0.6), (0.55, -0.6), (0.8, -0.05)], colour, corner=0.06)
    pen.polygon([(-0.55, -0.1), (-0.42, -0.42), (0.42, -0.42), (0.55, -0.1)], "white")
    pen.polygon([(-0.9, 0.0), (0.9, 0.0), (0.9, 0.35), (-0.9, 0.35)], colour, corner=0.08)
    pen.rectangle(-0.85, 0.3, -0.5, 0.68, colour)
    pen.rectangle(0.5, 0.3, 0.85, 0.68, colour)


def truck_behind(pen: Pen, colour: str) -> None:
    """A lorry from behind."""
    pen.rectangle(-0.95, -1.1, 0.95, 0.3, colour)
    pen.rectangle(-0.95, 0.38, 0.95, 0.5, colour)
    pen.rectangle(-0.85, 0.4, -0.45, 0.8, colour)
    pen.rectangle(0.45, 0.4, 0.85, 0.8, colour)


def truck(pen: Pen) -> None:
    """A lorry from its side, driving to the left."""
    pen.rectangle(-0.28, -0.55, 1.0, 0.22, "black")
    pen.polygon([(-1.0, 0.36), (-1.0, 0.0), (-0.72, -0.3), (-0.36, -0.3), (-0.36, 0.36)], "black")
    pen.polygon([(-0.86, -0.02), (-0.68, -0.2), (-0.5, -0.2), (-0.5, -0.02)], "white")
    pen.rectangle(-1.0, 0.22, 1.0, 0.34, "black")
    for x in (-0.68, 0.4, 0.74):
        pen.disc(x, 0.4, 0.19, "black")


def slippery(pen: Pen) -> None:
    """A car that skids."""
    car(pen.at(-0.02, -0.42, 0.62))
    for x in (-0.42, 0.28):
        pen.line([(x + 0.2, 0.1), (x - 0.05, 0.35), (x + 0.3, 0.6), (x - 0.1, 0.95)], 0.12, "black")


def overtaking(pen: Pen, *, truck_left: bool, left: str = "red", right: str = "black") -> None:
    """A vehicle that overtakes, left of a car; ``left`` and ``right`` are their colours."""
    if truck_left:
        truck_behind(pen.at(-0.34, -0.02, 0.34), left)
    else:
        car(pen.at(-0.36, 0, 0.32), left)
    car(pen.at(0.36, 0.06 if truck_left else 0, 0.3), right)


def straight_arrow(pen: Pen, degrees: float = 0.0) -> None:
    """An arrow through the middle; 0 points up, positive turns clockwise."""
    x, y = math.sin(math.radians(degrees)), -math.cos(math.radians(degrees))
    pen.arrow([(-0.68 * x, -0.68 * y), (0.74 * x, 0.74 * y)], 0.25, "white", head=3.0)


def turn_arrow(pen: Pen, side: int) -> None:
    """An arrow that comes from below and turns to ``side``."""
    foot = -side * 0.26
    points = [(foot, 0.72), (foot, 0.05), (foot + side * 0.08, -0.18), (foot + side * 0.26, -0.26)]
    pen.arrow([*points, (side * 0.7, -0.26)], 0.24, "white", head=2.8)


def forked_arrow(pen: Pen, side: int) -> None:
    """Straight on or to ``side``."""
    foot = -side * 0.18
    pen.arrow([(foot, 0.72), (foot, -0.78)], 0.21, "white", head=2.7)
    pen.arrow([(foot, 0.34), (foot + side * 0.22, 0.2), (side * 0.68, 0.2)], 0.2, "white", head=2.6)


def roundabout(pen: Pen) -> None:
    """Three arrows that chase each other, anticlockwise."""
    for end in (-80, 40, 160):
        pen.arc(0, 0, 0.55, end, end + 70, 0.17 * pen.bold, "white")
        angle = math.radians(end + 4)
        x, y = 0.55 * math.cos(angle), 0.55 * math.sin(angle)
        tangent = (math.sin(angle), -math.cos(angle))
        pen.arrow([(x, y), (x + 0.32 * tangent[0], y + 0.32 * tangent[1])], 0.16, "white", head=3.0)


# Whole signs.


def speed_limit(pen: Pen, text: str) -> None:
    """Red ring around a number."""
    red_ring(pen)
    _number(pen, text, "black")


def _number(pen: Pen, text: str, colour: str) -> None:
    width, height = {1: (0.42, 0.8), 2: (0.98, 0.74)}.get(len(text), (1.2, 0.66))
    pen.text(text, 0, 0, width, height, colour)


def prohibition(pen: Pen, pictogram: Drawing, scale: float = 1.0) -> None:
    """Red ring around a pictogram."""
    red_ring(pen)
    pictogram(pen.at(0, 0, scale))


def warning(pen: Pen, pictogram: Drawing) -> None:
    """Warning triangle around a pictogram."""
    warning_triangle(pen)
    pictogram(pen.at(0, 0.27, 0.46))


def mandatory(pen: Pen, pictogram: Drawing) -> None:
    """Blue disc below white arrows."""
    blue_disc(pen)
    pictogram(pen)


def end_of(pen: Pen, pictogram: Drawing | None) -> None:
    """White disc, a grey pictogram, and bars from the lower left to the upper right."""
    white_disc(pen)
    if pictogram is not None:
        pictogram(pen)
    for offset in (-0.2, -0.1, 0.0, 0.1, 0.2):
        reach = math.sqrt(0.94**2 - offset**2) * math.sqrt(0.5)
        shift = offset * math.sqrt(0.5)
        pen.line([(shift - reach, shift + reach), (shift + reach, shift - reach)], 0.055, "black")


def _grey_number(pen: Pen, text: str) -> None:
    _number(pen, text, "grey")


def end_of_overtaking_ban(pen: Pen, *, truck_left: bool) -> None:
    """The vehicles of an overtaking ban, grey and crossed out."""
    end_of(pen, partial(overtaking, truck_left=truck_left, left="grey", right="grey"))


def stop(pen: Pen) -> None:
    """STOP."""
    octagon(pen)
    pen.text("STOP", 0, 0, 1.55, 0.6, "white")


def no_entry(pen: Pen) -> None:
    """White bar on red."""
    pen.disc(0, 0, 1.0, "white")
    pen.disc(0, 0, 0.96, "red")
    pen.rectangle(-0.76, -0.19 * pen.bold, 0.76, 0.19 * pen.bold, "white")


def no_stopping(pen: Pen, *, cross: bool) -> None:
    """Blue disc with a red rim and one or two red bars."""
    pen.disc(0, 0, 1.0, "red")
    pen.disc(0, 0, 0.8, "blue")
    pen.line([(-0.6, -0.6), (0.6, 0.6)], 0.17, "red")
    if cross:
        pen.line([(-0.6, 0.6), (0.6, -0.6)], 0.17, "red")


def parking(pen: Pen) -> None:
    """White P on blue."""
    blue_square(pen)
    pen.text("P", 0, 0, 0.8, 1.2, "white")


def crossing(pen: Pen) -> None:
    """Zebra crossing: a person in a white triangle on blue."""
    blue_square(pen)
    pen.polygon([(0, -0.75), (0.8, 0.65), (-0.8, 0.65)], "white")
    pedestrians(pen.at(0, 0.18, 0.44))


class Sign(NamedTuple):
    """One kind of sign.

    Attributes:
        draw: Draws the face.
        weight: How often it is met, relative to the others: roughly the number of tracks in GTSRB's training
            set; kinds that GTSRB lacks have small weights and add variety.
        height: Half height of its bounding box; the half width is 1.
    """

    draw: Drawing
    weight: float
    height: float = 1.0


def _warnings() -> dict[str, Sign]:
    pictograms: dict[str, tuple[Drawing, float]] = {
        "right_of_way": (right_of_way, 44),
        "danger": (exclamation, 40),
        "curve_left": (partial(curve, side=-1), 8),
        "curve_right": (partial(curve, side=1), 11),
        "double_curve_left": (partial(double_curve, side=-1), 10),
        "double_curve_right": (partial(double_curve, side=1), 4),
        "bumps": (bumps, 13),
        "slippery": (slippery, 17),
        "narrowing": (narrowing, 9),
        "roadworks": (roadworks, 50),
        "traffic_light": (traffic_light, 20),
        "pedestrians": (pedestrians, 8),
        "children": (children, 18),
        "bicycle": (bicycle, 9),
        "snow": (snowflake, 15),
        "deer": (deer, 26),
        "crossroads": (crossroads, 8),
    }
    return {
        name: Sign(partial(warning, pictogram=pictogram), weight, TRIANGLE_HEIGHT)
        for name, (pictogram, weight) in pictograms.items()
    }


SPEED_WEIGHTS = {
    "20": 10, "30": 74, "50": 75, "60": 47, "70": 66, "80": 62, "100": 48, "120": 47,
    "10": 5, "40": 10, "90": 6, "110": 4, "130": 6, "5": 2,
}  # fmt: skip

SIGNS: dict[str, Sign] = {
    **{f"speed_{text}": Sign(partial(speed_limit, text=text), n) for text, n in SPEED_WEIGHTS.items()},
    **_warnings(),
    "no_overtaking": Sign(partial(prohibition, pictogram=partial(overtaking, truck_left=False)), 49),
    "no_overtaking_trucks": Sign(partial(prohibition, pictogram=partial(overtaking, truck_left=True)), 67),
    "no_vehicles": Sign(red_ring, 21),
    "no_trucks": Sign(partial(prohibition, pictogram=truck, scale=0.55), 14),
    "no_bicycles": Sign(partial(prohibition, pictogram=bicycle, scale=0.6), 5),
    "no_entry": Sign(no_entry, 37),
    "no_stopping": Sign(partial(no_stopping, cross=True), 4),
    "no_parking": Sign(partial(no_stopping, cross=False), 4),
    "end_of_80": Sign(partial(end_of, pictogram=partial(_grey_number, text="80")), 14),
    "end_of_60": Sign(partial(end_of, pictogram=partial(_grey_number, text="60")), 4),
    "end_of_all": Sign(partial(end_of, pictogram=None), 8),
    "end_of_no_overtaking": Sign(partial(end_of_overtaking_ban, truck_left=False), 8),
    "end_of_no_overtaking_trucks": Sign(partial(end_of_overtaking_ban, truck_left=True), 8),
    "priority_road": Sign(diamond, 70),
    "yield": Sign(yield_triangle, 72, TRIANGLE_HEIGHT),
    "stop": Sign(stop, 26),
    "straight": Sign(partial(mandatory, pictogram=straight_arrow), 40),
    "turn_left": Sign(partial(mandatory, pictogram=partial(turn_arrow, side=-1)), 14),
    "turn_right": Sign(partial(mandatory, pictogram=partial(turn_arrow, side=1)), 23),
    "straight_or_left": Sign(partial(mandatory, pictogram=partial(forked_arrow, side=-1)), 7),
    "straight_or_right": Sign(partial(mandatory, pictogram=partial(forked_arrow, side=1)), 13),
    "keep_left": Sign(partial(mandatory, pictogram=partial(straight_arrow, degrees=-135)), 10),
    "keep_right": Sign(partial(mandatory, pictogram=partial(straight_arrow, degrees=135)), 69),
    "roundabout": Sign(partial(mandatory, pictogram=roundabout), 12),
    "parking": Sign(parking, 4),
    "crossing": Sign(crossing, 6),
}  # fmt: skip
