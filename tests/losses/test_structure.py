import pytest
import torch

from imcomp.losses.structure import GradientLoss, MultiscaleLoss, gradient_loss, multiscale_loss


def empty(size=6, channels=1):
    """Completed picture, truth and a mask without a hole."""
    return torch.zeros(1, channels, size, size), torch.zeros(1, channels, size, size), torch.zeros(1, 1, size, size)


class TestGradient:
    def test_one_wrong_pixel_is_one_end_of_four_pairs(self):
        completed, target, mask = empty()
        completed[0, 0, 2, 2] = 0.5
        mask[0, 0, 2, 2] = 1

        assert gradient_loss(completed, target, mask).item() == 1  # 0.5 along each axis

    def test_a_constant_error_costs_at_the_holes_edge_alone(self):
        completed, target, mask = empty()
        mask[..., 1:4, 1:4] = 1
        completed += 0.4 * mask

        # along each axis three rows of four pairs, the outer two of which are seams
        assert gradient_loss(completed, target, mask).item() == pytest.approx(2 * 0.4 * 2 / 4)

    def test_at_the_pictures_border_there_is_no_pair(self):
        completed, target, mask = empty(2)
        mask += 1
        completed += 0.4

        assert gradient_loss(completed, target, mask).item() == 0

    def test_the_truth_costs_nothing_and_blur_does(self):
        generator = torch.Generator().manual_seed(0)
        target = torch.rand(1, 3, 8, 8, generator=generator)
        mask = torch.ones(1, 1, 8, 8)

        assert gradient_loss(target, target, mask).item() == 0
        assert gradient_loss(target.mean(dim=(2, 3), keepdim=True).expand_as(target), target, mask).item() > 0.5

    def test_a_batch_without_holes_costs_nothing(self):
        assert gradient_loss(*empty()).item() == 0

    def test_the_class_asks_for_the_pixels_round_the_hole(self):
        completed, target, mask = empty()
        completed[0, 0, 2, 2] = 0.5
        mask[0, 0, 2, 2] = 1

        assert GradientLoss.margin == 1
        assert GradientLoss()(completed, target, mask).item() == 1


class TestMultiscale:
    @pytest.mark.parametrize("scales", [(1,), (2,), (3, 8), (16,)])
    def test_a_constant_error_costs_itself_at_every_scale(self, scales):
        output, target, mask = empty(channels=3)
        mask[..., 1:4, 2:6] = 1

        assert multiscale_loss(output + 0.25, target, mask, scales).item() == pytest.approx(0.25)

    def test_what_evens_out_costs_the_less_the_larger_the_squares_are(self):
        _, target, mask = empty(8)
        mask += 1
        checks = (torch.arange(8)[:, None] + torch.arange(8)) % 2 * 2.0 - 1
        output = target + checks

        assert multiscale_loss(output, target, mask, (1,)).item() == 1
        # of 81 squares of side 2 the four corners hold one pixel, the 28 at the sides two that even out
        assert multiscale_loss(output, target, mask, (2,)).item() == pytest.approx(4 / 256)

    def test_scale_one_is_l1_and_several_are_averaged(self):
        output, target, mask = empty(2)
        mask[0, 0, 0] = 1
        output[0, 0, 0, 0] = 0.5  # of a hole of two

        one, two, both = (multiscale_loss(output, target, mask, scales).item() for scales in [(1,), (2,), (1, 2)])
        assert one == 0.25
        assert both == pytest.approx((one + two) / 2)

    def test_what_is_outside_the_hole_does_not_count(self):
        output, target, mask = empty()
        mask[..., :3] = 1
        output[..., 3:] = 9

        assert multiscale_loss(output, target, mask).item() == 0

    @pytest.mark.parametrize("scales", [[], [0], [4, -1]])
    def test_what_is_no_scale_is_refused(self, scales):
        with pytest.raises(ValueError, match="are no squares; give sides in pixels"):
            MultiscaleLoss(scales)
