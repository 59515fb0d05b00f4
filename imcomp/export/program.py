"""What is exported: image and mask to the completed image, with everything in between, for any number and size."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim

from imcomp.filling import fill


class Completion(nn.Module):
    """Masking, channels, the mask as a channel, the network, clamp and compositing in one graph.

    A grey network fills each channel of the image by itself.

    Args:
        network: one of ``NETWORKS``, in evaluation mode.
        in_channels: 1 or 3, the network's.

    Shape:
        - image: ``(B, C, H, W)`` float32 in [0, 1], H and W multiples of the network's ``multiple``; C is 3 for a
          colour network and anything for a grey one. What is under the hole is not seen, be it NaN.
        - mask: ``(B, 1, H, W)`` float32, a number of at least 0.5 is hole.
        - completed: ``(B, C, H, W)``, in [0, 1] in the hole; everywhere else the image's own numbers, bit for bit.
    """

    def __init__(self, network: nn.Module, in_channels: int) -> None:
        super().__init__()
        self.network = network
        self.in_channels = in_channels

    def forward(self, image: Tensor, mask: Tensor) -> Tensor:
        hole = mask >= 0.5
        # not a product with the mask, which leaves NaN as it is
        shown, missing = torch.where(hole, 0.0, image), hole.to(image.dtype)
        if self.in_channels == 1:
            shown = shown.flatten(0, 1)[:, None]
            missing = missing.expand_as(image).flatten(0, 1)[:, None]
        output = fill(self.network, shown, missing).clamp(0, 1).view_as(image)
        return torch.where(hole, output, image)


def examples(in_channels: int, multiple: int) -> tuple[Tensor, Tensor]:
    """An image and a mask to trace a `Completion` with; 1 would be taken for a constant, equal numbers for one."""
    channels = 2 if in_channels == 1 else in_channels
    size = (4 * multiple, 5 * multiple)
    return torch.zeros(3, channels, *size), torch.zeros(3, 1, *size)


def dynamic_shapes(in_channels: int, multiple: int) -> tuple[dict[int, Any], dict[int, Any]]:
    """Which sizes of a `Completion`'s image and mask may vary, and how."""
    pictures, rows, columns = Dim("pictures"), Dim("rows"), Dim("columns")
    plain: Any = {0: pictures, 2: multiple * rows, 3: multiple * columns}
    return {**plain, 1: Dim("channels")} if in_channels == 1 else plain, plain
