"""Computing a part of a network's output from the part of the picture that it depends on."""

from typing import Protocol

import torch.nn.functional as F
from torch import Tensor

from imcomp.box import Box


class Network(Protocol):
    """What this file asks of a network."""

    multiple: int

    def __call__(self, image: Tensor) -> Tensor: ...


def window_of(box: Box, size: tuple[int, int], *, reach: int | None, multiple: int) -> Box:
    """What a network must be shown for its output in ``box`` to be that of the whole picture.

    Its edges are multiples of ``multiple``, so that pooling pairs the same pixels, or the picture's own.

    Args:
        box: pixels that are wanted.
        size: height and width of the picture, multiples of ``multiple``.
        reach: how many pixels away an input pixel can be and still count; None: any.
        multiple: the network's.
    """
    whole = Box(0, 0, *size)
    return whole if reach is None else box.grow(reach).snap(multiple).clip(size)


def windowed(network: Network, image: Tensor, box: Box, reach: int | None) -> Tensor:
    """The network's output in ``box``, computed on the `window_of` it alone.

    Args:
        network: takes ``(B, C, H, W)``.
        image: ``(B, C, H, W)``.
        box: within the image.
        reach: pixels around the box that it is shown, at least; None for all.

    Returns:
        ``(B, C', box.height, box.width)``.
    """
    height, width = image.shape[-2:]
    window = window_of(box, (height, width), reach=reach, multiple=network.multiple)
    return box.within(window).crop(network(window.crop(image)))


def pad_beyond(features: Tensor, box: Box, size: tuple[int, int]) -> Tensor:
    """Zeros where ``box`` lies outside of the map of height and width ``size`` that ``features`` were cut from."""
    height, width = size
    beyond = (max(-box.left, 0), max(box.right - width, 0), max(-box.top, 0), max(box.bottom - height, 0))
    return F.pad(features, beyond) if any(beyond) else features
