"""What the data hands to the module."""

from typing import NamedTuple

from torch import Tensor


class Batch(NamedTuple):
    """Whole images and the holes cut into them.

    Attributes:
        image: ``(B, C, H, W)`` float32 in [0, 1], the truth, hole included.
        mask: ``(B, 1, H, W)`` float32, 1 = hole, 0 = known.
        indices: ``(B,)`` int64, each picture's number in its source.
    """

    image: Tensor
    mask: Tensor
    indices: Tensor
