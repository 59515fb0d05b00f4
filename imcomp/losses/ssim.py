"""Structural similarity where the hole has a say."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from imcomp.losses.pixels import masked_mean

WINDOW = 11
"""Pixels of a window's side in the paper."""


def ssim_map(one: Tensor, other: Tensor, window: int = WINDOW) -> Tensor:
    r"""Structural similarity of every window that lies within the pictures.

    .. math:: \frac{(2 \mu_x \mu_y + c_1)(2 \sigma_{xy} + c_2)}
        {(\mu_x^2 + \mu_y^2 + c_1)(\sigma_x^2 + \sigma_y^2 + c_2)}, \quad c_1 = 0.01^2, c_2 = 0.03^2

    with means, variances and covariance under a Gaussian of standard deviation 1.5. Z. Wang et al.: Image Quality
    Assessment: From Error Visibility to Structural Similarity, IEEE Transactions on Image Processing, 2004.

    Args:
        one: ``(B, C, H, W)`` in [0, 1].
        other: the same.
        window: pixels of its side, odd.

    Returns:
        ``(B, C, H - window + 1, W - window + 1)`` float32, at most 1.

    Raises:
        ValueError: the pictures are smaller than a window.
    """
    height, width = one.shape[-2:]
    if min(height, width) < window:
        raise ValueError(f"a picture of {height}x{width} pixels has no room for a window of {window}; give a smaller")
    one, other = one.float(), other.float()
    channels = one.shape[1]
    # in bfloat16 a variance of 1e-3 would be rounded away
    with torch.autocast(one.device.type, enabled=False):
        planes = torch.cat([one, other, one * one, other * other, one * other], dim=1)
        row = _gaussian(window, planes)
        blurred = F.conv2d(planes, row.view(1, 1, 1, -1).expand(5 * channels, -1, -1, -1), groups=5 * channels)
        blurred = F.conv2d(blurred, row.view(1, 1, -1, 1).expand(5 * channels, -1, -1, -1), groups=5 * channels)
        mean, mean_other, square, square_other, product = torch.split(blurred, channels, dim=1)
        covariance = product - mean * mean_other
        variances = square - mean**2 + square_other - mean_other**2
        c1, c2 = 0.01**2, 0.03**2
        similarity: Tensor = (
            (2 * mean * mean_other + c1) * (2 * covariance + c2) / ((mean**2 + mean_other**2 + c1) * (variances + c2))
        )
    return similarity


def touched(mask: Tensor, window: int) -> Tensor:
    """1 for every window that holds a pixel of the hole, else 0: ``(B, 1, H - window + 1, W - window + 1)``."""
    return F.max_pool2d(mask.float(), window, stride=1)


def hole_ssim(completed: Tensor, target: Tensor, mask: Tensor, window: int = WINDOW) -> Tensor:
    """Mean structural similarity of each picture over the windows that the hole touches.

    All other windows are equal in both pictures, so that counting them would only praise small holes.

    Args:
        completed: ``(B, C, H, W)`` in [0, 1], the truth outside the hole.
        target: ``(B, C, H, W)``, the truth, in [0, 1].
        mask: ``(B, 1, H, W)``, 1 = hole.
        window: pixels of its side, odd.

    Returns:
        ``(B,)`` float32; NaN where a picture has no hole.

    Raises:
        ValueError: the pictures are smaller than a window.
    """
    similarity, weight = ssim_map(completed, target, window), touched(mask, window)
    return (similarity * weight).sum(dim=(1, 2, 3)) / (weight.sum(dim=(1, 2, 3)) * similarity.shape[1])


class SSIMLoss(nn.Module):
    """1 minus `hole_ssim`, averaged over the pictures that have a hole.

    Args:
        window: pixels of its side, odd; also the smallest picture.

    Raises:
        ValueError: an even window, or one below 3.
    """

    def __init__(self, window: int = WINDOW) -> None:
        super().__init__()
        if window < 3 or window % 2 == 0:
            raise ValueError(f"window={window} has no middle; give an odd number of pixels from 3 on, such as {WINDOW}")
        self.window = window
        self.margin = window - 1
        """It looks at so many known pixels round the hole."""

    def forward(self, output: Tensor, target: Tensor, mask: Tensor) -> Tensor:
        return masked_mean(1 - ssim_map(output, target, self.window), touched(mask, self.window))


def _gaussian(window: int, like: Tensor) -> Tensor:
    place = torch.arange(window, dtype=like.dtype, device=like.device) - window // 2
    weight = torch.exp(-(place**2) / (2 * 1.5**2))
    return weight / weight.sum()
