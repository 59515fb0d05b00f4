"""The reference student project's network: a plain convolutional autoencoder."""

from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from imcomp.box import Box
from imcomp.models.options import check_at_least, check_channels, check_dropout, check_kernel_size
from imcomp.models.windows import pad_beyond


class Autoencoder(nn.Module):
    """Four blocks down, four blocks up, no skips.

    Down: convolution, max-pool by 2, batch norm, PReLU. Up: bilinear upsampling by 2 (corners aligned),
    convolution, batch norm, PReLU. The order within a block is the reference's.

    Given a box, it computes the output there alone, from the parts of its maps that the box depends on: the same
    numbers, and for a 40x40 hole in 256x256 pixels less than a fifth of the arithmetic.

    Args:
        in_channels: of the picture, 1 for grey, 3 for colour; as many come out.
        channels: width of each block on the way down; the way up mirrors it.
        kernel_size: of every convolution; odd, so that sizes are kept.
        dropout: probability of dropping a whole feature map after each block but the last.
        mask_channel: the input has the mask as one more channel, behind the picture's.
        norm_margin: in training, given a box, so many pixels round it are computed too, for batch norm to average over.

    Shape:
        ``(B, in_channels, H, W)``, or ``(B, in_channels + 1, H, W)`` with the mask, to ``(B, in_channels, H, W)``;
        H and W are multiples of ``multiple``. With a box, ``(B, in_channels, box.height, box.width)``.

    Raises:
        ValueError: an even kernel, no channels, a dropout outside [0, 1), or a margin below 0.
    """

    decoder_parts = ("decoder",)
    """Its submodules from the lowest level up."""
    takes_box = True
    """``forward`` takes a box, and computes no more than it depends on."""

    def __init__(
        self,
        in_channels: int = 1,
        channels: Sequence[int] = (32, 64, 128, 256),
        kernel_size: int = 3,
        dropout: float = 0.0,
        *,
        mask_channel: bool = False,
        norm_margin: int = 8,
    ) -> None:
        super().__init__()
        check_channels(channels)
        check_kernel_size(kernel_size)
        check_dropout(dropout)
        check_at_least(0, norm_margin=norm_margin)
        self.multiple = 2 ** len(channels)
        """Height and width must be multiples of this many pixels."""
        self.takes_mask = mask_channel
        self.norm_margin = norm_margin

        inwards, outwards = [in_channels + mask_channel, *channels], [*channels[::-1], in_channels]
        self.encoder = nn.Sequential(*(Down(*widths, kernel_size, dropout) for widths in pairwise(inwards)))
        *between, last = pairwise(outwards)
        decoder = [Up(*widths, kernel_size, dropout) for widths in between]
        self.decoder = nn.Sequential(*decoder, Up(*last, kernel_size, dropout=0.0))

    def forward(self, image: Tensor, box: Box | None = None) -> Tensor:
        if box is None:
            output: Tensor = self.decoder(self.encoder(image))
            return output
        height, width = image.shape[-2:]
        if not self.training:
            return self._compute(image, box)
        # over the hole alone, batch norm would hide from the last layers how bright each batch's holes are
        wide = box.grow(self.norm_margin).clip((height, width))
        return box.within(wide).crop(self._compute(image, wide))

    def _compute(self, image: Tensor, box: Box) -> Tensor:
        """The output in the box."""
        blocks: list[Down | Up] = [*self.encoder, *self.decoder]
        height, width = image.shape[-2:]
        sizes = [(height, width)]
        for block in blocks[:-1]:
            sizes.append(block.size_after(sizes[-1]))
        # backwards, which part of each block's input the box depends on; then forwards, those parts alone
        parts = [box]
        for block, size in zip(reversed(blocks), reversed(sizes), strict=True):
            parts.append(block.depends_on(parts[-1], size))
        parts.reverse()
        features = parts[0].crop(image)
        for block, size, (part, after) in zip(blocks, sizes, pairwise(parts), strict=True):
            features = block.compute(features, part, after, size)
        return features


class Down(nn.Sequential):
    """Half the size: convolution, max-pool by 2, batch norm, PReLU, dropout.

    Shape:
        ``(B, before, H, W)`` to ``(B, after, H / 2, W / 2)``.
    """

    def __init__(self, before: int, after: int, kernel_size: int, dropout: float) -> None:
        self.border = kernel_size // 2
        super().__init__(
            nn.Conv2d(before, after, kernel_size, padding=self.border),
            nn.MaxPool2d(2),
            nn.BatchNorm2d(after),
            nn.PReLU(),
            *_dropout(dropout),
        )
        _silence_bias(self, 0)

    def size_after(self, size: tuple[int, int]) -> tuple[int, int]:
        """Height and width of the output."""
        return size[0] // 2, size[1] // 2

    def depends_on(self, box: Box, size: tuple[int, int]) -> Box:
        """The part of an input of height and width ``size`` that ``box`` of the output is made of."""
        return box.scale(2).grow(self.border).clip(size)

    def compute(self, features: Tensor, part: Box, box: Box, size: tuple[int, int]) -> Tensor:
        """Compute ``box`` of the output from ``part`` of the input, which is ``features``."""
        return _convolve(self, features, box.scale(2).grow(self.border), size)


class Up(nn.Sequential):
    """Twice the size: bilinear upsampling with aligned corners, convolution, batch norm, PReLU, dropout.

    Shape:
        ``(B, before, H, W)`` to ``(B, after, 2 H, 2 W)``.
    """

    def __init__(self, before: int, after: int, kernel_size: int, dropout: float) -> None:
        self.border = kernel_size // 2
        super().__init__(
            nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True),
            nn.Conv2d(before, after, kernel_size, padding=self.border),
            nn.BatchNorm2d(after),
            nn.PReLU(),
            *_dropout(dropout),
        )
        _silence_bias(self, 1)

    def size_after(self, size: tuple[int, int]) -> tuple[int, int]:
        """Height and width of the output."""
        return 2 * size[0], 2 * size[1]

    def depends_on(self, box: Box, size: tuple[int, int]) -> Box:
        """The part of an input of height and width ``size`` that ``box`` of the output is made of."""
        top, left, bottom, right = box.grow(self.border).clip(self.size_after(size))
        (first_row, last_row), (first_column, last_column) = (
            (_source(start, extent), _source(stop - 1, extent) + 1)
            for start, stop, extent in ((top, bottom, size[0]), (left, right, size[1]))
        )
        return Box(first_row, first_column, last_row + 1, last_column + 1).clip(size)

    def compute(self, features: Tensor, part: Box, box: Box, size: tuple[int, int]) -> Tensor:
        """Compute ``box`` of the output from ``part`` of the input, which is ``features``."""
        padded, after = box.grow(self.border), self.size_after(size)
        wanted = padded.clip(after)
        rows = _interpolation((wanted.top, wanted.bottom), (part.top, part.bottom), size[0])
        columns = _interpolation((wanted.left, wanted.right), (part.left, part.right), size[1])
        return _convolve(self, _interpolate(features, rows, columns), padded, after)


def _convolve(block: nn.Sequential, features: Tensor, box: Box, size: tuple[int, int]) -> Tensor:
    """Run a block from its convolution on, whose input in ``box`` is ``features``, and zero beyond the picture."""
    layers = iter(block)
    convolution = next(layer for layer in layers if isinstance(layer, nn.Conv2d))
    features = F.conv2d(pad_beyond(features, box, size), convolution.weight, convolution.bias)
    for layer in layers:
        features = layer(features)
    return features


def _interpolate(features: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Interpolate ``(B, C, H, W)`` by ``rows`` ``(H', H)`` and ``columns`` ``(W', W)``."""
    # channels last, as matrix products whose long sides lie contiguous in memory
    features = features.permute(0, 2, 3, 1)
    rows, columns = rows.to(features), columns.to(features)
    features = (rows @ features.flatten(2)).unflatten(2, features.shape[2:])  # type: ignore[no-untyped-call]
    return (columns @ features).permute(0, 3, 1, 2)


def _source(place: int, extent: int) -> int:
    """The pixel of ``extent`` before which, or on which, ``place`` falls among twice as many; corners aligned."""
    return place * (extent - 1) // (2 * extent - 1)


@lru_cache(maxsize=256)
def _interpolation(wanted: tuple[int, int], part: tuple[int, int], extent: int) -> Tensor:
    """Weights of the pixels in ``part`` of ``extent`` for those ``wanted`` among twice as many, ``(wanted, part)``."""
    # one list and one tensor: a compiler that unrolls this loop would else write each weight by a kernel of its own
    weights = [[0.0] * (part[1] - part[0]) for _ in range(*wanted)]
    for row, place in zip(weights, range(*wanted), strict=True):
        pixel, fraction = _source(place, extent), place * (extent - 1) % (2 * extent - 1) / (2 * extent - 1)
        row[pixel - part[0]] = 1 - fraction
        if fraction:
            row[pixel + 1 - part[0]] = fraction
    with torch.inference_mode(False):  # else what is kept could not be trained with
        return torch.tensor(weights, dtype=torch.float32)


def _silence_bias(block: nn.Sequential, place: int) -> None:
    """Give a convolution's bias no gradient in training, where the batch norm behind it takes the bias away.

    The reference has it, and it keeps its place in checkpoints. Its gradient is 0 there; what rounding leaves of it is
    not handed on, since Adam would make whole steps of that, and another rounding another network.
    """
    bias = block[place].bias
    assert isinstance(bias, nn.Parameter)
    bias.register_hook(  # type: ignore[no-untyped-call]
        lambda gradient: torch.zeros_like(gradient) if block.training else gradient
    )


def _dropout(probability: float) -> list[nn.Module]:
    return [nn.Dropout2d(probability)] if probability else []
