"""What lenses, sensors and files do to pictures: blur, few pixels, noise, JPEG; each to the chosen ones of a batch.

These go from picture to picture: torchvision's functions take one strength at a time, and noise that does not depend
on the rest of the batch needs a generator of its own. Few pictures are chosen.
"""

import io
import math

import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2.functional import gaussian_blur, resize, to_pil_image

from imcomp.data.transforms import to_tensor


def blur(image: Tensor, sigma: Tensor, chosen: Tensor) -> Tensor:
    """Gaussian blur, in place.

    Args:
        image: ``(B, C, H, W)`` float32 in [0, 1].
        sigma: ``(B,)`` in pixels.
        chosen: ``(B,)`` bool, which pictures.
    """
    shortest = min(image.shape[-2:])
    for place in _places(chosen):
        width = float(sigma[place])
        reach = min(math.ceil(3 * width), shortest - 1)  # beyond three sigmas is 0.3% of the weight
        if width > 0 and reach:
            image[place] = gaussian_blur(image[place], [2 * reach + 1] * 2, [width] * 2)
    return image


def resample(image: Tensor, side: Tensor, chosen: Tensor) -> Tensor:
    """Down to fewer pixels, smoothed by a triangle of the new pixel's width, and back; bilinearly, in place.

    Args:
        image: ``(B, C, H, W)`` float32.
        side: ``(B,)`` int64, height and width in pixels on the way; what has no more than that stays as it is.
        chosen: ``(B,)`` bool, which pictures.
    """
    height, width = image.shape[-2:]
    for place in _places(chosen):
        small = [min(int(side[place]), extent) for extent in (height, width)]
        if small != [height, width]:
            image[place] = resize(resize(image[place], small), [height, width])
    return image


def add_noise(image: Tensor, sigma: Tensor, chosen: Tensor, seeds: Tensor) -> Tensor:
    """Gaussian noise, in place; each device has its own numbers, the same ones from the same seed.

    Args:
        image: ``(B, C, H, W)`` float32 in [0, 1], and so it stays.
        sigma: ``(B,)``, standard deviation.
        chosen: ``(B,)`` bool, which pictures.
        seeds: ``(B,)`` int64.
    """
    for place in _places(chosen):
        generator = torch.Generator(image.device).manual_seed(int(seeds[place]))
        noise = torch.randn(image.shape[1:], generator=generator, device=image.device)
        image[place].add_(noise.mul_(sigma[place])).clamp_(0, 1)
    return image


def compress(image: Tensor, quality: Tensor, chosen: Tensor) -> Tensor:
    """Through JPEG and back, in place; on the CPU, with Pillow, as torchvision has given its own codec up.

    Args:
        image: ``(B, C, H, W)`` float32 in [0, 1], 1 or 3 channels.
        quality: ``(B,)`` int64, 1 to 100.
        chosen: ``(B,)`` bool, which pictures.
    """
    for place in _places(chosen):
        file = io.BytesIO()
        to_pil_image(image[place].cpu()).save(file, "jpeg", quality=int(quality[place]))
        image[place] = to_tensor(Image.open(file)).to(image) / 255
    return image


def _places(chosen: Tensor) -> list[int]:
    places: list[int] = chosen.nonzero().flatten().tolist()
    return places
