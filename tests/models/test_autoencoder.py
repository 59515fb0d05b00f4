import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from imcomp.box import Box
from imcomp.models.autoencoder import Autoencoder


def parameters(network):
    return sum(parameter.numel() for parameter in network.parameters())


def convolutions(network):
    """Widths before and after each convolution."""
    return [(layer.in_channels, layer.out_channels) for layer in network.modules() if isinstance(layer, nn.Conv2d)]


def kinds(block):
    return [type(layer) for layer in block]


def test_the_grey_default_has_the_references_number_of_parameters():
    assert parameters(Autoencoder()) == 776_843


def test_a_small_network_has_a_number_of_parameters_that_can_be_counted():
    # down, 1 to 2 channels: convolution 2 * 9 + 2, batch norm 2 * 2, PReLU 1; up, 2 to 1: 18 + 1, 2 * 1, 1
    assert parameters(Autoencoder(channels=[2])) == 20 + 4 + 1 + 19 + 2 + 1


def test_the_reference_has_four_blocks_down_and_four_up():
    network = Autoencoder()

    assert network.multiple == 16
    assert len(network.encoder) == len(network.decoder) == 4
    for block in network.encoder:
        assert kinds(block) == [nn.Conv2d, nn.MaxPool2d, nn.BatchNorm2d, nn.PReLU]
    for block in network.decoder:
        assert kinds(block) == [nn.Upsample, nn.Conv2d, nn.BatchNorm2d, nn.PReLU]
        assert (block[0].mode, block[0].align_corners, block[0].scale_factor) == ("bilinear", True, 2)


def test_the_smallest_map_has_all_channels():
    network = Autoencoder()

    assert network.encoder(torch.zeros(1, 1, 64, 32)).shape == (1, 256, 4, 2)


@pytest.mark.parametrize("in_channels", [1, 3])
@pytest.mark.parametrize("channels", [(4,), (8, 4), (4, 8, 16)])
def test_the_way_up_mirrors_the_way_down(in_channels, channels):
    network = Autoencoder(in_channels, channels)

    down, up = convolutions(network.encoder), convolutions(network.decoder)

    assert [after for _, after in down] == list(channels)
    assert down[0][0] == in_channels
    assert up == [(after, before) for before, after in reversed(down)]
    assert network.multiple == 2 ** len(channels)


@pytest.mark.parametrize("kernel_size", [1, 3, 5, 7])
def test_odd_kernels_keep_sizes(kernel_size):
    network = Autoencoder(channels=(2, 4), kernel_size=kernel_size)

    assert network(torch.zeros(1, 1, 8, 12)).shape == (1, 1, 8, 12)
    assert {layer.kernel_size for layer in network.modules() if isinstance(layer, nn.Conv2d)} == {
        (kernel_size, kernel_size)
    }


@pytest.mark.parametrize("kernel_size", [0, 2, 4, -1])
def test_even_kernels_are_refused(kernel_size):
    with pytest.raises(ValueError, match=f"kernel_size {kernel_size} is not odd; give 3, 5 or 7"):
        Autoencoder(kernel_size=kernel_size)


@pytest.mark.parametrize("channels", [(), (0,), (32, -1)])
def test_missing_channels_are_refused(channels):
    with pytest.raises(ValueError, match="is no list of widths; give one of at least 1 for each level"):
        Autoencoder(channels=channels)


@pytest.mark.parametrize("dropout", [-0.1, 1.0, 1.5, float("nan")])
def test_a_dropout_that_is_no_probability_is_refused(dropout):
    with pytest.raises(ValueError, match=f"dropout {dropout} is not a probability below 1; give 0"):
        Autoencoder(dropout=dropout)


def test_dropout_follows_each_block_but_the_last():
    network = Autoencoder(channels=(2, 4), dropout=0.25)

    blocks = [*network.encoder, *network.decoder]

    assert [isinstance(block[-1], nn.Dropout2d) for block in blocks] == [True, True, True, False]
    assert {layer.p for layer in network.modules() if isinstance(layer, nn.Dropout2d)} == {0.25}


def test_dropout_acts_in_training_only():
    torch.manual_seed(0)
    network = Autoencoder(channels=(8, 8), dropout=0.5)
    image = torch.rand(1, 1, 8, 8)

    network.train()
    assert not torch.equal(network(image), network(image))
    network.eval()
    assert torch.equal(network(image), network(image))


def test_dropout_takes_whole_feature_maps():
    torch.manual_seed(0)
    block = Autoencoder(channels=(64,), dropout=0.5).encoder[0].train()

    maps = block(torch.rand(1, 1, 8, 8))[0].flatten(1)

    dropped = maps.eq(0).all(dim=1)
    assert 16 < dropped.sum() < 48
    assert maps[~dropped].ne(0).all()


def test_dropout_adds_no_weights():
    assert Autoencoder(dropout=0.5).state_dict().keys() == Autoencoder().state_dict().keys()


def flops(network, box):
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.zeros(1, 1, 256, 256, device="meta"), box)
    return round(counter.get_total_flops() / 1e9, 2)


def test_a_hole_costs_less_than_a_fifth_of_the_picture():
    network, hole = Autoencoder().to("meta"), Box(108, 108, 148, 148)

    trained = flops(network.train(), hole)

    network.eval()
    assert (flops(network, None), flops(network, hole), trained) == (3.70, 0.68, 0.75)  # as docs/networks.md says


def test_in_training_batch_norm_averages_beyond_the_hole():
    torch.manual_seed(0)
    image, hole = torch.rand(4, 1, 32, 32), Box(12, 12, 20, 20)

    def trained(norm_margin, box):
        torch.manual_seed(1)
        network = Autoencoder(channels=(4, 8), norm_margin=norm_margin).train()
        output = network(image, box)
        return output, [block[2].running_mean for block in [*network.encoder, *network.decoder]]

    whole, of_whole = trained(0, None)
    for margin, box in ((12, hole), (4, hole), (0, hole.grow(4))):
        output, means = trained(margin, box)
        assert output.shape[2:] == (box.height, box.width)
        close = [torch.allclose(one, other, atol=1e-6) for one, other in zip(means, of_whole, strict=True)]
        assert all(close) == (margin == 12)
        assert torch.allclose(output, box.crop(whole), atol=1e-5) == (margin == 12)
    assert torch.equal(trained(4, hole)[0], hole.within(hole.grow(4)).crop(trained(0, hole.grow(4))[0]))


def test_a_margin_below_0_is_refused():
    with pytest.raises(ValueError, match="norm_margin"):
        Autoencoder(norm_margin=-1)
