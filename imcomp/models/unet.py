"""The classic U-Net: an encoder, a decoder, and a skip at every level."""

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from imcomp.models.options import check_channels, check_dropout, check_kernel_size


class UNet(nn.Module):
    """Two convolutions a level, max-pool by 2 on the way down, concatenated skips on the way up.

    After Ronneberger et al., `U-Net <https://arxiv.org/abs/1505.04597>`_, 2015. Convolutions are padded, so that the
    size is kept and skips need no cropping, and have a batch norm. On the way up a 1x1 convolution halves the width
    before bilinear upsampling, which is the same function as after it at a quarter of the work. The default is half as
    wide as the paper's ``(64, 128, 256, 512, 1024)``.

    Args:
        in_channels: of the picture, 1 for grey, 3 for colour; as many come out.
        channels: width of each level, from the full size to the smallest.
        kernel_size: of the levels' convolutions; odd, so that sizes are kept.
        dropout: probability of dropping a whole feature map after each level but the last.
        mask_channel: the input has the mask as one more channel, behind the picture's.

    Shape:
        ``(B, in_channels, H, W)``, or ``(B, in_channels + 1, H, W)`` with the mask, to ``(B, in_channels, H, W)``;
        H and W are multiples of ``multiple``.

    Raises:
        ValueError: an even kernel, no channels, or a dropout outside [0, 1).
    """

    decoder_parts = ("narrow", "decoder", "head")
    """Its submodules from the lowest level up."""

    def __init__(
        self,
        in_channels: int = 1,
        channels: Sequence[int] = (32, 64, 128, 256, 512),
        kernel_size: int = 3,
        dropout: float = 0.0,
        *,
        mask_channel: bool = False,
    ) -> None:
        super().__init__()
        check_channels(channels)
        check_kernel_size(kernel_size)
        check_dropout(dropout)
        self.multiple = 2 ** (len(channels) - 1)
        """Height and width must be multiples of this many pixels."""
        self.takes_mask = mask_channel
        scales = [2**level for level in range(len(channels))]
        # two convolutions a level and way, and one cell for each pooling and each upsampling
        convolutions = kernel_size // 2 * 2 * (2 * sum(scales) - scales[-1])
        self.reach = convolutions + 2 * sum(scales[1:])
        """An output pixel depends on input pixels at most so far away."""

        widths = [in_channels + mask_channel, *channels]
        self.encoder = nn.ModuleList(_level(before, after, kernel_size, dropout) for before, after in pairwise(widths))
        upwards = list(pairwise(channels[::-1]))
        self.narrow = nn.ModuleList(nn.Conv2d(below, width, 1) for below, width in upwards)
        self.decoder = nn.ModuleList(
            _level(2 * width, width, kernel_size, dropout if number < len(upwards) else 0.0)
            for number, (_, width) in enumerate(upwards, start=1)
        )
        self.head = nn.Conv2d(channels[0], in_channels, 1)

    def forward(self, image: Tensor) -> Tensor:
        features = self.encoder[0](image)
        skips = []
        for level in self.encoder[1:]:
            skips.append(features)
            features = level(F.max_pool2d(features, 2))
        for narrow, level, skip in zip(self.narrow, self.decoder, reversed(skips), strict=True):
            upsampled = F.interpolate(narrow(features), scale_factor=2, mode="bilinear")
            features = level(torch.cat([skip, upsampled], dim=1))
        output: Tensor = self.head(features)
        return output


def _level(before: int, after: int, kernel_size: int, dropout: float) -> nn.Sequential:
    layers: list[nn.Module] = []
    for width in (before, after):
        # no bias: batch norm would take it away
        layers += [nn.Conv2d(width, after, kernel_size, padding=kernel_size // 2, bias=False)]
        layers += [nn.BatchNorm2d(after), nn.ReLU()]
    if dropout:
        layers += [nn.Dropout2d(dropout)]
    return nn.Sequential(*layers)
