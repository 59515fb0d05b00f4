"""Plates: the outlines of signs without their pictograms."""

import math

from imcomp.data.signs.pen import Pen

#: Half the height of a triangular sign whose half width is 1.
TRIANGLE_HEIGHT = 0.88


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
