"""Masks of every kind, and what is measured of a hole."""

import numpy as np
import pytest
import torch
from PIL import Image

from imcomp.box import Box
from imcomp.completing.holes import find_bounds, find_parts, measure_thickness, merge_boxes, to_hole
from imcomp.errors import InputError

HOLE = np.array([[False, True, False], [False, True, True]])


@pytest.mark.parametrize(
    "mask",
    [
        HOLE,
        HOLE.astype(np.uint8),
        HOLE * np.uint8(255),
        HOLE * np.uint16(65535),
        HOLE * 65535,
        HOLE.astype(np.float32),
        HOLE * 255.0,
        HOLE[None],
        HOLE[..., None],
        np.stack([HOLE * np.uint8(255)] * 3, axis=2),
        torch.from_numpy(HOLE),
        torch.from_numpy(HOLE)[None].float(),
        torch.from_numpy(HOLE).bfloat16(),
        Image.fromarray(HOLE),
        Image.fromarray(HOLE * np.uint8(255)),
        Image.fromarray(HOLE * np.uint8(255)).convert("1"),
        Image.fromarray(HOLE * np.uint8(255)).convert("RGB"),
        Image.fromarray(HOLE * np.uint8(255)).convert("RGBA"),
        Image.fromarray(HOLE * np.uint8(255)).convert("P"),
        Image.fromarray(HOLE * np.uint16(65535)),
        Image.fromarray(HOLE * np.int32(255)),
        Image.fromarray(HOLE.astype(np.float32)),
        Image.fromarray(HOLE.astype(np.uint8)),
    ],
    ids=lambda mask: mask.mode if isinstance(mask, Image.Image) else str(mask.dtype),  # no address in memory
)
def test_masks_of_every_kind(mask):
    hole = to_hole(mask, (2, 3))
    assert hole.dtype == np.bool_
    assert np.array_equal(hole, HOLE)


@pytest.mark.parametrize(
    ("value", "is_hole"),
    [
        (np.uint8(127), False),
        (np.uint8(128), True),
        (np.uint16(32767), False),
        (0.49, False),
        (0.5, True),
        (127.0, False),
    ],
)
def test_masks_are_cut_at_half(value, is_hole):
    assert to_hole(np.full((2, 2), value), (2, 2)).all() == is_hole


@pytest.mark.parametrize(
    ("mask", "words"),
    [
        (np.zeros((3, 2)), "^the mask is 2x3, the picture 3x2; give a mask of its size$"),
        (Image.new("L", (2, 3)), "^the mask is 2x3, the picture 3x2; give a mask of its size$"),
        (np.zeros((2, 3, 4)), r"shape \(2, 3, 4\); give numbers of shape \(H, W\)"),
        (np.zeros((2, 3), complex), "the mask is complex128"),
        (np.array([["a"] * 3] * 2), "the mask is <U1"),
        (np.array([[0, np.nan, 1]] * 2), "not finite; give 1 in the hole"),
        (np.array([[0, np.inf, 1]] * 2), "not finite"),
        (None, "the mask is a NoneType; give a PIL image"),
        ("mask.png", "the mask is a str"),
        (Image.new("RGBA", (3, 2), (255, 255, 255, 0)), "the mask is partly transparent"),
        (Image.new("LA", (3, 2), (255, 254)), "the mask is partly transparent"),
    ],
)
def test_what_is_no_mask(mask, words):
    with pytest.raises(InputError, match=words):
        to_hole(mask, (2, 3))


def hole_of(*boxes, size=(100, 200)):
    hole = np.zeros(size, bool)
    for box in boxes:
        Box(*box).crop(hole)[:] = True
    return hole


def test_bounds():
    assert find_bounds(hole_of((3, 5, 9, 12), (20, 30, 21, 31))) == Box(3, 5, 21, 31)
    assert find_bounds(hole_of()) is None


@pytest.mark.parametrize(
    ("boxes", "thickness"),
    [
        ([], 0),
        ([(0, 0, 1, 1)], 1),
        ([(10, 10, 50, 50)], 40),
        ([(10, 10, 12, 190)], 2),
        ([(10, 10, 12, 190), (40, 40, 47, 60)], 7),
        ([(0, 0, 100, 200)], 100),
    ],
)
def test_thickness(boxes, thickness):
    assert measure_thickness(hole_of(*boxes)) == thickness


def test_large_holes_are_measured_coarsely():
    hole = hole_of((0, 0, 4000, 5), (1000, 1000, 2000, 4000), size=(4000, 4000))
    assert measure_thickness(hole) == pytest.approx(1000, rel=0.01)
    assert measure_thickness(np.eye(4000, dtype=bool)) <= 2


def test_parts_that_lie_apart():
    boxes = [(3, 5, 9, 12), (60, 150, 90, 160), (95, 0, 100, 3)]
    assert find_parts(hole_of(*boxes)) == [Box(*box) for box in boxes]
    assert find_parts(hole_of((3, 5, 9, 12), (3, 14, 9, 20))) == [Box(3, 5, 9, 20)]
    assert find_parts(hole_of()) == []


def test_many_parts_are_put_together():
    hole = np.zeros((800, 800), bool)
    hole[::20, ::20] = True
    parts = find_parts(hole)
    assert 1 <= len(parts) <= 48
    assert sum(box.crop(hole).sum() for box in parts) == hole.sum()


def test_boxes_that_overlap_become_one():
    chain = [Box(0, 0, 10, 10), Box(50, 50, 60, 60), Box(5, 5, 20, 20), Box(18, 18, 51, 51)]
    assert merge_boxes(chain) == [Box(0, 0, 60, 60)]
    assert merge_boxes([Box(0, 0, 5, 5), Box(5, 5, 9, 9)]) == [Box(0, 0, 5, 5), Box(5, 5, 9, 9)]
