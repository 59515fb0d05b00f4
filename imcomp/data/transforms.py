"""From a decoded picture to the uint8 array that a worker hands over."""

from typing import Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor

Fit = Literal["stretch", "crop"]
FITS = ("stretch", "crop")

# ITU-R BT.709 as scikit-image's rgb2gray rounds them; Pillow's own convert("L") would take BT.601's
_GREY_WEIGHTS = (0.2125, 0.7154, 0.0721, 0.0)


def to_channels(image: Image.Image, channels: int) -> Image.Image:
    """Grey (mode `L`) for 1 channel, colour (mode `RGB`) for 3.

    Grey is ``0.2125 R + 0.7154 G + 0.0721 B``, as ``skimage.color.rgb2gray``, rounded to 8 bits.
    """
    if channels == 3:
        return image.convert("RGB")
    return image if image.mode == "L" else image.convert("RGB").convert("L", _GREY_WEIGHTS)


def to_size(image: Image.Image, size: int, fit: Fit = "stretch") -> Image.Image:
    """Bring a picture to ``size`` x ``size`` pixels, bilinearly; smoothed first where it shrinks.

    Differs from the reference's ``skimage.transform.resize`` in rounding to 8 bits, and where it shrinks in the
    smoothing filter (a triangle of the target's pixel width there, a Gaussian in scikit-image).

    Args:
        image: mode `L` or `RGB`.
        size: pixels of each side.
        fit: `stretch` changes the aspect ratio, as the reference does; `crop` keeps it and cuts the longer side.
    """
    if image.size == (size, size):
        return image
    if fit == "stretch":
        return image.resize((size, size), Image.Resampling.BILINEAR)
    return image.resize((size, size), Image.Resampling.BILINEAR, box=middle_square(image))


def middle_square(image: Image.Image) -> tuple[float, float, float, float]:
    """The largest square in the middle of a picture: left, top, right and bottom in pixels, halves too."""
    width, height = image.size
    side = min(width, height)
    left, top = (width - side) / 2, (height - side) / 2
    return left, top, left + side, top + side


def to_tensor(image: Image.Image) -> Tensor:
    """Picture of mode `L` or `RGB` to uint8 ``(C, H, W)``."""
    array = np.array(image)
    return torch.from_numpy(array[None] if array.ndim == 2 else array.transpose(2, 0, 1).copy())
