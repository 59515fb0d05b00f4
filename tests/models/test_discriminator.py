import pytest
import torch

from imcomp.models.discriminator import PatchDiscriminator


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("size", "cells"), [((8, 8), (1, 1)), ((24, 40), (3, 5)), ((31, 9), (3, 1))])
def test_a_logit_for_each_patch_and_the_maps_before(channels, size, cells):
    logits, maps = PatchDiscriminator(channels, width=4)(torch.rand(2, channels, *size))

    assert logits.shape == (2, 1, *cells)
    assert [one.shape[1] for one in maps] == [4, 8, 16]
    assert maps[-1].shape[2:] == cells


def test_widths_stop_at_eight_times():
    _, maps = PatchDiscriminator(width=2, layers=6)(torch.rand(1, 1, 64, 64))

    assert [one.shape[1] for one in maps] == [2, 4, 8, 16, 16, 16]


def test_a_logit_sees_38_pixels():
    image = torch.rand(1, 1, 80, 80, requires_grad=True)
    PatchDiscriminator(width=2)(image)[0][0, 0, 5, 5].backward()

    seen = image.grad[0, 0].abs().sum(dim=0).nonzero().flatten()
    assert seen.max() - seen.min() + 1 == 38


def test_gradient_reaches_every_parameter():
    network = PatchDiscriminator(3, width=4)
    network(torch.rand(2, 3, 16, 16))[0].square().sum().backward()

    assert all(parameter.grad.abs().sum() > 0 for parameter in network.parameters())


def test_pictures_are_told_apart_from_one_another():
    network = PatchDiscriminator(width=4)
    pictures = torch.rand(3, 1, 16, 16)

    torch.testing.assert_close(network(pictures)[0][1:2], network(pictures[1:2])[0])
