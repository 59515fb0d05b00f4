"""What every network keeps to."""

import inspect

import pytest
import torch

from imcomp.models import INITS, NETWORKS, build_network

MASKABLE = [
    name for name, network in sorted(NETWORKS.items()) if "mask_channel" in inspect.signature(network).parameters
]

every_network = pytest.mark.parametrize("name", sorted(NETWORKS))
grey_and_colour = pytest.mark.parametrize("channels", [1, 3], ids=["grey", "colour"])


def build(name, channels=1, seed=0, **options):
    torch.manual_seed(seed)
    return build_network(name, in_channels=channels, **options)


def takes_mask(network):
    return getattr(network, "takes_mask", False)


def picture(network, channels=1, *, rows=1, columns=1, count=2):
    """Random input of so many multiples of the network's smallest size: pictures, and masks if it takes them."""
    size = (rows * network.multiple, columns * network.multiple)
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(count, channels, *size, generator=generator)
    if not takes_mask(network):
        return image
    return torch.cat([image, torch.randint(2, (count, 1, *size), generator=generator).float()], dim=1)


@every_network
@grey_and_colour
@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (2, 2), (2, 3), (5, 1)])
def test_output_has_the_shape_of_the_image(name, channels, rows, columns):
    network = build(name, channels)
    image = picture(network, channels, rows=rows, columns=columns)

    output = network(image)

    assert output.shape == (2, channels, rows * network.multiple, columns * network.multiple)
    assert output.dtype == torch.float32
    assert output.isfinite().all()


def test_every_network_takes_the_mask_by_key():
    assert sorted(NETWORKS) == MASKABLE


@pytest.mark.parametrize("name", MASKABLE)
@grey_and_colour
def test_the_mask_is_one_more_channel_in_and_none_out(name, channels):
    network = build(name, channels, mask_channel=True).eval()
    image = picture(network, channels, rows=2, columns=3).requires_grad_()

    assert not takes_mask(build(name, mask_channel=False))
    assert takes_mask(network)
    assert image.shape[1] == channels + 1
    output = network(image)
    assert output.shape == (2, channels, *image.shape[2:])
    output.square().mean().backward()
    assert image.grad[:, -1].abs().sum() > 0


@every_network
@grey_and_colour
@pytest.mark.parametrize("init", sorted(INITS))
def test_gradient_reaches_every_parameter(name, channels, init):
    network = build(name, channels, init=init)
    image = picture(network, channels, rows=2, columns=2)

    # in training, batch norm takes away whatever bias stands before it; in eval, a map may be positive
    # everywhere, which leaves the slope of its PReLU out
    for training in (True, False):
        network.train(training)
        network(image).square().mean().backward()

    silent = [key for key, parameter in network.named_parameters() if not parameter.grad.abs().sum() > 0]
    assert silent == []


@every_network
def test_eval_is_deterministic_and_treats_pictures_apart(name):
    network = build(name).eval()
    image = picture(network, rows=2, columns=2, count=3)

    with torch.no_grad():
        output = network(image)
        assert torch.equal(network(image), output)
        assert torch.allclose(network(image[1:2]), output[1:2], atol=1e-5)


@every_network
@grey_and_colour
def test_weights_survive_a_round_trip_through_a_safe_file(name, channels, tmp_path):
    network, other = build(name, channels, seed=1).eval(), build(name, channels, seed=2).eval()
    image = picture(network, channels)
    torch.save(network.state_dict(), tmp_path / "weights.pt")

    assert not torch.equal(network(image), other(image))
    other.load_state_dict(torch.load(tmp_path / "weights.pt", weights_only=True))

    assert torch.equal(network(image), other(image))


@every_network
@pytest.mark.parametrize("training", [True, False], ids=["training", "eval"])
def test_one_graph_holds_the_whole_network(name, training):
    torch.compiler.reset()
    network = build(name).train(training)
    image = picture(network, rows=2, columns=3)

    output = torch.compile(network, fullgraph=True, backend="eager")(image)

    assert torch.allclose(output, network(image), atol=1e-5)


@every_network
def test_memory_layout_changes_no_number(name):
    network = build(name).eval()
    image = picture(network, rows=2, columns=3)

    with torch.no_grad():
        output = network(image)
        network.to(memory_format=torch.channels_last)
        assert torch.allclose(network(image), output, atol=1e-5)
        assert torch.allclose(network(image.contiguous(memory_format=torch.channels_last)), output, atol=1e-5)


@every_network
@pytest.mark.parametrize("precision", ["autocast", "whole"])
def test_bfloat16_is_close(name, precision):
    network = build(name).eval()
    image = picture(network, rows=2, columns=3)

    with torch.no_grad():
        output = network(image)
        if precision == "whole":
            rounded = network.bfloat16()(image.bfloat16())
        else:
            with torch.autocast("cpu", torch.bfloat16):
                rounded = network(image)

    assert rounded.dtype == torch.bfloat16
    assert torch.allclose(rounded.float(), output, atol=0.05 * output.std().item() + 0.02 * output.abs().max().item())


@every_network
def test_the_image_is_left_as_it_was(name):
    network = build(name)
    image = picture(network)
    before = image.clone()

    network(image)

    assert torch.equal(image, before)


@every_network
def test_the_seed_decides_the_weights(name):
    one, same, other = (torch.cat([p.flatten() for p in build(name, seed=s).parameters()]) for s in (1, 1, 2))

    assert torch.equal(one, same)
    assert not torch.equal(one, other)


@every_network
def test_unknown_options_are_named_with_their_network(name):
    with pytest.raises(ValueError, match=f"network '{name}': .*'kernels'"):
        build(name, kernels=3)


@every_network
def test_an_unknown_init_lists_the_choices(name):
    with pytest.raises(ValueError, match="unknown init 'zero'; choose from default, kaiming, xavier"):
        build(name, init="zero")


def test_an_unknown_network_lists_the_choices():
    with pytest.raises(ValueError, match="unknown network 'autoencodr'; choose from") as error:
        build("autoencodr")

    assert all(name in str(error.value) for name in NETWORKS)
