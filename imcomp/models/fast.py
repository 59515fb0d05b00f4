"""A residual network for CPUs: the picture is folded small before the first convolution."""

from collections.abc import Sequence
from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

from imcomp.models.options import check_at_least, check_channels


class FastNet(nn.Module):
    """Pre-norm residual blocks on a few levels, between a pixel-unshuffle and a pixel-shuffle, with added skips.

    `Pixel-shuffle <https://arxiv.org/abs/1609.05158>`_ (Shi et al., 2016) and its inverse trade size for channels, so
    that no convolution ever runs at the full size. Way down: blocks, then a 2x2 convolution of stride 2. Way up: 1x1
    convolution, bilinear upsampling, addition of the skip, blocks.

    Args:
        in_channels: of the picture, 1 for grey, 3 for colour; as many come out.
        channels: width of each level, from the largest map to the smallest.
        blocks: residual blocks of each level, on the way down and again on the way up.
        bottom_blocks: further blocks of the lowest level.
        stem: factor by which the picture is folded; 1 leaves it.
        mask_channel: the input has the mask as one more channel, behind the picture's.

    Shape:
        ``(B, in_channels, H, W)``, or ``(B, in_channels + 1, H, W)`` with the mask, to ``(B, in_channels, H, W)``;
        H and W are multiples of ``multiple``.

    Raises:
        ValueError: no channels, or blocks or a stem that are too small.
    """

    decoder_parts = ("narrow", "up", "head")
    """Its submodules from the lowest level up."""

    def __init__(
        self,
        in_channels: int = 1,
        channels: Sequence[int] = (48, 96, 192),
        blocks: int = 1,
        bottom_blocks: int = 2,
        stem: int = 4,
        *,
        mask_channel: bool = False,
    ) -> None:
        super().__init__()
        check_channels(channels)
        check_at_least(1, blocks=blocks, stem=stem)
        check_at_least(0, bottom_blocks=bottom_blocks)
        self.multiple = stem * 2 ** (len(channels) - 1)
        """Height and width must be multiples of this many pixels."""
        self.takes_mask = mask_channel
        scales = [stem * 2**level for level in range(len(channels))]
        self.reach = (
            # the convolutions at both ends, two a block, and one cell for each fold and each upsampling
            3 * scales[0] + 4 * blocks * sum(scales[:-1]) + 2 * (blocks + bottom_blocks) * scales[-1]
            + 2 * sum(scales[1:])
        )  # fmt: skip
        """An output pixel depends on input pixels at most so far away."""

        self.stem = nn.Sequential(
            nn.PixelUnshuffle(stem), nn.Conv2d((in_channels + mask_channel) * stem**2, channels[0], 3, padding=1)
        )
        self.down = nn.ModuleList(_blocks(width, blocks) for width in channels[:-1])
        self.shrink = nn.ModuleList(nn.Conv2d(width, below, 2, stride=2) for width, below in pairwise(channels))
        self.bottom = _blocks(channels[-1], blocks + bottom_blocks)
        self.narrow = nn.ModuleList(nn.Conv2d(below, width, 1) for below, width in pairwise(channels[::-1]))
        self.up = nn.ModuleList(_blocks(width, blocks) for width in channels[-2::-1])
        self.head = nn.Sequential(nn.Conv2d(channels[0], in_channels * stem**2, 3, padding=1), nn.PixelShuffle(stem))

    def forward(self, image: Tensor) -> Tensor:
        features = self.stem(image)
        skips = []
        for level, shrink in zip(self.down, self.shrink, strict=True):
            features = level(features)
            skips.append(features)
            features = shrink(features)
        features = self.bottom(features)
        for narrow, level, skip in zip(self.narrow, self.up, reversed(skips), strict=True):
            # corners not aligned: a 2x2 convolution of stride 2 lays a pixel on the middle of the four it came from
            features = level(skip + F.interpolate(narrow(features), scale_factor=2, mode="bilinear"))
        output: Tensor = self.head(features)
        return output


class ResidualBlock(nn.Module):
    """Batch norm, 3x3 convolution, SiLU, 3x3 convolution, added to what came in.

    Shape:
        ``(B, width, H, W)`` to the same.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.change = nn.Sequential(
            nn.BatchNorm2d(width),
            nn.Conv2d(width, width, 3, padding=1),
            nn.SiLU(),
            nn.Conv2d(width, width, 3, padding=1),
        )

    def forward(self, features: Tensor) -> Tensor:
        changed: Tensor = features + self.change(features)
        return changed

    def become_identity(self) -> None:
        """Add nothing to what comes in, until training makes it."""
        last = self.change[-1]
        assert isinstance(last, nn.Conv2d)
        nn.init.zeros_(last.weight)
        assert last.bias is not None
        nn.init.zeros_(last.bias)


def _blocks(width: int, count: int) -> nn.Sequential:
    return nn.Sequential(*(ResidualBlock(width) for _ in range(count)))
