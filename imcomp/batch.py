"""What the data hands to the module."""

from typing import NamedTuple

from torch import Tensor

from imcomp.box import Box


class Batch(NamedTuple):
    """Whole images and the holes cut into them.

    Attributes:
        image: ``(B, C, H, W)`` float32 in [0, 1], the truth, hole included.
        mask: ``(B, 1, H, W)`` float32, 1 = hole, 0 = known.
        indices: ``(B,)`` int64, each picture's number in its source.
        box: where all holes lie; None: anywhere.
    """

    image: Tensor
    mask: Tensor
    indices: Tensor
    box: Box | None = None

    def spread(self, output: Tensor) -> Tensor:
        """Lay what was computed for the box over the whole images: ``(B, C, h, w)`` to ``(B, C, H, W)``."""
        if self.box is None:
            return output
        whole = self.image.clone()
        self.box.crop(whole).copy_(output)
        return whole
