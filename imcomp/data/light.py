"""Light and colour of pictures, changed for a whole batch at once by numbers of each picture's own.

torchvision's functions of these names take one number for a batch.
"""

import torch
from torch import Tensor

# ITU-R BT.709, and the turn about the grey axis that keeps its luminance: W3C, Filter Effects, hueRotate
_LUMINANCE = (0.2125, 0.7154, 0.0721)
_TURN = ((-0.2125, -0.7154, 0.9279), (0.143, 0.140, -0.283), (-0.7875, 0.7154, 0.0721))


def adjust_light(image: Tensor, mean: Tensor, brightness: Tensor, contrast: Tensor, gamma: Tensor) -> Tensor:
    """Stretch pictures about their mean, make them brighter, and bend their curve.

    ``clamp(brightness * (mean + contrast * (image - mean)), 0, 1) ** gamma``

    Args:
        image: ``(B, C, H, W)`` float32 in [0, 1]; may be a part of a picture.
        mean: ``(B,)``, of each whole picture, so that a part is changed as the whole would be.
        brightness: ``(B,)``, a factor.
        contrast: ``(B,)``, a factor.
        gamma: ``(B,)``, above 1 darkens the middle.

    Returns:
        ``(B, C, H, W)`` in [0, 1].
    """
    gain, offset = brightness * contrast, brightness * (1 - contrast) * mean
    lit = torch.addcmul(_each(offset), image, _each(gain)).clamp_(0, 1)
    return lit.pow_(_each(gamma))


def adjust_colour(image: Tensor, saturation: Tensor, hue: Tensor) -> Tensor:
    """Move colours away from or to grey, and turn them; one 3x3 matrix for each picture does both.

    Args:
        image: ``(B, 3, H, W)`` float32 in [0, 1].
        saturation: ``(B,)``, a factor: 0 is grey.
        hue: ``(B,)``, degrees.

    Returns:
        ``(B, 3, H, W)`` in [0, 1].
    """
    grey = image.new_tensor(_LUMINANCE).expand(3, 3)
    turn, angle = image.new_tensor(_TURN), hue.deg2rad()[:, None, None]
    away = angle.cos() * (torch.eye(3, device=image.device) - grey) + angle.sin() * turn
    matrix = grey + saturation[:, None, None] * away
    return (matrix @ image.flatten(2)).view_as(image).clamp_(0, 1)


def _each(numbers: Tensor) -> Tensor:
    return numbers.view(-1, 1, 1, 1)
