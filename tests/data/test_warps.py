import pytest
import torch

from imcomp.box import Box
from imcomp.data.warps import affine_maps, flip, warp


def maps(scale=1.0, aspect=1.0, degrees=0.0, shift=(0.0, 0.0)):
    return affine_maps(*(torch.tensor([float(number)]) for number in (scale, aspect, degrees)), torch.tensor([shift]))


def dot(row, column, size=8):
    """One white pixel."""
    image = torch.zeros(1, 1, size, size)
    image[..., row, column] = 1
    return image


def test_flips_are_exact_and_of_the_chosen_pictures():
    image = torch.arange(4 * 6, dtype=torch.uint8).view(4, 1, 2, 3)

    flipped = flip(image, torch.tensor([False, True, False, True]), torch.tensor([False, False, True, True]))

    expected = [image[0], image[1].flip(-1), image[2].flip(-2), image[3].flip(-1).flip(-2)]
    assert torch.equal(flipped, torch.stack(expected))


def test_nothing_moves_without_a_change():
    image = torch.rand(2, 3, 6, 10)
    assert torch.allclose(warp(image, maps().expand(2, -1, -1)), image, atol=1e-5)


def test_a_shift_goes_right_and_down():
    assert torch.allclose(warp(dot(2, 3), maps(shift=(3.0, 1.0))), dot(3, 6), atol=1e-5)


def test_a_turn_is_anticlockwise_about_the_middle():
    assert torch.allclose(warp(dot(0, 7), maps(degrees=90)), dot(0, 0), atol=1e-5)  # top right goes to top left


def test_scale_enlarges_about_the_middle():
    image = torch.zeros(1, 1, 8, 8)
    image[..., 3:5, 3:5] = 1  # 2 x 2 becomes 4 x 4
    enlarged = warp(image, maps(scale=2))
    assert enlarged.sum().item() == pytest.approx(16)
    assert (enlarged[..., 2:6, 2:6] > 0.5).all()


def test_aspect_widens_and_keeps_the_area():
    image = torch.zeros(1, 1, 16, 16)
    image[..., 6:10, 6:10] = 1  # 4 x 4 becomes 8 wide and 2 high
    widened = warp(image, maps(aspect=4))
    assert widened[..., 4:12, :].sum().item() == pytest.approx(16)  # further out the mirrored picture begins
    assert (widened[..., 7:9, 5:11] > 0.5).all()


def test_the_border_mirrors_the_picture_and_a_mask_ends_there():
    image = torch.arange(4.0).view(1, 1, 1, 4)
    assert torch.allclose(warp(image, maps(shift=(2.0, 0.0))), torch.tensor([[[[1.0, 0, 0, 1]]]]), atol=1e-5)
    mask = torch.ones(1, 1, 1, 4)
    assert warp(mask, maps(shift=(2.0, 0.0)), mode="nearest").tolist() == [[[[0, 0, 1, 1]]]]


def test_masks_stay_of_zeros_and_ones():
    mask = (torch.rand(3, 1, 9, 9) > 0.5).float()
    warped = warp(mask, maps(scale=1.1, degrees=20).expand(3, -1, -1), mode="nearest")
    assert set(warped.unique().tolist()) == {0, 1}


def test_each_picture_has_a_map_of_its_own():
    image = dot(2, 1).expand(2, -1, -1, -1)
    moved = warp(image, torch.cat([maps(shift=(1.0, 0.0)), maps(shift=(0.0, 1.0))]))
    assert torch.allclose(moved, torch.cat([dot(2, 2), dot(3, 1)]), atol=1e-5)


@pytest.mark.parametrize("window", [Box(0, 0, 6, 10), Box(1, 2, 4, 9), Box(5, 0, 6, 1)])
def test_a_window_is_what_the_whole_would_show_there(window):
    image = torch.rand(2, 3, 6, 10)
    how = maps(1.2, 1.1, 15, (0.7, -0.4)).expand(2, -1, -1)
    assert torch.allclose(warp(image, how, window), window.crop(warp(image, how)), atol=1e-6)
