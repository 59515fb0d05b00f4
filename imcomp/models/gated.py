"""Gated convolutions: every layer learns where its features may be trusted."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from imcomp.models.options import check_at_least


class GatedNet(nn.Module):
    """Encoder, dilated bottleneck and decoder of gated convolutions; sees the mask unless told otherwise.

    The coarse network of Yu et al., `Free-Form Image Inpainting with Gated Convolution
    <https://arxiv.org/abs/1806.03589>`_, ICCV 2019, without the refining second stage, its attention and its
    discriminator. No normalisation, as in the paper: a batch norm would mix the hole's features with the known ones.
    Weights start with a gain of 2, see ``GatedConv``. What comes out is not clipped.

    Args:
        in_channels: of the picture, 1 for grey, 3 for colour; as many come out.
        width: of the first layer; the bottleneck is four times as wide. 24 is as wide as the published network, whose
            layers of 48 are features and gates together.
        dilations: of the bottleneck's layers, one each.
        mask_channel: the input has the mask as one more channel, behind the picture's, as in the paper.

    Shape:
        ``(B, in_channels + 1, H, W)``, or ``(B, in_channels, H, W)`` without the mask, to ``(B, in_channels, H, W)``;
        H and W are multiples of ``multiple``.

    Raises:
        ValueError: a width that is too small or odd, or a dilation below 1.
    """

    decoder_parts = ("decoder",)
    """Its submodules from the lowest level up."""
    multiple = 4
    """Height and width must be multiples of this many pixels."""

    def __init__(
        self,
        in_channels: int = 1,
        width: int = 24,
        dilations: Sequence[int] = (2, 4, 8, 16),
        *,
        mask_channel: bool = True,
    ) -> None:
        super().__init__()
        check_at_least(2, width=width)
        if width % 2:
            raise ValueError(f"width {width} is odd; give an even one, the last layer has half of it")
        if dilations and min(dilations) < 1:
            raise ValueError(f"dilations {list(dilations)} are no distances; give numbers of at least 1")
        self.takes_mask = mask_channel
        # 3x3 convolutions: 5 at full size (the first is 5x5), 4 at half, 4 and the dilated ones at a quarter; and one
        # cell for each upsampling
        self.reach = 6 + 4 * 2 + (4 + sum(dilations)) * 4 + 2 + 4
        """An output pixel depends on input pixels at most so far away."""
        half, double, wide = width // 2, 2 * width, 4 * width
        self.encoder = nn.Sequential(
            GatedConv(in_channels + mask_channel, width, kernel_size=5),
            GatedConv(width, double, stride=2),
            GatedConv(double, double),
            GatedConv(double, wide, stride=2),
            GatedConv(wide, wide),
            GatedConv(wide, wide),
        )
        self.bottleneck = nn.Sequential(*(GatedConv(wide, wide, dilation=dilation) for dilation in dilations))
        self.decoder = nn.Sequential(
            GatedConv(wide, wide),
            GatedConv(wide, wide),
            nn.Upsample(scale_factor=2),
            GatedConv(wide, double),
            GatedConv(double, double),
            nn.Upsample(scale_factor=2),
            GatedConv(double, width),
            GatedConv(width, half),
            nn.Conv2d(half, in_channels, 3, padding=1),
        )

    def forward(self, image: Tensor) -> Tensor:
        output: Tensor = self.decoder(self.bottleneck(self.encoder(image)))
        return output


class GatedConv(nn.Module):
    r"""Features times gate: :math:`\mathrm{ELU}(w_f * x) \cdot \sigma(w_g * x)`.

    Args:
        before: channels in.
        after: channels out.
        kernel_size: odd.
        stride: 2 halves the size.
        dilation: distance of the kernel's taps.

    Shape:
        ``(B, before, H, W)`` to ``(B, after, H / stride, W / stride)``.
    """

    def __init__(self, before: int, after: int, kernel_size: int = 3, stride: int = 1, dilation: int = 1) -> None:
        super().__init__()
        padding = dilation * (kernel_size // 2)
        # features and gates in one convolution: half the calls, the same numbers
        self.conv = nn.Conv2d(before, 2 * after, kernel_size, stride, padding, dilation)
        # a gate starts half open and halves what passes: a gain of 2 makes up for it, where torch's own weights would
        # let all but a third fade in each of the many layers
        nn.init.normal_(self.conv.weight, std=2 / math.sqrt(before * kernel_size**2))
        nn.init.zeros_(self.conv.bias)  # type: ignore[arg-type]

    def forward(self, features: Tensor) -> Tensor:
        values, gates = self.conv(features).chunk(2, dim=1)
        return nn.functional.elu(values) * torch.sigmoid(gates)
