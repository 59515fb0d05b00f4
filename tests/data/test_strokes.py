import math

import pytest
import torch

from imcomp.data.strokes import BrushMask, draw_capsules


def capsules(lines, image_size, owners=None, count=1, **options):
    """Draw (x, y, end x, end y, radius)."""
    lines = torch.tensor(lines, dtype=torch.float32)
    owners = torch.zeros(len(lines), dtype=torch.int64) if owners is None else torch.tensor(owners)
    return draw_capsules(lines[:, :2], lines[:, 2:4], lines[:, 4], owners, count, image_size, **options)


def distance(line, image_size):
    """From each pixel's centre to a line, in double precision."""
    x, y, end_x, end_y, _ = line
    rows, columns = (torch.arange(extent, dtype=torch.float64) + 0.5 for extent in image_size)
    dx, dy = end_x - x, end_y - y
    length = dx * dx + dy * dy
    across, down = columns[None, :] - x, rows[:, None] - y
    place = ((across * dx + down * dy) / length).clamp(0, 1) if length else torch.zeros(image_size, dtype=torch.float64)
    return ((across - place * dx) ** 2 + (down - place * dy) ** 2).sqrt()


def test_a_level_line_is_a_bar_with_round_ends():
    mask = capsules([(10, 8, 30, 8, 2)], (16, 40))[0, 0]

    # four rows of twenty, and a disc of twelve pixels cut in two
    assert mask[6:10, 10:30].all()
    assert mask.sum() == 4 * 20 + 12
    assert mask.sum(dim=1).tolist() == [0] * 6 + [22, 24, 24, 22] + [0] * 6


def test_an_upright_line_is_a_level_one_turned():
    level, upright = capsules([(10, 8, 30, 8, 2)], (16, 40)), capsules([(8, 10, 8, 30, 2)], (40, 16))

    assert torch.equal(upright, level.mT)


@pytest.mark.parametrize(
    "line",
    [
        pytest.param((10, 8, 30.25, 20.5, 3.3), id="down"),
        pytest.param((30.25, 8, 10, 20.5, 3.3), id="to the left"),
        pytest.param((30, 20, 29, 5, 5.2), id="steep"),
        pytest.param((5.3, 20, 44, 20.015625, 4.1), id="nearly level"),
        pytest.param((44, 20.2, 5, 20.2, 4.1), id="level"),
        pytest.param((20.1, 8, 20.1, 30, 2.7), id="upright"),
        pytest.param((20.1, 10, 20.1, 10, 6.3), id="a disc"),
        pytest.param((20, 10, 23, 12, 9.4), id="short and wide"),
        pytest.param((0, 0, 48, 32, 1.3), id="across"),
        pytest.param((-8, 12, 60, 50, 7.7), id="out of the picture"),
        pytest.param((-8, -9, -8, 3, 3), id="outside"),
    ],
)
def test_a_line_covers_the_pixels_whose_centres_are_within_its_radius(line):
    image_size = (32, 48)
    mask = capsules([line], image_size)[0, 0].bool()
    off = distance(line, image_size) - line[-1]

    assert mask[off < -1e-3].all()
    assert not mask[off > 1e-3].any()


def test_lines_cover_what_each_of_them_covers():
    generator = torch.Generator().manual_seed(0)
    lines = torch.rand(200, 5, generator=generator) * torch.tensor([60, 40, 60, 40, 6.0]) + 0.75
    owners = torch.arange(200) % 5
    masks = capsules(lines.tolist(), (40, 60), owners.tolist(), count=6)

    for owner in range(5):
        expected = torch.zeros(40, 60, dtype=torch.bool)
        for line in lines[owners == owner].tolist():
            expected |= distance(line, (40, 60)) <= line[-1]
        assert (masks[owner, 0].bool() ^ expected).sum() <= 1  # a centre right on an edge
    assert not masks[5].any()


def test_fewer_rows_are_looked_at_where_no_line_is_long():
    lines = [(10, 8, 22, 13, 3.5), (30, 50, 30, 38, 3.5), (2, 62, 8, 63, 1), (40, 1, 40, 0, 3.5)]

    # lengths of 13 and 12, and 7 for the width
    assert torch.equal(capsules(lines, (64, 48), longest=20), capsules(lines, (64, 48)))


def test_no_lines_leave_masks_empty():
    assert draw_capsules(*[torch.empty(0, 2)] * 2, torch.empty(0), torch.empty(0).long(), 2, (8, 8)).eq(0).all()


def test_a_stroke_of_one_piece_covers_its_length_times_its_width():
    brush = BrushMask(count=1, vertices=1, length=100, width=10, relative_to=None)
    areas = brush((512, 512), torch.arange(100)).sum(dim=(1, 2, 3))

    # 100 * 10 and a disc of 10 pixels; less where the border folds or cuts it
    assert areas.median().item() == pytest.approx(1000 + 25 * math.pi, rel=0.02)
    assert areas.max() < 1.05 * (1000 + 25 * math.pi)


def test_pieces_without_an_angle_make_one_straight_line():
    straight = BrushMask(count=1, vertices=4, angle=0, length=25, width=10, relative_to=None)
    areas = straight((512, 512), torch.arange(100)).sum(dim=(1, 2, 3))

    assert areas.median().item() == pytest.approx(1000 + 25 * math.pi, rel=0.02)


def test_a_point_of_the_thinnest_brush_is_a_hole_wherever_it_is():
    dots = BrushMask(count=1, vertices=1, length=0, width=1, relative_to=None)((6, 7), torch.arange(2000))

    assert dots.flatten(1).any(dim=1).all()
    assert dots.sum(dim=(1, 2, 3)).max() <= 4
    assert dots.amax(dim=0).all()


def test_more_strokes_and_more_pieces_make_more_hole():
    def area(**options):
        return BrushMask(**options)((64, 64), torch.arange(100)).mean()

    assert area(count=1) < area(count=3) < area(count=6)
    assert area(vertices=1) < area(vertices=4) < area(vertices=12)
    assert area(width=4) < area(width=12)


def test_a_hole_covers_the_same_share_of_large_and_small_pictures():
    large, small = (BrushMask()((size, size), torch.arange(40)).mean(dim=(1, 2, 3)) for size in (256, 64))

    assert (large - small).abs().max() < 0.02


def test_strokes_go_everywhere_and_lean_nowhere():
    covered = BrushMask()((64, 64), torch.arange(3000)).mean(dim=0)[0]
    quarters = covered.view(2, 32, 2, 32).mean(dim=(1, 3))

    assert quarters.max() - quarters.min() < 0.02
    assert covered.min() > 0.1 * covered.max()  # the corners' pixels


@pytest.mark.parametrize("area", [(0.2, 0.4), (0.1, 0.13), (0.5, 0.9)])
def test_the_area_lies_within_its_bounds(area):
    share = BrushMask(area=area)((48, 80), torch.arange(400)).mean(dim=(1, 2, 3))

    assert share.min() >= area[0]
    assert share.max() <= area[1]


@pytest.mark.parametrize(
    ("options", "image_size", "what"),
    [
        (
            {"width": [8, 33], "relative_to": None},
            (32, 64),
            r"33 pixels wide .* 32x64 .*mask\.width smaller or data\.size",
        ),
        ({"width": 300}, (64, 64), r"75 pixels wide .* 64x64 .*mask\.width smaller$"),
    ],
)
def test_a_brush_wider_than_the_picture_says_what_to_change(options, image_size, what):
    with pytest.raises(ValueError, match=what):
        BrushMask(**options)(image_size, torch.arange(1))


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"count": 0}, "count"),
        ({"vertices": [0, 4]}, "vertices"),
        ({"angle": 181}, "angle"),
        ({"length": -1}, "length"),
        ({"length": [9, 3]}, "length"),
        ({"width": 0.5}, "width"),
        ({"relative_to": 0}, "relative_to"),
        ({"area": [0.2]}, "area"),
    ],
)
def test_an_option_out_of_range_is_named(options, key):
    with pytest.raises(ValueError, match=rf"{key} .*; give"):
        BrushMask(**options)
