import pytest
import torch
from torch import nn

from imcomp.models.ffc import FourierBlock, FourierConv, FourierNet, FourierUnit


def parameters(network):
    return sum(parameter.numel() for parameter in network.parameters())


def passing_unit(width=1):
    """A unit that leaves every coefficient that is not negative as it is."""
    unit = FourierUnit(width).eval()
    unit.convolve[0].weight.data = torch.eye(2 * width)[..., None, None]
    unit.convolve[1].eps = 0.0
    return unit


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (3, 5), (5, 3), (4, 6), (7, 1)])
def test_a_flat_map_passes_at_any_size(size):
    # all of a flat map is in one coefficient, the positive one of frequency 0
    flat = torch.full((1, 1, *size), 0.5)

    assert torch.allclose(passing_unit()(flat), flat, atol=1e-6)


def test_an_even_cosine_passes():
    # its spectrum is real and positive: nothing that the ReLU would take away
    wave = 1 + torch.cos(2 * torch.pi * torch.arange(8) / 8).expand(1, 1, 6, 8)

    assert torch.allclose(passing_unit()(wave), wave, atol=1e-6)


@pytest.mark.parametrize(("global_channels", "reaches"), [(0, False), (6, True)])
def test_one_layer_sees_from_corner_to_corner_through_its_global_channels(global_channels, reaches):
    torch.manual_seed(0)
    layer = FourierConv(8, 6)
    features = torch.rand(2, 8, 16, 12, requires_grad=True)
    sources = slice(8 - global_channels, 8) if global_channels else slice(0, 2)

    layer(features)[:, -1, -1, -1].sum().backward()

    assert bool(features.grad[:, sources, 0, 0].abs().sum() > 0) == reaches


def test_each_branch_adds_to_the_other():
    layer = FourierConv(8, 6).eval()

    def change(channels):
        before, after = torch.zeros(2, 1, 8, 4, 4)
        after[:, channels] = torch.rand(1, len(channels), 4, 4)
        return (layer(after) - layer(before)).abs().sum(dim=(0, 2, 3)) > 0

    assert change([0, 1]).tolist() == [True] * 8
    assert change([2, 3, 4, 5, 6, 7]).tolist() == [True] * 8


def test_a_block_adds_to_what_came_in():
    block, features = FourierBlock(8, 6).eval(), torch.rand(1, 8, 4, 4)
    for layer in block.change:
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.zeros_(layer.weight)

    assert torch.equal(block(features), features)


@pytest.mark.parametrize("size", [(12, 20), (7, 3)])  # no powers of two
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_the_transform_is_in_float32_under_any_precision(size, dtype, monkeypatch):
    seen = []
    rfft2, irfft2 = torch.fft.rfft2, torch.fft.irfft2
    monkeypatch.setattr(torch.fft, "rfft2", lambda x, **options: (seen.append(x.dtype), rfft2(x, **options))[1])
    monkeypatch.setattr(torch.fft, "irfft2", lambda x, **options: (seen.append(x.dtype), irfft2(x, **options))[1])
    unit, features = FourierUnit(2).eval(), torch.rand(1, 2, *size)

    with torch.no_grad():
        expected = unit(features)
        with torch.autocast("cpu", dtype):
            cast = unit(features.to(dtype))
        whole = unit.to(dtype)(features.to(dtype))

    assert seen == [torch.float32, torch.complex64] * 3
    assert cast.dtype == whole.dtype == dtype
    assert torch.allclose(cast.float(), expected, atol=0.05)
    assert torch.allclose(whole.float(), expected, atol=0.05)


@pytest.mark.parametrize(("ratio", "split"), [(0.75, [16, 48]), (0.5, [32, 32]), (0.1, [58, 6])])
def test_ratio_is_the_share_of_global_channels(ratio, split):
    network = FourierNet(width=8, blocks=1, ratio=ratio)

    assert network.blocks[0].change[0].split == split


def test_a_block_has_a_number_of_parameters_that_can_be_counted():
    # twice: 2 local channels to 8 and 6 global to 2, 3x3; 6 to 3 and back and 6 to 6 of the spectrum, 1x1; batch norms
    layer = 9 * (2 * 8 + 6 * 2) + (18 + 18 + 36) + 2 * (3 + 6 + 8)
    assert parameters(FourierBlock(8, 6)) == 2 * layer


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"width": 0}, "width 0 is too small; give at least 1"),
        ({"blocks": 0}, "blocks 0 is too small; give at least 1"),
        *(
            (
                {"ratio": ratio},
                f"ratio {ratio} of 192 channels leaves a branch empty; give one between 0 and 1, such as 0.75",
            )
            for ratio in (0.0, 0.001, 0.999, 1.0, 1.5, -1.0, float("nan"))
        ),
    ],
)
def test_wrong_options_are_refused(options, message):
    with pytest.raises(ValueError, match="give") as error:
        FourierNet(**options)
    assert str(error.value) == message
