"""Errors of single pixels: inside the hole, and as much as one likes outside of it."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def hole_mse(output: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    r"""Mean squared error of each picture over its own hole.

    .. math:: \text{MSE}_b = \frac{\sum m_b (o_b - t_b)^2}{C \sum m_b}

    Args:
        output: ``(B, C, H, W)``, the network's.
        target: ``(B, C, H, W)``, the truth, in [0, 1].
        mask: ``(B, 1, H, W)``, 1 = hole.

    Returns:
        ``(B,)`` float32; NaN where a picture has no hole.

    >>> import torch
    >>> target = torch.zeros(1, 1, 2, 2)
    >>> output = torch.tensor([[[[1.0, 0.0], [0.0, 0.0]]]])
    >>> hole_mse(output, target, torch.ones(1, 1, 2, 2))
    tensor([0.2500])
    """
    squares, area = _sums(_difference(output, target).square(), mask)
    return squares / area


def masked_mean(values: Tensor, weight: Tensor) -> Tensor:
    """Mean over the pictures of each one's weighted mean; pictures without any weight do not count.

    Args:
        values: ``(B, C, H, W)``.
        weight: ``(B, 1, H, W)``, at least 0; a mask gives the mean over its hole.

    Returns:
        Scalar; 0 where no picture has any weight, so that such a batch gives no gradient rather than NaN.
    """
    return _over_pictures(*_own_means(values, weight))


def touched_cells(mask: Tensor, cells: Tensor) -> Tensor:
    """1 for each cell of a map that the hole touches.

    Args:
        mask: ``(B, 1, H, W)``, 1 = hole.
        cells: ``(B, C, h, w)``, a map of the same picture.

    Returns:
        ``(B, 1, h, w)`` float32.
    """
    return F.adaptive_max_pool2d(mask.float(), cells.shape[-2:])


def masked_mse(output: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Mean over the pictures of their `hole_mse`; see `masked_mean`."""
    return masked_mean(_difference(output, target).square(), mask)


def masked_l1(output: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Mean absolute error inside the hole; see `masked_mean`."""
    return masked_mean(_difference(output, target).abs(), mask)


def masked_charbonnier(output: Tensor, target: Tensor, mask: Tensor, epsilon: float = 1e-3) -> Tensor:
    r"""Mean of :math:`\sqrt{d^2 + \epsilon^2}` inside the hole; see `masked_mean`.

    P. Charbonnier et al.: Two deterministic half-quadratic regularization algorithms for computed imaging, ICIP 1994.
    """
    return masked_mean(torch.sqrt(_difference(output, target).square() + epsilon**2), mask)


def masked_psnr(output: Tensor, target: Tensor, mask: Tensor, epsilon: float = 1e-6) -> Tensor:
    r"""Mean over the pictures of their peak signal-to-noise ratio inside the hole, in dB.

    .. math:: \text{PSNR}_b = -10 \log_{10}(\text{MSE}_b + \epsilon)

    Pictures without a hole do not count; 0 where there is no other.
    """
    squares, counted = _own_means(_difference(output, target).square(), mask)
    return _over_pictures(-10 * torch.log10(squares + epsilon), counted)


class PixelLoss(nn.Module):
    """An error of each pixel, averaged over the hole, and ``known`` times its average over the known pixels.

    Args:
        known: what the known pixels weigh beside the hole's 1. Above 0 the network computes the whole picture.

    Raises:
        ValueError: a weight that is no number of at least 0.
    """

    def __init__(self, known: float = 0.0) -> None:
        super().__init__()
        if not 0 <= known < math.inf:
            raise ValueError(f"known={known} is no weight; give a number of at least 0")
        self.known = known
        self.everywhere = known > 0

    def forward(self, output: Tensor, target: Tensor, mask: Tensor) -> Tensor:
        loss = self.error(output, target, mask)
        return loss + self.known * self.error(output, target, 1 - mask) if self.everywhere else loss

    def error(self, output: Tensor, target: Tensor, mask: Tensor) -> Tensor:
        """The mean error where ``mask`` is 1."""
        raise NotImplementedError


class MSE(PixelLoss):
    """See `masked_mse`: what is monitored, and what blurs where several fills are as likely."""

    def error(self, output: Tensor, target: Tensor, mask: Tensor) -> Tensor:
        return masked_mse(output, target, mask)


class L1(PixelLoss):
    """See `masked_l1`."""

    def error(self, output: Tensor, target: Tensor, mask: Tensor) -> Tensor:
        return masked_l1(output, target, mask)


class Charbonnier(PixelLoss):
    """See `masked_charbonnier`.

    Args:
        epsilon: below it an error counts by its square, above it by its size; above 0.
        known: see `PixelLoss`.

    Raises:
        ValueError: an epsilon that is not above 0, and as `PixelLoss`.
    """

    def __init__(self, epsilon: float = 1e-3, known: float = 0.0) -> None:
        super().__init__(known)
        self.epsilon = _checked_epsilon(epsilon, "a slope")

    def error(self, output: Tensor, target: Tensor, mask: Tensor) -> Tensor:
        return masked_charbonnier(output, target, mask, self.epsilon)


class PSNR(PixelLoss):
    """Minus `masked_psnr`, so that each picture counts by the ratio by which its error falls, whether large or small.

    It is what L. Chen et al. train with: Simple baselines for image restoration, ECCV 2022,
    https://arxiv.org/abs/2204.04676.

    Args:
        epsilon: a squared error that is as good as none; above 0.
        known: see `PixelLoss`.

    Raises:
        ValueError: an epsilon that is not above 0, and as `PixelLoss`.
    """

    def __init__(self, epsilon: float = 1e-6, known: float = 0.0) -> None:
        super().__init__(known)
        self.epsilon = _checked_epsilon(epsilon, "an end")

    def error(self, output: Tensor, target: Tensor, mask: Tensor) -> Tensor:
        return -masked_psnr(output, target, mask, self.epsilon)


def _difference(output: Tensor, target: Tensor) -> Tensor:
    # float32 whatever the network computed in: a mean over 1,600 bfloat16 squares keeps two digits
    return output.float() - target.float()


def _sums(values: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    return (values * weight).sum(dim=(1, 2, 3)), weight.sum(dim=(1, 2, 3)) * values.shape[1]


def _own_means(values: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Each picture's weighted mean, and whether it has any weight; 0 where it has none."""
    total, area = _sums(values, weight)
    # clamped, since a division 0 / 0 would send NaN backwards even where its result is not used
    return total / area.clamp(min=1e-6), area > 0


def _over_pictures(values: Tensor, counted: Tensor) -> Tensor:
    """Mean of those that count; 0 where none does."""
    return (values * counted).sum() / counted.sum().clamp(min=1)


def _checked_epsilon(epsilon: float, needed: str) -> float:
    if not 0 < epsilon < math.inf:
        raise ValueError(f"epsilon={epsilon} leaves the loss without {needed} at 0; give a number above 0")
    return epsilon
