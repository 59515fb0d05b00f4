import pytest
import torch

from imcomp.box import Box
from imcomp.filling import check_context, fill
from imcomp.models import NETWORKS, build_network

SMALL = {
    "autoencoder": {"channels": (4, 6)},
    "fast": {"channels": (4, 6), "stem": 2, "bottom_blocks": 0},
    "ffc": {"width": 4, "blocks": 1},
    "gated": {"width": 4, "dilations": (2,)},
    "unet": {"channels": (4, 6)},
}
"""Networks that see less than the whole of a picture of 128 pixels, but for `ffc`."""

BOXES = [Box(60, 44, 68, 60), Box(0, 0, 5, 7), Box(100, 3, 128, 4), Box(0, 0, 128, 128), Box(121, 121, 128, 128)]

every_network = pytest.mark.parametrize("name", sorted(NETWORKS))


def build(name, channels=1, **options):
    torch.manual_seed(0)
    network = build_network(name, in_channels=channels, **SMALL[name], **options).eval()
    for module in network.modules():  # statistics that are not the neutral ones
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.5, 2)
    return network


def pictures(box, channels=1, size=128):
    generator = torch.Generator().manual_seed(1)
    mask = torch.zeros(2, 1, size, size)
    box.crop(mask).fill_(1)
    return torch.rand(2, channels, size, size, generator=generator), mask


@every_network
@pytest.mark.parametrize("box", BOXES)
@torch.no_grad()
def test_within_reach_the_box_gets_the_numbers_of_the_whole_picture(name, box):
    network = build(name)
    image, mask = pictures(box)

    whole = fill(network, image, mask)
    part = fill(network, image, mask, box, context="reach")

    assert part.shape == (2, 1, box.height, box.width)
    torch.testing.assert_close(part, box.crop(whole), atol=1e-5, rtol=1e-4)


@every_network
def test_less_is_computed_where_the_network_sees_less(name):
    network = build(name)
    box = BOXES[0]
    seen = []
    first = next(module for module in network.modules() if isinstance(module, torch.nn.Conv2d))
    network.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].shape[-2:]))

    fill(network, *pictures(box), box, context="reach")

    assert first.weight.grad is None
    if name == "ffc":
        assert seen == [(128, 128)]
    elif name != "autoencoder":  # which is shown all of it, and takes the part that it needs
        assert seen[0][0] < 128
        assert seen[0][1] < 128


@pytest.mark.parametrize("name", ["autoencoder", "fast", "unet"])
@torch.no_grad()
def test_colour_and_the_mask_as_a_channel(name):
    network = build(name, channels=3, mask_channel=True)
    box = BOXES[0]
    image, mask = pictures(box, channels=3)

    part = fill(network, image, mask, box, context="reach")

    torch.testing.assert_close(part, box.crop(fill(network, image, mask)), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", ["autoencoder", "fast"])
def test_gradients_are_those_of_the_whole_picture(name):
    box = BOXES[0]
    image, mask = pictures(box)
    gradients = []
    for context in (None, "reach"):
        network = build(name)
        fill(network, image, mask, box, context=context).square().mean().backward()
        gradients.append([parameter.grad for parameter in network.parameters()])

    for whole, part in zip(*gradients, strict=True):
        torch.testing.assert_close(part, whole, atol=1e-6, rtol=1e-3)


@torch.no_grad()
def test_a_number_of_pixels_is_all_that_the_network_is_shown():
    network = build("fast")
    box = Box(60, 44, 68, 60)
    image, mask = pictures(box)
    far = image.clone()
    box.grow(4).crop(far).zero_()
    near = image - far

    shown = fill(network, image, mask, box, context=2)

    # rounded outwards to multiples of the network's 4, which is 56..72 and 40..64
    assert torch.equal(shown, fill(network, near, mask, box, context=2))
    assert not torch.allclose(shown, box.crop(fill(network, image, mask)), atol=1e-6)


@every_network
@torch.no_grad()
def test_without_a_box_all_is_computed(name):
    network = build(name)
    image, mask = pictures(BOXES[0])

    assert torch.equal(fill(network, image, mask, context="reach"), fill(network, image, mask))


def test_what_is_under_the_hole_is_not_seen():
    network = build("fast")
    box = BOXES[0]
    image, mask = pictures(box)
    other = image.clone()
    box.crop(other).fill_(0.5)

    assert torch.equal(*(fill(network, each, mask, box, context="reach") for each in (image, other)))


def test_a_size_that_does_not_divide_says_what_to_do():
    with pytest.raises(ValueError, match="width 66 is not a multiple of 4; pad or resize to 68"):
        fill(build("autoencoder"), torch.zeros(1, 1, 64, 66), torch.zeros(1, 1, 64, 66))


@pytest.mark.parametrize("context", [None, "reach", 0, 44])
def test_contexts(context):
    assert check_context(context) == context


@pytest.mark.parametrize("context", [-1, "all", 1.5])
def test_what_is_no_context_says_what_to_give(context):
    with pytest.raises(ValueError, match=f"context={context} is no distance; give"):
        check_context(context)


@every_network
@pytest.mark.parametrize("context", [None, "reach"])
@torch.no_grad()
def test_a_self_ensemble_is_the_mean_with_the_mirrored_pictures_fill(name, context):
    network, box = build(name), BOXES[0]
    image, mask = pictures(box)
    whole = (fill(network, image, mask) + fill(network, image.flip(-1), mask.flip(-1)).flip(-1)) / 2
    output = fill(network, image, mask, context and box, context=context, self_ensemble=True)
    torch.testing.assert_close(output, box.crop(whole) if context else whole, atol=1e-5, rtol=1e-4)


@every_network
@torch.no_grad()
def test_a_network_on_another_scale_is_shown_and_asked_on_it(name):
    plain, scaled = build(name), build(name, mean=0.25, std=0.5)
    image, mask = pictures(BOXES[0])
    shown = []
    scaled.register_forward_pre_hook(lambda _, inputs: shown.append(inputs[0]))

    filled = fill(scaled, image, mask)

    expected = (image - 0.25) / 0.5 * (1 - mask)
    torch.testing.assert_close(shown[0][:, :1], expected)
    given = torch.cat([expected, mask], dim=1) if scaled.takes_mask else expected
    torch.testing.assert_close(filled, plain(given) * 0.5 + 0.25)
    part = fill(scaled, image, mask, BOXES[0], context="reach")
    torch.testing.assert_close(part, BOXES[0].crop(filled), atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_half_precision_is_brought_back_in_full():
    network = build("fast", mean=0.45, std=0.225)
    image, mask = pictures(BOXES[0])

    with torch.autocast("cpu", torch.bfloat16):
        filled = fill(network, image, mask)

    assert filled.dtype == torch.float32
