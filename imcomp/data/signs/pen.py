"""A pen whose unit is half the width of a sign.

Coordinates run from -1 to 1, x to the right and y down, with the sign's bounding box centred on (0, 0).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache

from PIL import Image, ImageDraw, ImageFont

Colour = tuple[int, int, int]
Point = tuple[float, float]

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
