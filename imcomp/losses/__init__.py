"""Losses: functions of output, target and mask, and thin classes over them, summed by weight.

A loss is called with ``output`` and ``target`` ``(B, C, H, W)`` and ``mask`` ``(B, 1, H, W)``, 1 = hole, and returns a
scalar. What ``output`` holds outside the hole depends on two attributes that it may have:

- neither: nothing that counts. It is the network's output in a rectangle round the hole, or everywhere;
- ``margin``: the truth. It is the completed picture, in that rectangle and so many pixels round it; None: all of it;
- ``everywhere``, where it is set: the network's output. The network then computes the whole picture.
"""

from collections.abc import Callable

from torch import nn

from imcomp.losses.perceptual import PerceptualLoss
from imcomp.losses.pixels import L1, MSE, PSNR, Charbonnier, hole_mse, masked_mse
from imcomp.losses.ssim import SSIMLoss, hole_ssim
from imcomp.losses.structure import GradientLoss, MultiscaleLoss

__all__ = ["LOSSES", "hole_mse", "hole_ssim", "masked_mse"]

LOSSES: dict[str, Callable[..., nn.Module]] = {
    "charbonnier": Charbonnier,
    "gradient": GradientLoss,
    "l1": L1,
    "mse": MSE,
    "multiscale": MultiscaleLoss,
    "perceptual": PerceptualLoss,
    "psnr": PSNR,
    "ssim": SSIMLoss,
}
