"""How far the networks say that they see, against how far they do."""

import pytest
import torch

from imcomp.box import Box
from imcomp.models import build_network
from imcomp.models.windows import pad_beyond, window_of

WHOLE = Box(0, 0, 64, 64)


@pytest.mark.parametrize(
    ("box", "reach", "window"),
    [
        (Box(28, 28, 36, 36), 4, (24, 24, 40, 40)),
        (Box(28, 28, 36, 36), 5, (16, 16, 48, 48)),
        (Box(28, 28, 36, 36), 0, (24, 24, 40, 40)),
        (Box(0, 60, 3, 64), 8, (0, 48, 16, 64)),
        (Box(28, 28, 36, 36), 99, WHOLE),
        (Box(28, 28, 36, 36), None, WHOLE),
    ],
)
def test_windows_are_multiples_within_the_picture(box, reach, window):
    assert window_of(box, (64, 64), reach=reach, multiple=8) == window


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("fast", {"channels": (4,), "stem": 2}),
        ("fast", {"channels": (4, 4), "stem": 1, "blocks": 2, "bottom_blocks": 0}),
        ("fast", {"channels": (4, 4, 4), "stem": 2, "bottom_blocks": 1}),
        ("gated", {"width": 4, "dilations": ()}),
        ("gated", {"width": 4, "dilations": (2, 4)}),
        ("unet", {"channels": (4,)}),
        ("unet", {"channels": (4, 4, 4)}),
        ("unet", {"channels": (4, 4), "kernel_size": 5}),
    ],
)
def test_reach_is_how_far_away_an_input_pixel_can_be_and_little_more(name, options):
    torch.manual_seed(0)
    network = build_network(name, in_channels=1, **options).double().eval()
    size = -(-(2 * network.reach + 64) // network.multiple) * network.multiple
    image = torch.rand(1, 1 + bool(network.takes_mask), size, size, dtype=torch.float64, requires_grad=True)
    place = size // 2 // network.multiple * network.multiple
    farthest = 0
    for row in range(place, place + network.multiple):  # the reach differs with the place in a cell
        (gradient,) = torch.autograd.grad(network(image)[0, 0, row, place], image)
        rows = gradient[0, 0].abs().sum(dim=1).nonzero().flatten().tolist()
        farthest = max([farthest, *(abs(row - seen) for seen in rows)])

    assert farthest <= network.reach
    assert network.reach <= 2 * farthest + 8


def test_zeros_stand_beyond_the_picture():
    features = torch.ones(1, 1, 3, 4)

    padded = pad_beyond(features, Box(-1, 7, 3, 12), (9, 11))

    assert padded.shape == (1, 1, 4, 5)
    assert padded.sum() == 12
    assert padded[0, 0, 0].sum() == 0
    assert padded[0, 0, :, -1].sum() == 0


def test_nothing_is_added_within_the_picture():
    features = torch.ones(1, 1, 3, 4)

    assert pad_beyond(features, Box(1, 1, 4, 5), (9, 11)) is features
