"""Whole signs: the 43 classes of GTSRB and some more, with how often each is met."""

import math
from functools import partial
from typing import NamedTuple

from imcomp.data.signs.pen import Drawing, Pen
from imcomp.data.signs.pictograms import (
    bicycle,
    bumps,
    children,
    crossroads,
    curve,
    deer,
    double_curve,
    exclamation,
    forked_arrow,
    narrowing,
    overtaking,
    pedestrians,
    right_of_way,
    roadworks,
    roundabout,
    slippery,
    snowflake,
    straight_arrow,
    traffic_light,
    truck,
    turn_arrow,
)
from imcomp.data.signs.plates import (
    TRIANGLE_HEIGHT,
    blue_disc,
    blue_square,
    diamond,
    octagon,
    red_ring,
    warning_triangle,
    white_disc,
    yield_triangle,
)


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
