import pytest
import torch

from imcomp.box import Box

BOX = Box(3, 5, 9, 12)


def test_a_crop_is_a_view_of_the_boxs_pixels():
    image = torch.zeros(2, 3, 20, 20)

    BOX.crop(image).fill_(1)

    assert BOX.crop(image).shape == (2, 3, 6, 7) == (2, 3, BOX.height, BOX.width)
    assert image.sum() == 2 * 3 * 6 * 7
    assert image[:, :, 3:9, 5:12].min() == 1


def test_growing_and_clipping():
    assert BOX.grow(4) == (-1, 1, 13, 16)
    assert BOX.grow(4).clip((11, 30)) == (0, 1, 11, 16)


def test_mirroring_twice_is_nothing():
    assert BOX.mirror(20) == (3, 8, 9, 15)
    assert BOX.mirror(20).mirror(20) == BOX


def test_scaling_keeps_the_place_in_a_larger_picture():
    assert BOX.scale(2) == (6, 10, 18, 24)


@pytest.mark.parametrize(
    ("multiple", "snapped"), [(1, BOX), (4, (0, 4, 12, 12)), (16, (0, 0, 16, 16))], ids=["1", "4", "16"]
)
def test_snapping_moves_edges_outwards(multiple, snapped):
    assert BOX.snap(multiple) == snapped


def test_snapping_moves_negative_edges_outwards_too():
    assert Box(-1, -5, 1, 5).snap(4) == (-4, -8, 4, 8)


def test_the_place_within_a_window():
    image = torch.arange(400.0).view(1, 1, 20, 20)
    window = BOX.grow(2)

    assert torch.equal(BOX.within(window).crop(window.crop(image)), BOX.crop(image))
