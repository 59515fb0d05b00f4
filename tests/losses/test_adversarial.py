import math

import pytest
import torch
from torch import nn

from imcomp.losses.adversarial import (
    Adversarial,
    feature_matching_loss,
    fooling_loss,
    r1_penalty,
    share_told,
    telling_loss,
)


def cells(*logits):
    """One map of 2 x 2 cells of a picture of 4 x 4 pixels."""
    return torch.tensor(logits).view(1, 1, 2, 2)


def hole(*touched):
    """One pixel of hole in each of these cells."""
    mask = torch.zeros(1, 1, 4, 4)
    for cell in touched:
        mask[0, 0, 2 * (cell // 2) + 1, 2 * (cell % 2)] = 1
    return mask


def test_not_knowing_costs_the_logarithm_of_two():
    logits = cells(0.0, 9.0, -9.0, 9.0)

    assert fooling_loss(logits, hole(0)).item() == pytest.approx(math.log(2))
    assert telling_loss(logits, logits, hole(0)).item() == pytest.approx(2 * math.log(2))


def test_each_wants_what_the_other_does_not():
    sure, mask = cells(9.0, 9.0, 9.0, 9.0), hole(1, 2)

    assert fooling_loss(sure, mask).item() == pytest.approx(0, abs=1e-3)
    assert fooling_loss(-sure, mask).item() == pytest.approx(9, abs=1e-3)
    assert telling_loss(sure, -sure, mask).item() == pytest.approx(0, abs=1e-3)
    assert telling_loss(-sure, sure, mask).item() == pytest.approx(18, abs=1e-3)


def test_a_fill_that_is_told_for_sure_still_gets_a_gradient():
    logits = cells(-30.0, 0.0, 0.0, 0.0).requires_grad_()

    fooling_loss(logits, hole(0)).backward()

    assert logits.grad.flatten().tolist() == [-1, 0, 0, 0]  # log(1 - sigmoid) would have none: that is saturating


def test_the_share_told():
    true, completed = cells(1.0, 1.0, -1.0, 1.0), cells(-1.0, 1.0, -1.0, -1.0)

    assert share_told(true, completed, hole(0)).item() == 1
    assert share_told(true, completed, hole(1)).item() == 0.5
    assert share_told(true, completed, hole(0, 1, 2, 3)).item() == 0.75


def test_features_are_matched_where_the_hole_is():
    completed = [cells(1.0, 5.0, 0.0, 0.0), torch.full((1, 2, 1, 1), 0.5)]
    true = [cells(0.0, 0.0, 0.0, 0.0), torch.zeros(1, 2, 1, 1)]

    assert feature_matching_loss(completed, true, hole(0)).item() == (1 + 0.5) / 2
    assert feature_matching_loss(completed, true, hole(0, 1)).item() == (3 + 0.5) / 2


class TestR1:
    def test_the_slope_of_a_weighted_sum_is_its_weights(self):
        weight = torch.tensor([1.0, -2.0, 0.0, 2.0], requires_grad=True)
        image = torch.rand(3, 1, 2, 2, requires_grad=True)
        logits = (image.flatten(1) * weight).sum(dim=1).view(3, 1, 1, 1)

        penalty = r1_penalty(logits, image)
        penalty.backward()

        assert penalty.item() == 9  # 1 + 4 + 4
        assert weight.grad.tolist() == [2, -4, 0, 4]  # of the sum of squares
        assert image.grad is None or image.grad.eq(0).all()

    def test_a_slope_that_depends_on_the_picture(self):
        scale = torch.tensor(0.5, requires_grad=True)
        image = torch.tensor([1.0, 3.0]).view(2, 1, 1, 1).requires_grad_()

        penalty = r1_penalty(scale * image.square(), image)  # whose slope is 2 * scale * x
        penalty.backward()

        assert penalty.item() == (1 + 9) / 2
        assert scale.grad.item() == 2 * 0.5 * 4 * (1 + 9) / 2

    def test_all_cells_are_summed(self):
        image = torch.rand(1, 1, 2, 2, requires_grad=True)
        convolution = nn.Conv2d(1, 1, 2, padding=1, bias=False)
        nn.init.ones_(convolution.weight)

        assert r1_penalty(convolution(image), image).item() == 4 * 4**2  # each pixel is seen by four cells


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"weight": -1.0}, "loss.adversarial.weight=-1.0 is out of range"),
        ({"r1": float("nan")}, "loss.adversarial.r1=nan is out of range"),
        ({"r1_every": 0}, "loss.adversarial.r1_every=0 is too small; give at least 1"),
        ({"layers": 0}, "loss.adversarial.layers=0 is too small"),
        ({"margin": -1}, "loss.adversarial.margin=-1 is no distance"),
    ],
)
def test_a_wrong_option_is_told(options, message):
    with pytest.raises(ValueError, match=message):
        Adversarial(**options)
