import numpy as np
import pytest
import torch
from PIL import Image

from imcomp.data.degrade import add_noise, blur, compress, resample

SECOND = torch.tensor([False, True])


@pytest.fixture
def image():
    return torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def changed(after, before):
    return [not torch.equal(*pair) for pair in zip(after, before, strict=True)]


def test_only_the_chosen_pictures_change(image):
    strength, quality, seeds = torch.tensor([1.0, 1.0]), torch.tensor([50, 50]), torch.tensor([1, 2])
    assert changed(blur(image.clone(), strength, SECOND), image) == [False, True]
    assert changed(resample(image.clone(), torch.tensor([8, 8]), SECOND), image) == [False, True]
    assert changed(add_noise(image.clone(), strength / 10, SECOND, seeds), image) == [False, True]
    assert changed(compress(image.clone(), quality, SECOND), image) == [False, True]


def test_blur_spreads_a_point_as_a_gaussian():
    image = torch.zeros(1, 1, 33, 33)
    image[..., 16, 16] = 1
    blurred = blur(image, torch.tensor([2.0]), torch.tensor([True]))[0, 0]
    assert blurred.sum().item() == pytest.approx(1)
    assert (blurred[16, 18] / blurred[16, 16]).item() == pytest.approx(0.6065, abs=1e-3)  # exp(-1/2), one sigma off


def test_a_blur_of_nothing_and_of_a_picture_of_one_pixel_do_nothing():
    image = torch.rand(1, 1, 4, 4)
    assert torch.equal(blur(image.clone(), torch.tensor([0.0]), torch.tensor([True])), image)
    assert torch.equal(blur(image[..., :1, :1].clone(), torch.tensor([3.0]), torch.tensor([True])), image[..., :1, :1])


def test_what_passes_through_few_pixels_is_as_pillow_has_it():
    image = torch.rand(1, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    small = Image.fromarray(image[0, 0].numpy()).resize((16, 16), Image.Resampling.BILINEAR)
    expected = torch.from_numpy(np.array(small.resize((64, 64), Image.Resampling.BILINEAR)))
    out = resample(image, torch.tensor([16]), torch.tensor([True]))[0, 0]
    torch.testing.assert_close(out, expected, atol=1e-5, rtol=0)


def test_a_picture_of_no_more_pixels_stays_as_it_is(image):
    assert torch.equal(resample(image.clone(), torch.tensor([32, 100]), torch.tensor([True, True])), image)


def test_noise_has_the_deviation_asked_for():
    image = torch.full((1, 1, 128, 128), 0.5)
    noisy = add_noise(image, torch.tensor([0.1]), torch.tensor([True]), torch.tensor([3]))
    assert noisy.std().item() == pytest.approx(0.1, rel=0.05)
    assert noisy.mean().item() == pytest.approx(0.5, abs=0.005)


def test_noise_is_a_function_of_the_seed_and_stays_between_black_and_white():
    white = torch.ones(3, 1, 8, 8)
    noisy = add_noise(white, torch.full((3,), 0.5), torch.ones(3, dtype=torch.bool), torch.tensor([7, 7, 8]))
    assert torch.equal(noisy[0], noisy[1])
    assert not torch.equal(noisy[0], noisy[2])
    assert noisy.max() == 1
    assert noisy.min() >= 0


@pytest.mark.parametrize("channels", [1, 3])
def test_jpeg_loses_more_at_a_lower_quality(channels):
    ramp = torch.linspace(0, 1, 32).expand(2, channels, 32, 32)
    noisy = (ramp + 0.1 * torch.rand(2, channels, 32, 32)).clamp(0, 1)
    out = compress(noisy.clone(), torch.tensor([10, 95]), torch.tensor([True, True]))
    errors = (out - noisy).square().mean(dim=(1, 2, 3))
    assert 0 < errors[1] < errors[0] < 0.01
