"""Scores of one picture, from its mean squared error over the hole."""

import torch
from torch import Tensor

TOLERANCE = 0.005
"""A completion counts as accurate when its own mean squared error over the hole is at most this (the reference's)."""


def hole_psnr(mse: Tensor) -> Tensor:
    """Peak signal-to-noise ratio in dB for pictures in [0, 1], ``10 log10(1 / mse)``, at most 100 dB."""
    return -10 * torch.log10(mse.clamp(min=1e-10))


def hole_accuracy(mse: Tensor, tolerance: float = TOLERANCE) -> Tensor:
    """1.0 where a picture's mean squared error over the hole is at most ``tolerance``, else 0.0."""
    return (mse <= tolerance).float()
