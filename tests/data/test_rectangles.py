import pytest
import torch

from imcomp.data.rectangles import SIDES, BoxMask, CenterMask, GridMask, OutpaintMask


def seeds(count=1, device="cpu"):
    return torch.arange(count, dtype=torch.int64, device=device)


@pytest.mark.parametrize(
    ("size", "center", "image_size", "box"),
    [
        pytest.param(40, (0.5, 0.5), (256, 256), (108, 108, 148, 148), id="the reference's"),
        pytest.param(2, (0.5, 0.5), (5, 5), (1, 1, 3, 3), id="one row above, two below"),
        pytest.param(3, (0.5, 0.5), (6, 6), (1, 1, 4, 4), id="an odd hole"),
        pytest.param((2, 4), (0.5, 0.5), (8, 8), (3, 2, 5, 6), id="high and wide"),
        pytest.param([2, 4], [0.25, 0.75], (8, 8), (1, 4, 3, 8), id="moved"),
        pytest.param(4, (0.5, 0.5), (8, 20), (2, 8, 6, 12), id="not square"),
        pytest.param(8, (0.5, 0.5), (8, 8), (0, 0, 8, 8), id="the whole picture"),
        pytest.param(2, (0.29, 0.57), (100, 100), (28, 56, 30, 58), id="0.29 * 100 < 29 in floating point"),
    ],
)
def test_center_mask_is_one_in_its_box_alone(size, center, image_size, box):
    generator = CenterMask(size, center)

    mask = generator(image_size, seeds())

    top, left, bottom, right = box
    assert generator.box(image_size) == box
    assert mask.sum() == (bottom - top) * (right - left)
    assert mask[0, 0, top:bottom, left:right].all()


def test_center_mask_is_the_same_for_every_seed():
    mask = CenterMask(2)((4, 6), torch.tensor([0, 7, -1]))

    assert mask.shape == (3, 1, 4, 6)
    assert mask.dtype == torch.float32
    assert mask[0].eq(mask).all()


def test_center_mask_is_made_on_the_device_of_its_seeds():
    assert CenterMask(2)((4, 4), seeds(device="meta")).device.type == "meta"


@pytest.mark.parametrize(
    ("size", "center", "image_size", "what"),
    [
        (41, (0.5, 0.5), (40, 64), "41 pixels high"),
        (41, (0.5, 0.5), (64, 40), "41 pixels wide"),
        (4, (0.0, 0.5), (8, 8), "4 pixels high centred at 0 "),
        (4, (0.5, 0.9), (8, 8), "4 pixels wide centred at 0.9"),
    ],
)
def test_a_hole_that_does_not_fit_says_what_to_change(size, center, image_size, what):
    with pytest.raises(ValueError, match=rf"{what}.*mask\.size.*data\.size"):
        CenterMask(size, center)(image_size, seeds())


@pytest.mark.parametrize("size", [0, -1, (0, 4), (4, 0), 4.5, (4, 4.5), (4,), (4, 4, 4), "44", None])
def test_a_size_that_is_no_hole_is_refused(size):
    with pytest.raises(ValueError, match="is no hole; give"):
        CenterMask(size)


@pytest.mark.parametrize("center", [(-0.1, 0.5), (0.5, 1.1), (0.5, float("nan")), (0.5,), 0.5, "05"])
def test_a_center_outside_the_picture_is_refused(center):
    with pytest.raises(ValueError, match="is not in the picture; give"):
        CenterMask(4, center)


def bounds(mask):
    """Top, left, bottom, right of what is 1, the last two exclusive."""
    rows, columns = mask.any(dim=1).nonzero(), mask.any(dim=0).nonzero()
    return rows.min().item(), columns.min().item(), rows.max().item() + 1, columns.max().item() + 1


def test_a_box_of_five_pixels_has_twenty_five():
    masks = BoxMask(count=1, size=5)((16, 12), seeds(50))

    assert masks.sum(dim=(1, 2, 3)).eq(25).all()
    for mask in masks[:, 0]:
        top, left, bottom, right = bounds(mask)
        assert (bottom - top, right - left) == (5, 5)


def test_a_box_is_as_high_and_as_wide_as_its_own_ranges():
    masks = BoxMask(count=1, size=[[2, 3], [7, 9]])((16, 24), seeds(200))
    boxes = [bounds(mask) for mask in masks[:, 0]]

    assert {bottom - top for top, _, bottom, _ in boxes} == {2, 3}
    assert {right - left for _, left, _, right in boxes} == {7, 8, 9}


def test_one_range_of_sizes_draws_height_and_width_one_by_one():
    boxes = [bounds(mask) for mask in BoxMask(count=1, size=[2, 4])((9, 9), seeds(200))[:, 0]]

    assert len({(bottom - top, right - left) for top, left, bottom, right in boxes}) == 9


def test_boxes_go_everywhere_but_into_the_margin():
    hit = BoxMask(count=1, size=[1, 3], margin=2)((8, 11), seeds(500)).amax(dim=0)[0]

    assert bounds(hit) == (2, 2, 6, 9)
    assert hit.sum() == 4 * 7


def test_a_picture_gets_from_low_to_high_boxes():
    masks = BoxMask(count=[1, 3], size=1)((64, 64), seeds(300))

    # of one pixel each, in a picture so large that they hardly ever meet
    assert masks.sum(dim=(1, 2, 3)).unique().tolist() == [1, 2, 3]


def test_relative_boxes_grow_and_shrink_with_the_picture():
    large, small = (BoxMask(size=[32, 64], relative_to=256)((size, 2 * size), seeds(100)) for size in (256, 64))

    # in the small one lengths are rounded, and up
    assert (large[..., ::4, ::4] - small).abs().mean() < 0.03
    assert BoxMask(count=1, size=32, relative_to=256)((64, 64), seeds()).sum() == 8 * 8
    assert BoxMask(count=1, size=2, relative_to=256)((64, 64), seeds()).sum() == 1


def test_a_box_may_fill_the_picture():
    assert BoxMask(count=2, size=8)((8, 8), seeds(3)).all()


@pytest.mark.parametrize("area", [(0.1, 0.3), (0.15, 0.25)])
def test_the_area_of_boxes_lies_within_its_bounds(area):
    share = BoxMask(count=[1, 4], size=[4, 24], area=area)((32, 48), seeds(400)).mean(dim=(1, 2, 3))

    assert share.min() >= area[0]
    assert share.max() <= area[1]


@pytest.mark.parametrize(
    ("options", "image_size", "what"),
    [
        ({"size": 9}, (8, 16), r"9 pixels high .* 8 pixels high.*mask\.size.*data\.size"),
        ({"size": [1, 9]}, (16, 8), r"9 pixels wide .* 8 pixels wide"),
        ({"size": 5, "margin": 2}, (8, 16), r"5 pixels high with a margin of 2 .*mask\.margin"),
        ({"size": 2, "count": 2, "area": [0.5, 0.9]}, (8, 8), r"0\.062 to 0\.12 .*8x8.*\[0\.5, 0\.9\].*mask\.area"),
        ({"size": 8, "count": 2, "area": [0.1, 0.2]}, (8, 8), r"1 to 2 .*never"),
    ],
)
def test_boxes_that_do_not_fit_say_what_to_change(options, image_size, what):
    with pytest.raises(ValueError, match=what):
        BoxMask(**options)(image_size, seeds())


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"count": 0}, "count"),
        ({"count": [3, 2]}, "count"),
        ({"count": [1, 2, 3]}, "count"),
        ({"count": True}, "count"),
        ({"size": 0}, "size"),
        ({"size": "44"}, "size"),
        ({"size": [2.5, 4]}, "size"),
        ({"size": [[1, 2], [3]]}, "size"),
        ({"margin": -1}, "margin -1"),
        ({"margin": [0, 4]}, r"margin \[0, 4\]"),
        ({"area": 0.5}, "area"),
        ({"area": [0.5, 0.2]}, "area"),
        ({"area": [0, 0]}, "area"),
        ({"area": [0.5, 1.5]}, "area"),
    ],
)
def test_a_box_option_out_of_range_is_named(options, key):
    with pytest.raises(ValueError, match=rf"{key} .*; give"):
        BoxMask(**options)


@pytest.mark.parametrize(
    ("sides", "known"),
    [
        (["left"], (0, 2, 8, 16)),
        (["right"], (0, 0, 8, 14)),
        (["top"], (2, 0, 8, 16)),
        (["bottom"], (0, 0, 6, 16)),
        (["bottom", "left"], (0, 2, 6, 16)),
        (list(SIDES), (2, 2, 6, 14)),
    ],
)
def test_outpaint_leaves_what_is_not_beyond_its_sides(sides, known):
    masks = OutpaintMask(sides, pixels=2)((8, 16), seeds(3))

    for mask in masks[:, 0]:
        assert bounds(1 - mask) == known
        top, left, bottom, right = known
        assert (1 - mask).sum() == (bottom - top) * (right - left)


def test_an_outpaint_fraction_is_of_the_height_or_of_the_width():
    assert bounds(1 - OutpaintMask(["top", "left"], fraction=0.25)((8, 16), seeds())[0, 0]) == (2, 4, 8, 16)


def test_an_outpaint_depth_is_drawn_for_each_side():
    knowns = {
        bounds(1 - mask) for mask in OutpaintMask(["top", "left"], fraction=[0.1, 0.3])((10, 10), seeds(200))[:, 0]
    }

    assert {(top, left) for top, left, _, _ in knowns} == {(a, b) for a in (1, 2, 3) for b in (1, 2, 3)}


def test_an_outpaint_hole_is_a_pixel_deep_at_least():
    assert OutpaintMask(["top"], fraction=0.01)((8, 8), seeds()).sum() == 8


def test_a_subset_of_sides_is_never_empty_and_every_one_comes():
    knowns = [bounds(1 - mask) for mask in OutpaintMask(pixels=1, subset=True)((6, 6), seeds(600))[:, 0]]

    assert len(set(knowns)) == 15
    assert (0, 0, 6, 6) not in knowns


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"fraction": 0.5}, r"4 pixels deep on the left and opposite .* 8 pixels; lower mask\.fraction=\[0\.5, 0\.5\]"),
        ({"sides": ["top"], "fraction": [0.1, 1]}, r"8 pixels deep on the top leaves .*mask\.fraction"),
        ({"sides": ["top", "bottom"], "pixels": [1, 4]}, r"4 pixels .*mask\.pixels=\[1, 4\]"),
    ],
)
def test_an_outpaint_that_leaves_nothing_says_what_to_change(options, what):
    with pytest.raises(ValueError, match=what):
        OutpaintMask(**options)((8, 8), seeds())


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"sides": []}, "sides"),
        ({"sides": "left"}, "sides"),
        ({"sides": ["up"]}, "sides"),
        ({"sides": ["left", "left"]}, "sides"),
        ({"fraction": 1.5}, "fraction"),
        ({"fraction": [0.3, 0.1]}, "fraction"),
        ({"fraction": [0.1, float("nan")]}, "fraction"),
        ({"pixels": 0}, "pixels"),
    ],
)
def test_an_outpaint_option_out_of_range_is_named(options, key):
    with pytest.raises(ValueError, match=rf"{key} .*; give"):
        OutpaintMask(**options)


def test_a_fixed_grid_has_its_holes_where_it_says():
    mask = GridMask(cell=4, hole=2, offset=[1, 0])((8, 8), seeds(2))

    assert mask[0, 0].any(dim=1).tolist() == [False, True, True, False, False, True, True, False]
    assert mask[0, 0].any(dim=0).tolist() == [True, True, False, False] * 2
    assert mask[0].sum() == 4 * 2 * 2
    assert torch.equal(mask[0], mask[1])
    assert torch.equal(mask, GridMask(cell=4, hole=2, offset=[-3, 8])((8, 8), seeds(2)))


def test_a_random_grid_takes_every_offset():
    masks = GridMask(cell=4, hole=1)((8, 12), seeds(400))

    assert masks.sum(dim=(1, 2, 3)).eq(2 * 3).all()
    assert len(masks.flatten(1).unique(dim=0)) == 16


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"cell": 4, "hole": 4}, r"mask\.hole smaller or mask\.cell larger"),
        ({"cell": 1}, "cell 1 is out of range; give a whole number, at least 2"),
        ({"cell": 8.0}, r"cell 8\.0 is out of range; give a whole number"),
        ({"hole": 0}, "hole .*give"),
        ({"offset": "left"}, "offset left is no place; give"),
        ({"offset": [1, 2, 3]}, "offset .*; give"),
        ({"offset": None}, "offset None is no place; give"),
        ({"offset": True}, "offset True is no place; give"),
    ],
)
def test_a_grid_option_out_of_range_is_named(options, what):
    with pytest.raises(ValueError, match=what):
        GridMask(**options)


def test_a_cell_larger_than_the_picture_says_what_to_change():
    with pytest.raises(ValueError, match=r"cell of 9 pixels .*8x16.*mask\.cell.*data\.size"):
        GridMask(cell=9, hole=2)((8, 16), seeds())
