"""Pictograms, drawn inside about [-1, 1] x [-1, 1].

Shapes follow the German catalogue (VzKat) closely enough for a network to learn what continues under a hole; they are
not meant for print.
"""

import math

from imcomp.data.signs.pen import Pen


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
