"""Errors of more than one pixel: of differences between neighbours, and of averages over squares."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from imcomp.losses.pixels import masked_mean


def gradient_loss(completed: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    r"""Mean absolute error of the differences between neighbours, of all pairs with a pixel in the hole.

    .. math:: L = \langle |\nabla_x (c - t)| \rangle + \langle |\nabla_y (c - t)| \rangle

    It is what a seam at the hole's edge and what blur cost. D. Eigen, R. Fergus: Predicting Depth, Surface Normals and
    Semantic Labels with a Common Multi-Scale Convolutional Architecture, ICCV 2015, there squared.

    Args:
        completed: ``(B, C, H, W)``, the truth outside the hole.
        target: ``(B, C, H, W)``, the truth, in [0, 1].
        mask: ``(B, 1, H, W)``, 1 = hole.

    Returns:
        Scalar; see `masked_mean`.
    """
    error = completed.float() - target.float()
    across = masked_mean(error.diff(dim=3).abs(), (mask[..., 1:] + mask[..., :-1]).clamp(max=1))
    down = masked_mean(error.diff(dim=2).abs(), (mask[..., 1:, :] + mask[..., :-1, :]).clamp(max=1))
    return across + down


class GradientLoss(nn.Module):
    """See `gradient_loss`."""

    margin = 1
    """It looks at so many known pixels round the hole."""

    def __init__(self) -> None:
        super().__init__()  # torch's own would take any keyword

    def forward(self, output: Tensor, target: Tensor, mask: Tensor) -> Tensor:
        return gradient_loss(output, target, mask)


def multiscale_loss(output: Tensor, target: Tensor, mask: Tensor, scales: Sequence[int] = (2, 4, 8)) -> Tensor:
    r"""Mean absolute error of averages over squares: what is left of the error when one looks from afar.

    With :math:`d = m (o - t)`, over all squares of side :math:`k`, those that reach beyond the picture included:

    .. math:: L_k = \frac{1}{k^2 C \sum m} \sum_{\text{squares}} \Bigl| \sum_{p \in \text{square}} d_p \Bigr|

    and the mean over the scales. A hole that is wrong by a constant costs that constant at every scale, and noise costs
    the less the larger the squares are. In the manner of S. Nah et al.: Deep Multi-scale Convolutional Neural Network
    for Dynamic Scene Deblurring, CVPR 2017.

    Args:
        output: ``(B, C, H, W)``, the network's.
        target: ``(B, C, H, W)``, the truth, in [0, 1].
        mask: ``(B, 1, H, W)``, 1 = hole.
        scales: sides of the squares, in pixels.

    Returns:
        Scalar; see `masked_mean`.
    """
    error = (output.float() - target.float()) * mask
    losses = []
    for side in scales:
        area = _square_sums(mask, side)
        losses.append(masked_mean((_square_sums(error, side) / area.clamp(min=1)).abs(), area))
    return torch.stack(losses).mean()


class MultiscaleLoss(nn.Module):
    """See `multiscale_loss`.

    Args:
        scales: sides of the squares, in pixels.

    Raises:
        ValueError: no scale, or one below 1.
    """

    def __init__(self, scales: Sequence[int] = (2, 4, 8)) -> None:
        super().__init__()
        if not scales or min(scales) < 1:
            raise ValueError(f"scales={list(scales)} are no squares; give sides in pixels, such as [2, 4, 8]")
        self.scales = tuple(scales)

    def forward(self, output: Tensor, target: Tensor, mask: Tensor) -> Tensor:
        return multiscale_loss(output, target, mask, self.scales)


def _square_sums(values: Tensor, side: int) -> Tensor:
    """Sums over all squares of this side that hold a pixel: ``(B, C, H, W)`` to ``(B, C, H + side - 1, ...)``."""
    padded = F.pad(values, [side - 1] * 4)
    # rows, then columns: so many additions a pixel as two sides have pixels, not as the square has
    return F.avg_pool2d(F.avg_pool2d(padded, (side, 1), stride=1), (1, side), stride=1) * side**2
