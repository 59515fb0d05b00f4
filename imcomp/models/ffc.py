"""Fast Fourier convolutions: every layer sees the whole picture."""

import torch
from torch import Tensor, nn

from imcomp.models.fourier import irfft2, rfft2
from imcomp.models.options import check_at_least


class FourierNet(nn.Module):
    """Three levels down, residual blocks of fast Fourier convolutions, three levels up: LaMa's generator.

    After Suvorov et al., `Resolution-robust Large Mask Inpainting with Fourier Convolutions
    <https://arxiv.org/abs/2109.07161>`_, WACV 2022, with its 7x7 convolutions at both ends, but narrower and with fewer
    blocks (LaMa: width 64, 9 blocks or 18); padded with zeros, because reflection needs maps larger than the smallest
    that ``multiple`` allows; and without the sigmoid at the end, like all networks here.

    Args:
        in_channels: of the picture, 1 for grey, 3 for colour; as many come out.
        width: of the first layer; each of the three levels doubles it.
        blocks: residual blocks at the lowest level, two Fourier convolutions each.
        ratio: share of the lowest level's channels that are global; LaMa's is 0.75.
        mask_channel: the input has the mask as one more channel, behind the picture's.

    Shape:
        ``(B, in_channels, H, W)``, or ``(B, in_channels + 1, H, W)`` with the mask, to ``(B, in_channels, H, W)``;
        H and W are multiples of ``multiple``.

    Raises:
        ValueError: a width or number of blocks below 1, or a ratio that leaves a branch without channels.
    """

    decoder_parts = ("decoder",)
    """Its submodules from the lowest level up."""
    multiple = 8
    """Height and width must be multiples of this many pixels."""
    reach = None
    """An output pixel depends on the whole picture."""

    def __init__(
        self,
        in_channels: int = 1,
        width: int = 24,
        blocks: int = 6,
        ratio: float = 0.75,
        *,
        mask_channel: bool = False,
    ) -> None:
        super().__init__()
        check_at_least(1, width=width, blocks=blocks)
        self.takes_mask = mask_channel
        widths = [width, 2 * width, 4 * width, 8 * width]
        global_channels = round(ratio * widths[-1]) if 0 < ratio < 1 else 0
        if not 2 <= global_channels < widths[-1]:
            raise ValueError(
                f"ratio {ratio} of {widths[-1]} channels leaves a branch empty; give one between 0 and 1, such as 0.75"
            )
        self.encoder = nn.Sequential(
            *_normed(nn.Conv2d(in_channels + mask_channel, width, 7, padding=3, bias=False)),
            *(
                layer
                for before in widths[:-1]
                for layer in _normed(nn.Conv2d(before, 2 * before, 3, stride=2, padding=1, bias=False))
            ),
        )
        self.blocks = nn.Sequential(*(FourierBlock(widths[-1], global_channels) for _ in range(blocks)))
        self.decoder = nn.Sequential(
            *(
                layer
                for before in widths[:0:-1]
                for layer in _normed(
                    nn.ConvTranspose2d(before, before // 2, 3, stride=2, padding=1, output_padding=1, bias=False)
                )
            ),
            nn.Conv2d(width, in_channels, 7, padding=3),
        )

    def forward(self, image: Tensor) -> Tensor:
        output: Tensor = self.decoder(self.blocks(self.encoder(image)))
        return output


class FourierBlock(nn.Module):
    """Two Fourier convolutions, each with batch norm and ReLU, added to what came in.

    Args:
        width: channels, the local ones first.
        global_channels: how many of them are global.

    Shape:
        ``(B, width, H, W)`` to the same.
    """

    def __init__(self, width: int, global_channels: int) -> None:
        super().__init__()
        self.change = nn.Sequential(
            *_normed(FourierConv(width, global_channels)), *_normed(FourierConv(width, global_channels))
        )

    def forward(self, features: Tensor) -> Tensor:
        changed: Tensor = features + self.change(features)
        return changed


class FourierConv(nn.Module):
    """Local channels meet their neighbours, global ones the whole picture, and each branch adds to the other.

    Args:
        width: channels, the local ones first.
        global_channels: how many of them are global.

    Shape:
        ``(B, width, H, W)`` to the same.
    """

    def __init__(self, width: int, global_channels: int) -> None:
        super().__init__()
        self.out_channels = width
        self.split = [width - global_channels, global_channels]
        local, _ = self.split
        # local to local and local to global in one convolution: fewer calls, the same numbers
        self.from_local = nn.Conv2d(local, width, 3, padding=1, bias=False)
        self.global_to_local = nn.Conv2d(global_channels, local, 3, padding=1, bias=False)
        self.global_to_global = SpectralTransform(global_channels)

    def forward(self, features: Tensor) -> Tensor:
        near, far = torch.split(features, self.split, dim=1)
        from_global = torch.cat([self.global_to_local(far), self.global_to_global(far)], dim=1)
        mixed: Tensor = self.from_local(near) + from_global
        return mixed


class SpectralTransform(nn.Module):
    """A 1x1 convolution to half the width, a Fourier unit added to it, and a 1x1 convolution back.

    Shape:
        ``(B, width, H, W)`` to the same.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.reduce = nn.Sequential(*_normed(nn.Conv2d(width, width // 2, 1, bias=False)))
        self.fourier = FourierUnit(width // 2)
        self.expand = nn.Conv2d(width // 2, width, 1, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        reduced = self.reduce(features)
        output: Tensor = self.expand(reduced + self.fourier(reduced))
        return output


class FourierUnit(nn.Module):
    """A 1x1 convolution of the spectrum, its real and imaginary parts as channels.

    Shape:
        ``(B, width, H, W)`` to the same.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.convolve = nn.Sequential(*_normed(nn.Conv2d(2 * width, 2 * width, 1, bias=False)))

    def forward(self, features: Tensor) -> Tensor:
        # float32 under any precision: a half-precision FFT takes powers of two only and exists on CUDA alone, bfloat16
        # has none; autocast leaves the FFT as it is
        spectrum = torch.cat(rfft2(features.float()), dim=1)
        # back to the layer's precision, which the convolution's weights have when a whole network is half-precision
        real, imaginary = self.convolve(spectrum.to(features.dtype)).float().chunk(2, dim=1)
        return irfft2(real, imaginary, features.shape[-1]).to(features.dtype)


def _normed(convolution: nn.Conv2d | nn.ConvTranspose2d | FourierConv) -> list[nn.Module]:
    return [convolution, nn.BatchNorm2d(convolution.out_channels), nn.ReLU()]
