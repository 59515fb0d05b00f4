import math

import pytest
import torch
from torch import nn

from imcomp.models.gated import GatedConv, GatedNet


def constant_layer(value, gate):
    """A layer whose features and gates are the same everywhere."""
    layer = GatedConv(1, 1)
    nn.init.zeros_(layer.conv.weight)
    layer.conv.bias.data = torch.tensor([value, gate])
    return layer


@pytest.mark.parametrize(
    ("value", "gate", "expected"),
    [
        (3.0, 0.0, 1.5),  # half open
        (3.0, 100.0, 3.0),  # open
        (3.0, -100.0, 0.0),  # shut
        (-1.0, 100.0, math.exp(-1) - 1),  # ELU
    ],
)
def test_a_gate_decides_how_much_passes(value, gate, expected):
    output = constant_layer(value, gate)(torch.rand(1, 1, 4, 4))

    assert torch.allclose(output, torch.full((1, 1, 4, 4), expected), atol=1e-6)


@pytest.mark.parametrize("options", [{"kernel_size": 5}, {"dilation": 8}, {}])
def test_layers_keep_the_size(options):
    assert GatedConv(1, 3, **options)(torch.zeros(1, 1, 6, 4)).shape == (1, 3, 6, 4)


def test_the_network_is_the_papers_coarse_stage():
    network = GatedNet()
    widths = [layer.conv.out_channels for layer in network.modules() if isinstance(layer, GatedConv)]
    dilations = [layer.conv.dilation[0] for layer in network.bottleneck]

    # features and gates together, as the paper's code counts them
    assert widths == [48, 96, 96, 192, 192, 192, *[192] * 4, 192, 192, 96, 96, 48, 24]
    assert dilations == [2, 4, 8, 16]


def test_the_signal_does_not_fade_on_its_way():
    torch.manual_seed(0)
    network, differences = GatedNet(), []
    for layer in network.modules():
        if isinstance(layer, GatedConv):
            layer.register_forward_hook(lambda _layer, _inputs, output: differences.append(output[0] - output[1]))

    network(torch.rand(2, 2, 64, 64))

    # how two pictures differ, layer by layer; with torch's own weights the last is 1e-9
    assert len(differences) == 16
    assert all(0.01 < difference.std() < 2 for difference in differences)


def test_the_mask_is_taken_unless_the_key_says_otherwise():
    assert GatedNet(3).takes_mask
    assert GatedNet(3)(torch.zeros(1, 4, 8, 8)).shape == (1, 3, 8, 8)
    assert GatedNet(3, mask_channel=False)(torch.zeros(1, 3, 8, 8)).shape == (1, 3, 8, 8)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"width": 0}, "width 0 is too small; give at least 2"),
        ({"width": 5}, "width 5 is odd; give an even one, the last layer has half of it"),
        ({"dilations": [2, 0]}, "dilations [2, 0] are no distances; give numbers of at least 1"),
    ],
)
def test_wrong_options_are_refused(options, message):
    with pytest.raises(ValueError, match="give") as error:
        GatedNet(**options)
    assert str(error.value) == message
