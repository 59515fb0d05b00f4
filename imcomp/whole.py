"""Pictures of 8 bits a channel that a network is shown whole: to its size, and back."""

from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from torch import Tensor

from imcomp.box import Box
from imcomp.completing.holes import Hole, to_hole
from imcomp.errors import InputError


def check_size(image: Image.Image, mask: Image.Image) -> None:
    """Refuse a mask of another size than its picture.

    Raises:
        InputError: it is of another.
    """
    if mask.size != image.size:
        raise InputError(
            f"the mask is {mask.width}x{mask.height}, the picture {image.width}x{image.height}; give a mask of its size"
        )


def composite(image: Image.Image, hole: Hole, planes: Tensor, box: Box) -> Image.Image:
    """Bring completed planes ``(N, C, S, S)``, whose hole lies in ``box``, back to the picture and into its hole."""
    channels = planes.flatten(0, 1)
    if image.mode == "L" and len(channels) == 3:
        channels = channels.float().mean(dim=0, keepdim=True).round().byte()
    if image.size == (planes.shape[-1], planes.shape[-2]):
        channels, hole = box.crop(channels), box.crop(hole)
    else:
        box = Box(0, 0, image.height, image.width)
    array = channels.permute(1, 2, 0).numpy()
    filled = Image.fromarray(array if image.mode == "RGB" else array[..., 0])
    completed = image.copy()
    completed.paste(
        filled.resize((box.width, box.height), Image.Resampling.BILINEAR), (box.left, box.top), to_mask(hole)
    )
    return completed


def resize_known(image: Image.Image, hole: Hole, size: tuple[int, int]) -> Image.Image:
    """Resize bilinearly with known pixels alone, so that what is under the hole does not bleed out of it."""
    if image.size == size or not hole.any():
        return image.resize(size, Image.Resampling.BILINEAR)

    def shrunk(values: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        return np.asarray(Image.fromarray(values.astype(np.float32)).resize(size, Image.Resampling.BILINEAR))

    weight = shrunk(~hole).clip(1e-6)
    bands = [shrunk(np.where(hole, 0, np.asarray(band))) / weight for band in image.split()]
    return Image.merge(image.mode, [Image.fromarray(band.round().clip(0, 255).astype(np.uint8)) for band in bands])


def read_hole(mask: Image.Image) -> Hole:
    """See `imcomp.completing.holes.to_hole`."""
    return to_hole(mask, (mask.height, mask.width))


def to_mask(hole: Hole) -> Image.Image:
    """Mode `L`, 255 = hole."""
    return Image.fromarray(hole.astype(np.uint8) * 255)
