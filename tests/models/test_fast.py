import pytest
import torch
from torch import nn

from imcomp.models.fast import FastNet, ResidualBlock


def parameters(network):
    return sum(parameter.numel() for parameter in network.parameters())


def silence(*layers):
    for layer in layers:
        nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias)


def test_the_smallest_network_has_a_number_of_parameters_that_can_be_counted():
    # stem 9 + 1; batch norm 2 and two convolutions of 9 + 1; head 9 + 1
    assert parameters(FastNet(channels=[1], bottom_blocks=0, stem=1)) == 10 + 2 + 20 + 10


@pytest.mark.parametrize(
    ("options", "multiple"),
    [({}, 16), ({"stem": 2}, 8), ({"channels": [4, 4, 4, 4]}, 32), ({"channels": [4], "stem": 1}, 1)],
)
def test_multiple_is_what_stem_and_levels_divide_by(options, multiple):
    assert FastNet(**options).multiple == multiple


@pytest.mark.parametrize(("blocks", "bottom_blocks", "count"), [(1, 2, 7), (1, 0, 5), (3, 2, 17)])
def test_blocks_stand_on_each_level_down_and_up_and_more_at_the_bottom(blocks, bottom_blocks, count):
    network = FastNet(channels=[2, 2, 2], blocks=blocks, bottom_blocks=bottom_blocks)

    assert sum(isinstance(layer, ResidualBlock) for layer in network.modules()) == count
    assert len(network.bottom) == blocks + bottom_blocks


def test_a_block_adds_to_what_came_in():
    block = ResidualBlock(2)
    assert [type(layer) for layer in block.change] == [nn.BatchNorm2d, nn.Conv2d, nn.SiLU, nn.Conv2d]
    features = torch.rand(2, 2, 4, 4)

    silence(block.change[-1])

    assert torch.equal(block(features), features)


def test_a_block_becomes_the_identity():
    block = ResidualBlock(2)
    features = torch.rand(2, 2, 4, 4)
    assert not torch.equal(block(features), features)

    block.become_identity()

    assert torch.equal(block(features), features)


def test_skips_are_added():
    network = FastNet(channels=[4, 8, 8]).eval()
    image = torch.rand(1, 1, 32, 32)
    assert not torch.equal(network(image), network.head(network.stem(image)))

    # nothing comes from below, and blocks pass on what they get: the first skip alone is left
    silence(*network.narrow)
    silence(*(block.change[-1] for block in network.modules() if isinstance(block, ResidualBlock)))

    assert torch.equal(network(image), network.head(network.stem(image)))


def test_no_convolution_runs_at_the_full_size():
    network, sides = FastNet(), []
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            layer.register_forward_hook(lambda _layer, _inputs, output: sides.append(output.shape[-1]))

    network(torch.zeros(2, 1, 64, 64))

    assert sorted(set(sides)) == [4, 8, 16]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"channels": []}, "channels [] is no list of widths; give one of at least 1 for each level"),
        ({"channels": [8, 0]}, "channels [8, 0] is no list of widths; give one of at least 1 for each level"),
        ({"blocks": 0}, "blocks 0 is too small; give at least 1"),
        ({"bottom_blocks": -1}, "bottom_blocks -1 is too small; give at least 0"),
        ({"stem": 0}, "stem 0 is too small; give at least 1"),
    ],
)
def test_wrong_options_are_refused(options, message):
    with pytest.raises(ValueError, match="give") as error:
        FastNet(**options)
    assert str(error.value) == message
