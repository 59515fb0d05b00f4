"""Image and mask in, completed image out: what is inside of the exported graph."""

import pytest
import torch
from torch import nn

from imcomp.export.program import Completion
from imcomp.models import build_network


class Seen(nn.Module):
    """Keeps what it is shown, and gives the same number everywhere."""

    multiple = 2

    def __init__(self, value, channels, *, takes_mask=False):
        super().__init__()
        self.value = value
        self.channels = channels
        self.takes_mask = takes_mask

    def forward(self, image):
        self.shown = image
        return torch.full_like(image[:, : self.channels], self.value)


def halves(channels, count=1):
    """A picture of 0.25, of which the left half is missing."""
    mask = torch.zeros(count, 1, 2, 4)
    mask[..., :2] = 1
    return torch.full((count, channels, 2, 4), 0.25), mask


@pytest.mark.parametrize(("output", "filled"), [(0.5, 0.5), (-3.0, 0.0), (1.5, 1.0)])
def test_the_hole_is_filled_and_clamped(output, filled):
    image, mask = halves(3)
    completed = Completion(Seen(output, 3), 3)(image, mask)
    assert (completed[..., :2] == filled).all()
    assert (completed[..., 2:] == 0.25).all()


def test_known_pixels_stay_whatever_they_are():
    image, mask = halves(3)
    image[..., 2:] = torch.tensor([1e-39, 7.5])
    completed = Completion(Seen(0.5, 3), 3)(image, mask)
    assert torch.equal(completed[..., 2:], image[..., 2:])


def test_what_is_under_the_hole_is_not_seen():
    image, mask = halves(3)
    image[..., :2] = torch.nan
    network = Seen(0.5, 3, takes_mask=True)
    completed = Completion(network, 3)(image, mask)
    assert (network.shown[:, :3, :, :2] == 0).all()
    assert torch.equal(network.shown[:, 3:], mask)
    assert completed.isfinite().all()


@pytest.mark.parametrize(("value", "is_hole"), [(0.49, False), (0.5, True), (2.0, True), (-1.0, False)])
def test_half_is_hole(value, is_hole):
    image, _ = halves(3)
    completed = Completion(Seen(0.5, 3), 3)(image, torch.full((1, 1, 2, 4), value))
    assert (completed == 0.5).all().item() is is_hole


@pytest.mark.parametrize("channels", [1, 2, 3, 5])
def test_a_grey_network_fills_each_channel_by_itself(channels):
    torch.manual_seed(0)
    module = Completion(build_network("unet", in_channels=1, channels=[4, 8], mask_channel=True).eval(), 1)
    image, mask = torch.rand(2, channels, 4, 6), (torch.rand(2, 1, 4, 6) > 0.5).float()
    with torch.no_grad():
        together = module(image, mask)
        apart = torch.cat([module(image[:, [channel]], mask) for channel in range(channels)], dim=1)
    torch.testing.assert_close(together, apart, atol=1e-6, rtol=0)
