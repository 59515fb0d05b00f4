"""Scores of one picture, from its errors over the hole."""

import torch
from torch import Tensor

TOLERANCE = 0.005
"""A completion counts as accurate when its own mean squared error over the hole is at most this (the reference's)."""

AREAS = (0.0, 0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 1.0)
"""Edges of the bins of a hole's share of its picture; each bin holds its upper edge."""


def hole_mae(output: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Mean absolute error of each picture over its own hole.

    Args:
        output: ``(B, C, H, W)``, the network's.
        target: ``(B, C, H, W)``, the truth, in [0, 1].
        mask: ``(B, 1, H, W)``, 1 = hole.

    Returns:
        ``(B,)`` float32; NaN where a picture has no hole.
    """
    errors = (output.float() - target.float()).abs() * mask
    return errors.sum(dim=(1, 2, 3)) / (mask.sum(dim=(1, 2, 3)) * output.shape[1])


def hole_psnr(mse: Tensor) -> Tensor:
    """Peak signal-to-noise ratio in dB for pictures in [0, 1], ``10 log10(1 / mse)``, at most 100 dB."""
    return -10 * torch.log10(mse.clamp(min=1e-10))


def hole_accuracy(mse: Tensor, tolerance: float = TOLERANCE) -> Tensor:
    """1.0 where a picture's mean squared error over the hole is at most ``tolerance``, else 0.0."""
    return (mse <= tolerance).float()


def hole_area(mask: Tensor) -> Tensor:
    """The hole's share of each picture, in [0, 1]: ``(B, 1, H, W)`` to ``(B,)``."""
    return mask.mean(dim=(1, 2, 3))
