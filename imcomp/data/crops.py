"""Random squares of pictures, cut by the process that reads them, where they are still at their own size."""

from collections.abc import Sequence

import torch
from PIL import Image

from imcomp.data.seeds import mix_seeds, random_bits, uniform


class RandomCrop:
    """A random square, scaled to the size that is asked for; bilinear, and smoothed where it shrinks.

    Args:
        share: lowest and highest side, as a share of the picture's shorter side, above 0 and at most 1.
        seed: of the run.
    """

    def __init__(self, share: tuple[float, float], seed: int) -> None:
        self.share = share
        self.seed = seed

    def draw(self, indices: Sequence[int], epoch: int) -> list[tuple[float, float, float]]:
        """Draw the side (a share of the shorter side), the row and the column (from 0 to 1) of each picture's square.

        Args:
            indices: numbers of the pictures in their source.
            epoch: of training; each has other squares.
        """
        seeds = mix_seeds(self.seed, epoch, torch.tensor(indices, dtype=torch.int64), _CROPS)
        bits = random_bits(seeds, 3)
        places: list[tuple[float, float, float]] = torch.stack(
            [uniform(bits[:, 0], *self.share), uniform(bits[:, 1], 0, 1), uniform(bits[:, 2], 0, 1)], dim=-1
        ).tolist()
        return places

    @staticmethod
    def cut(image: Image.Image, size: int, place: tuple[float, float, float]) -> Image.Image:
        """Cut a square out of a picture of mode `L` or `RGB`, and bring it to ``size`` x ``size`` pixels."""
        share, row, column = place
        side = max(share * min(image.size), 1.0)
        left, top = column * (image.width - side), row * (image.height - side)
        box = (left, top, left + side, top + side)
        return image.resize((size, size), Image.Resampling.BILINEAR, box=box)


_CROPS = 1 << 40  # what is drawn for a crop depends on nothing that is drawn for the hole
