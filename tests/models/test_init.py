import math

import pytest
import torch
from torch import nn

from imcomp.models.init import INITS, initialise


def layers():
    """Two convolutions of 9 * 32 * 64 weights each, one without bias, and what no init touches."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(32, 64, 3), nn.BatchNorm2d(64), nn.PReLU(), nn.Sequential(nn.Conv2d(64, 32, 3, bias=False))
    )


def convolutions(network):
    return [layer for layer in network.modules() if isinstance(layer, nn.Conv2d)]


@pytest.mark.parametrize(
    ("name", "spreads"),
    [
        # gain * sqrt(2 / (fan in + fan out)), gain 2
        pytest.param("xavier", [2 * math.sqrt(2 / (9 * 32 + 9 * 64))] * 2, id="xavier"),
        # sqrt(2 / (1 + slope^2)) / sqrt(fan in), slope 0.25
        pytest.param("kaiming", [math.sqrt(2 / (1 + 0.25**2) / (9 * fan)) for fan in (32, 64)], id="kaiming"),
    ],
)
def test_weights_are_normal_with_the_published_spread(name, spreads):
    network = layers()

    initialise(network, name)

    for layer, spread in zip(convolutions(network), spreads, strict=True):
        weights = layer.weight.detach()  # 18,432 of them: their spread is known to half a percent
        assert weights.std().item() == pytest.approx(spread, rel=0.02)
        assert weights.mean().item() == pytest.approx(0, abs=0.02 * spread)
        within = (weights.abs() < spread).float().mean().item()
        assert within == pytest.approx(0.683, abs=0.015)  # one standard deviation of a normal distribution


@pytest.mark.parametrize("name", sorted(set(INITS) - {"default"}))
def test_biases_start_at_zero_and_other_layers_as_they_were(name):
    network, untouched = layers(), layers()
    network[1].bias.data.fill_(0.5)

    initialise(network, name)

    assert network[0].bias.eq(0).all()
    assert network[1].weight.eq(1).all()
    assert network[1].bias.eq(0.5).all()
    assert torch.equal(network[2].weight, untouched[2].weight)


def test_convolutions_that_enlarge_are_set_too():
    network = nn.ConvTranspose2d(32, 64, 3)

    initialise(network, "xavier")

    assert network.weight.std().item() == pytest.approx(2 * math.sqrt(2 / (9 * 32 + 9 * 64)), rel=0.02)
    assert network.bias.eq(0).all()


def test_default_leaves_torchs_own():
    network, untouched = layers(), layers()

    initialise(network, "default")

    for key, value in network.state_dict().items():
        assert torch.equal(value, untouched.state_dict()[key]), key


def test_an_unknown_name_lists_the_choices_and_changes_nothing():
    network, untouched = layers(), layers()

    with pytest.raises(ValueError, match="unknown init 'he'; choose from default, kaiming, xavier"):
        initialise(network, "he")

    assert torch.equal(network[0].weight, untouched[0].weight)
