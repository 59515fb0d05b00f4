"""Products of matrices give torch's Fourier transform."""

import pytest
import torch

from imcomp.models.fourier import irfft2, irfft2_by_matrices, rfft2, rfft2_by_matrices

every_size = pytest.mark.parametrize(("height", "width"), [(1, 1), (2, 3), (5, 4), (7, 200), (64, 64), (33, 128)])


def noise(*shape):
    return torch.randn(2, 3, *shape, generator=torch.Generator().manual_seed(0))


def test_a_flat_picture_is_all_mean():
    real, imaginary = rfft2_by_matrices(torch.ones(2, 4))
    assert real[0, 0].item() == pytest.approx(8**0.5)  # 8 pixels of 1, over the root of 8
    assert (real.abs() > 1e-6).sum() == 1
    assert imaginary.abs().max() < 1e-6


@every_size
def test_there_it_is_torchs(height, width):
    image = noise(height, width)
    for product, torchs in zip(rfft2_by_matrices(image), rfft2(image), strict=True):
        torch.testing.assert_close(product, torchs, atol=1e-5, rtol=0)


@every_size
def test_back_it_is_torchs_for_any_spectrum(height, width):
    real, imaginary = noise(height, width // 2 + 1), noise(height, width // 2 + 1).flip(-1)
    product = irfft2_by_matrices(real, imaginary, width)
    torch.testing.assert_close(product, irfft2(real, imaginary, width), atol=1e-5, rtol=0)


@every_size
def test_there_and_back_is_the_picture(height, width):
    image = noise(height, width)
    torch.testing.assert_close(irfft2_by_matrices(*rfft2_by_matrices(image), width), image, atol=1e-5, rtol=0)
