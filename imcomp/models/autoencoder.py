"""The reference student project's network: a plain convolutional autoencoder."""

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from imcomp.models.options import check_channels, check_dropout, check_kernel_size


class Autoencoder(nn.Module):
    """Four blocks down, four blocks up, no skips.

    Down: convolution, max-pool by 2, batch norm, PReLU. Up: bilinear upsampling by 2 (corners aligned),
    convolution, batch norm, PReLU. The order within a block is the reference's.

    Args:
        in_channels: of the picture, 1 for grey, 3 for colour; as many come out.
        channels: width of each block on the way down; the way up mirrors it.
        kernel_size: of every convolution; odd, so that sizes are kept.
        dropout: probability of dropping a whole feature map after each block but the last.
        mask_channel: the input has the mask as one more channel, behind the picture's.

    Shape:
        ``(B, in_channels, H, W)``, or ``(B, in_channels + 1, H, W)`` with the mask, to ``(B, in_channels, H, W)``;
        H and W are multiples of ``multiple``.

    Raises:
        ValueError: an even kernel, no channels, or a dropout outside [0, 1).
    """

    def __init__(
        self,
        in_channels: int = 1,
        channels: Sequence[int] = (32, 64, 128, 256),
        kernel_size: int = 3,
        dropout: float = 0.0,
        *,
        mask_channel: bool = False,
    ) -> None:
        super().__init__()
        check_channels(channels)
        check_kernel_size(kernel_size)
        check_dropout(dropout)
        self.multiple = 2 ** len(channels)
        """Height and width must be multiples of this many pixels."""
        self.takes_mask = mask_channel

        inwards, outwards = [in_channels + mask_channel, *channels], [*channels[::-1], in_channels]
        encoder = [_down(before, after, kernel_size, dropout) for before, after in pairwise(inwards)]
        *between, last = pairwise(outwards)
        decoder = [_up(before, after, kernel_size, dropout) for before, after in between]
        decoder.append(_up(*last, kernel_size, dropout=0.0))
        self.encoder = nn.Sequential(*encoder)
        self.decoder = nn.Sequential(*decoder)

    def forward(self, image: Tensor) -> Tensor:
        output: Tensor = self.decoder(self.encoder(image))
        return output


def _down(before: int, after: int, kernel_size: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(before, after, kernel_size, padding=kernel_size // 2),
        nn.MaxPool2d(2),
        nn.BatchNorm2d(after),
        nn.PReLU(),
        *_dropout(dropout),
    )


def _up(before: int, after: int, kernel_size: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(
        nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True),
        nn.Conv2d(before, after, kernel_size, padding=kernel_size // 2),
        nn.BatchNorm2d(after),
        nn.PReLU(),
        *_dropout(dropout),
    )


def _dropout(probability: float) -> list[nn.Module]:
    return [nn.Dropout2d(probability)] if probability else []
