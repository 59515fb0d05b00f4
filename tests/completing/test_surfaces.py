"""What fills a hole is written in the picture's own numbers, and is opaque."""

import numpy as np
import pytest
from PIL import Image

from imcomp.box import Box
from imcomp.completing.surfaces import ImageSurface


def filled(image, value):
    """A picture of one row whose first pixel is filled with a grey in [0, 1]."""
    hole = np.zeros((1, image.width), np.bool_)
    hole[0, 0] = True
    surface = ImageSurface(image, hole)
    surface.write(Box(0, 0, 1, image.width), hole, np.full((surface.channels, 1, image.width), value, np.float32))
    return np.asarray(surface.result).tolist()


@pytest.mark.parametrize(("clear", "index"), [(1, 0), (200, 1)])
def test_a_transparent_colour_that_a_palette_has_not_is_no_harm(clear, index):
    image = Image.new("P", (2, 1))
    image.putpalette([0, 0, 0, 255, 255, 255])
    image.info["transparency"] = clear
    assert filled(image, 1.0) == [[index, 0]]  # white, where it is opaque


@pytest.mark.parametrize(
    ("mode", "key", "value", "result"),
    [("L", 255, 1.0, 254), ("L", 0, 0.0, 1), ("I;16", 65535, 1.0, 65534), ("I;16", 0, 0.0, 1)],
)
def test_what_fills_the_hole_is_not_of_the_transparent_colour(mode, key, value, result):
    image = Image.new(mode, (2, 1), key)
    image.info["transparency"] = key
    assert filled(image, value) == [[result, key]]
