import pytest
import torch

from imcomp.losses.pixels import (
    L1,
    MSE,
    PSNR,
    Charbonnier,
    hole_mse,
    masked_charbonnier,
    masked_l1,
    masked_mse,
    masked_psnr,
    touched_cells,
)


def hole(*areas, size=(2, 2)):
    """One mask for each area: so many pixels of hole, from the top left on."""
    mask = torch.zeros(len(areas), size[0] * size[1])
    for row, area in zip(mask, areas, strict=True):
        row[:area] = 1
    return mask.view(-1, 1, *size)


def wrong_by(*errors, channels=1):
    """Output and target of 2 x 2 pixels; each picture's output is off by so much everywhere."""
    target = torch.full((len(errors), channels, 2, 2), 0.25)
    return target + torch.tensor(errors).view(-1, 1, 1, 1), target


def test_one_wrong_pixel_in_a_hole_of_four():
    target = torch.zeros(1, 1, 2, 2)
    output = target.clone()
    output[0, 0, 0, 0] = 1

    assert hole_mse(output, target, hole(4)).tolist() == [0.25]
    assert masked_mse(output, target, hole(4)).item() == 0.25


def test_errors_outside_the_hole_do_not_count():
    target = torch.zeros(1, 1, 2, 2)
    output = torch.tensor([[[[0.5, 0.0], [9.0, -9.0]]]])  # the hole is the upper row

    assert hole_mse(output, target, hole(2)).tolist() == [0.125]
    assert masked_mse(output, target, hole(2)).item() == 0.125


def test_each_picture_is_averaged_over_its_own_hole():
    output, target = wrong_by(1.0, 0.5, 2.0)

    assert hole_mse(output, target, hole(1, 2, 4)).tolist() == [1.0, 0.25, 4.0]


def test_pictures_weigh_the_same_whatever_their_holes():
    output, target = wrong_by(1.0, 0.0)

    assert masked_mse(output, target, hole(1, 4)).item() == 0.5
    assert masked_mse(output, target, hole(4, 1)).item() == 0.5


def test_channels_are_averaged():
    target = torch.zeros(1, 3, 2, 2)
    output = target.clone()
    output[0, 2] = 1  # one channel of three is wrong

    assert hole_mse(output, target, hole(2)).item() == pytest.approx(1 / 3)
    assert masked_mse(output, target, hole(2)).item() == pytest.approx(1 / 3)


def test_a_picture_without_a_hole_is_nan_and_not_counted():
    output, target = wrong_by(0.5, 3.0, 1.0)
    mask = hole(4, 0, 2)

    errors = hole_mse(output, target, mask)

    assert errors[[0, 2]].tolist() == [0.25, 1.0]
    assert errors[1].isnan()
    assert masked_mse(output, target, mask).item() == 0.625  # (0.25 + 1) / 2


def test_a_batch_without_holes_costs_nothing_and_gives_no_gradient():
    output, target = wrong_by(0.5, 3.0)
    output.requires_grad_()

    loss = masked_mse(output, target, hole(0, 0))
    loss.backward()

    assert loss.item() == 0
    assert output.grad.eq(0).all()


def test_the_gradient_is_zero_outside_the_hole():
    output, target = wrong_by(0.5, -1.0, 3.0)
    output.requires_grad_()

    masked_mse(output, target, hole(2, 4, 0)).backward()

    # 2 * error / area / pictures with a hole
    assert output.grad[0].flatten().tolist() == [0.25, 0.25, 0, 0]
    assert output.grad[1].flatten().tolist() == [-0.25, -0.25, -0.25, -0.25]
    assert output.grad[2].eq(0).all()


def test_the_truth_is_not_rounded_to_the_outputs_precision():
    output = torch.full((1, 1, 2, 2), 0.5, dtype=torch.bfloat16)
    target = torch.full((1, 1, 2, 2), 0.499)  # in bfloat16 this is 0.5

    assert hole_mse(output, target, hole(4)).item() == pytest.approx(1e-6, rel=1e-3)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_summed_in_float32(dtype):
    # 1,600 squares of 0.5 are 400; bfloat16, adding one by one, would stop at 64
    output = torch.full((1, 1, 40, 40), 0.5, dtype=dtype, requires_grad=True)
    target = torch.zeros(1, 1, 40, 40)
    target[0, 0, 0, 0] = 0.5
    mask = torch.ones(1, 1, 40, 40)

    loss = masked_mse(output, target, mask)
    loss.backward()

    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(0.25 * 1599 / 1600, rel=1e-6)
    assert hole_mse(output, target, mask).dtype == torch.float32
    assert output.grad.dtype == dtype


def test_the_loss_is_the_mean_of_the_scores():
    generator = torch.Generator().manual_seed(0)
    output, target = torch.rand(2, 5, 3, 8, 8, generator=generator)
    mask = (torch.rand(5, 1, 8, 8, generator=generator) < 0.3).float()

    assert masked_mse(output, target, mask).item() == pytest.approx(hole_mse(output, target, mask).mean().item())


class TestOtherErrors:
    def test_l1_of_one_wrong_pixel_in_a_hole_of_four(self):
        output, target = torch.zeros(2, 1, 1, 2, 2)
        output[0, 0, 0, 0] = 1

        assert masked_l1(output, target, hole(4)).item() == 0.25
        assert masked_l1(output, target, hole(1)).item() == 1

    def test_charbonnier_is_the_error_where_it_is_large_and_half_its_square_where_it_is_small(self):
        large, small = wrong_by(1.0), wrong_by(0.01)

        assert masked_charbonnier(*large, hole(4), epsilon=0.75).item() == 1.25  # 3, 4 and 5 quarters
        assert masked_charbonnier(*large, hole(4)).item() == pytest.approx(1, abs=1e-6)
        assert masked_charbonnier(*small, hole(4), epsilon=1).item() == pytest.approx(1 + 0.01**2 / 2, abs=1e-7)

    @pytest.mark.parametrize("error", [masked_l1, masked_charbonnier])
    def test_pictures_weigh_the_same_and_those_without_a_hole_do_not_count(self, error):
        output, target = wrong_by(1.0, 3.0, 0.5)

        assert error(output, target, hole(1, 0, 4)).item() == pytest.approx(0.75, abs=1e-5)
        assert error(output, target, hole(0, 0, 0)).item() == 0

    def test_psnr_is_the_mean_of_the_pictures_own_and_those_without_a_hole_do_not_count(self):
        output, target = wrong_by(0.1, 1.0, 0.0)

        assert masked_psnr(output, target, hole(1, 4, 0)).item() == pytest.approx(10, abs=1e-3)  # of 20 and 0 dB
        assert masked_psnr(output, target, hole(0, 0, 4)).item() == pytest.approx(60)
        assert masked_psnr(output, target, hole(0, 0, 0)).item() == 0

    @pytest.mark.parametrize("error", [masked_mse, masked_l1, masked_charbonnier, masked_psnr])
    def test_the_gradient_is_that_of_differences(self, error):
        generator = torch.Generator().manual_seed(0)
        output, target = torch.rand(2, 2, 3, 4, 4, generator=generator)
        mask = (torch.rand(2, 1, 4, 4, generator=generator) < 0.5).float()
        step = torch.rand(output.shape, generator=generator) * 1e-3
        output.requires_grad_()

        error(output, target, mask).backward()

        after, before = (error(output + sign * step, target, mask).item() for sign in (1, -1))
        assert (output.grad * step).sum().item() == pytest.approx((after - before) / 2, rel=0.02)

    def test_a_rounded_tip_has_a_slope_of_zero_where_there_is_no_error(self):
        output, target = wrong_by(0.0)
        output.requires_grad_()

        masked_charbonnier(output, target, hole(4)).backward()

        assert output.grad.eq(0).all()


class TestKnown:
    @pytest.mark.parametrize("loss", [MSE, L1])
    def test_known_pixels_count_by_their_weight(self, loss):
        target = torch.zeros(1, 1, 2, 2)
        output = torch.tensor([[[[1.0, 1.0], [2.0, 2.0]]]])  # the hole is the upper row
        power = 4 if loss is MSE else 2

        assert loss()(output, target, hole(2)).item() == 1
        assert loss(known=0.5)(output, target, hole(2)).item() == 1 + power / 2
        assert (loss().everywhere, loss(known=0.5).everywhere) == (False, True)

    def test_a_picture_that_is_all_hole_has_no_known_pixels(self):
        output, target = wrong_by(1.0)

        assert MSE(known=3)(output, target, hole(4)).item() == 1

    @pytest.mark.parametrize("known", [-1.0, float("nan"), float("inf")])
    def test_what_is_no_weight_is_refused(self, known):
        with pytest.raises(ValueError, match=f"known={known} is no weight; give"):
            L1(known=known)

    def test_charbonnier_takes_both_options(self):
        output, target = wrong_by(1.0)

        assert Charbonnier(epsilon=0.75, known=1)(output, target, hole(2)).item() == 2.5
        with pytest.raises(ValueError, match="epsilon=0 leaves the loss without a slope"):
            Charbonnier(epsilon=0)

    def test_psnr_takes_both_options(self):
        output, target = wrong_by(1.0)

        assert PSNR(epsilon=9, known=1)(output, target, hole(2)).item() == pytest.approx(20)
        with pytest.raises(ValueError, match="epsilon=0 leaves the loss without an end"):
            PSNR(epsilon=0)


def test_a_cell_is_touched_by_one_pixel_of_hole():
    mask = torch.zeros(1, 1, 8, 8)
    mask[0, 0, 3, 4] = 1

    assert touched_cells(mask, torch.zeros(1, 5, 2, 2)).tolist() == [[[[0, 1], [0, 0]]]]
    assert touched_cells(mask, torch.zeros(1, 5, 1, 1)).item() == 1
