import pytest
import torch
from torchvision.transforms.v2 import functional

from imcomp.data.light import adjust_colour, adjust_light


def numbers(*values):
    return torch.tensor(values, dtype=torch.float32)


def lit(level, brightness=1.0, contrast=1.0, gamma=1.0, mean=0.5):
    image = torch.full((1, 1, 1, 1), level)
    return adjust_light(image, *(numbers(value) for value in (mean, brightness, contrast, gamma))).item()


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, 0.25),
        ({"brightness": 2.0}, 0.5),
        ({"contrast": 2.0}, 0.0),  # twice as far from 0.5
        ({"contrast": 0.0}, 0.5),
        ({"gamma": 2.0}, 0.0625),
        ({"gamma": 0.5}, 0.5),
        ({"contrast": 0.0, "brightness": 0.5, "gamma": 2.0}, 0.0625),  # in this order
        ({"brightness": 8.0, "gamma": 3.0}, 1.0),  # never above white
    ],
)
def test_light_goes_by_the_formula(options, expected):
    assert lit(0.25, **options) == pytest.approx(expected)


def test_each_picture_has_numbers_of_its_own():
    image = torch.full((2, 3, 2, 2), 0.25)
    out = adjust_light(image, numbers(0.5, 0.5), numbers(2, 1), numbers(1, 0), numbers(1, 1))
    assert [picture.unique().tolist() for picture in out] == [[0.5], [0.5]]


def test_brightness_and_gamma_are_torchvisions():
    image = torch.rand(1, 3, 8, 8)
    ours = adjust_light(image, numbers(0), numbers(1.3), numbers(1), numbers(1))
    assert torch.allclose(ours, functional.adjust_brightness(image, 1.3), atol=1e-6)
    ours = adjust_light(image, numbers(0), numbers(1), numbers(1), numbers(1.2))
    assert torch.allclose(ours, functional.adjust_gamma(image, 1.2), atol=1e-6)


def test_no_saturation_is_grey_and_as_bright():
    red = torch.tensor([1.0, 0, 0]).view(1, 3, 1, 1)
    assert adjust_colour(red, numbers(0), numbers(0)).flatten().tolist() == pytest.approx([0.2125] * 3, abs=1e-4)


def test_full_saturation_and_no_turn_change_nothing():
    image = torch.rand(2, 3, 4, 4)
    assert torch.allclose(adjust_colour(image, numbers(1, 1), numbers(0, 0)), image, atol=1e-5)


@pytest.mark.parametrize("degrees", [30.0, 90.0, 180.0])
def test_a_turn_of_the_colours_keeps_grey_and_luminance(degrees):
    grey = torch.full((1, 3, 2, 2), 0.4)
    assert torch.allclose(adjust_colour(grey, numbers(1), numbers(degrees)), grey, atol=1e-3)
    image = 0.45 + 0.1 * torch.rand(1, 3, 4, 4)  # far from black and white, where colours are cut off
    luminance = torch.tensor([0.2125, 0.7154, 0.0721]).view(1, 3, 1, 1)
    turned = adjust_colour(image, numbers(1), numbers(degrees))
    assert torch.allclose((turned * luminance).sum(1), (image * luminance).sum(1), atol=1e-3)
    assert not torch.allclose(turned, image, atol=1e-2)


def test_a_whole_turn_comes_back():
    image = torch.rand(1, 3, 4, 4)
    assert torch.allclose(adjust_colour(image, numbers(1), numbers(360)), image, atol=1e-5)
