import pytest
import torch
import torch.nn.functional as F
from torch import nn

from imcomp.models.unet import UNet


def convolutions(layers):
    """Widths before and after each convolution."""
    return [(layer.in_channels, layer.out_channels) for layer in layers.modules() if isinstance(layer, nn.Conv2d)]


def dropouts(network):
    return [isinstance(level[-1], nn.Dropout2d) for level in [*network.encoder, *network.decoder]]


def test_every_level_has_two_convolutions_and_takes_its_skip():
    network = UNet(3, channels=[2, 4, 8])

    assert convolutions(network.encoder) == [(3, 2), (2, 2), (2, 4), (4, 4), (4, 8), (8, 8)]
    assert convolutions(network.narrow) == [(8, 4), (4, 2)]
    assert convolutions(network.decoder) == [(4 + 4, 4), (4, 4), (2 + 2, 2), (2, 2)]
    assert convolutions(network.head) == [(2, 3)]


@pytest.mark.parametrize(("channels", "multiple"), [((4,), 1), ((4, 4), 2), ((4, 4, 4, 4, 4), 16)])
def test_each_level_below_the_first_halves_the_size(channels, multiple):
    network = UNet(channels=channels)

    assert network.multiple == multiple
    assert network(torch.zeros(2, 1, 3 * multiple, 2 * multiple)).shape == (2, 1, 3 * multiple, 2 * multiple)


@pytest.mark.parametrize("level", [0, 1])
def test_each_skip_reaches_the_output(level):
    torch.manual_seed(0)
    network = UNet(channels=[4, 8, 16]).eval()
    for narrow in network.narrow[: 2 - level]:  # what comes from below this level
        nn.init.zeros_(narrow.weight)

    features = []
    network.encoder[level].register_forward_hook(lambda _level, _inputs, output: features.append(output))
    output = network(torch.rand(1, 1, 16, 16))

    (gradient,) = torch.autograd.grad(output.sum(), features)
    assert gradient.abs().sum() > 0


def test_narrowing_before_upsampling_is_narrowing_after_it():
    narrow, features = nn.Conv2d(4, 2, 1), torch.rand(1, 4, 3, 5)

    before = F.interpolate(narrow(features), scale_factor=2, mode="bilinear")

    assert torch.allclose(before, narrow(F.interpolate(features, scale_factor=2, mode="bilinear")), atol=1e-6)


def test_dropout_follows_each_level_but_the_last():
    assert dropouts(UNet(channels=[2, 4, 8], dropout=0.25)) == [True, True, True, True, False]
    assert not any(dropouts(UNet(channels=[2, 4, 8])))


@pytest.mark.parametrize("kernel_size", [1, 5])
def test_odd_kernels_keep_sizes(kernel_size):
    assert UNet(channels=[2, 2], kernel_size=kernel_size)(torch.zeros(1, 1, 8, 12)).shape == (1, 1, 8, 12)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"channels": [-1]}, "channels [-1] is no list of widths; give one of at least 1 for each level"),
        ({"kernel_size": 4}, "kernel_size 4 is not odd; give 3, 5 or 7, so that sizes are kept"),
        ({"dropout": 1.0}, "dropout 1.0 is not a probability below 1; give 0 to turn it off"),
    ],
)
def test_wrong_options_are_refused(options, message):
    with pytest.raises(ValueError, match="give") as error:
        UNet(**options)
    assert str(error.value) == message
