"""Scores inside the hole, summed over pictures, so that uneven batches and several processes count right."""

import torch
from torch import Tensor
from torchmetrics import Metric, MetricCollection

from imcomp.losses import hole_mse
from imcomp.scores import TOLERANCE, hole_accuracy, hole_psnr

__all__ = ["TOLERANCE", "HoleAccuracy", "MaskedMSE", "MaskedPSNR", "hole_accuracy", "hole_metrics", "hole_psnr"]


class MaskedMSE(Metric):
    """Mean over pictures of the mean squared error over each one's hole.

    ``update`` takes output ``(B, C, H, W)``, target ``(B, C, H, W)`` and mask ``(B, 1, H, W)`` (1 = hole).
    Pictures without a hole do not count; NaN when none counted.
    """

    is_differentiable = False
    higher_is_better: bool | None = False
    full_state_update = False
    total: Tensor
    count: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("total", torch.zeros(()), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, output: Tensor, target: Tensor, mask: Tensor) -> None:
        """Add a batch."""
        mse = hole_mse(output.detach(), target, mask)
        scores = self.score(mse[mask.sum(dim=(1, 2, 3)) > 0])
        self.total += scores.sum()
        self.count += scores.numel()

    def compute(self) -> Tensor:
        """The mean over all pictures since the last reset."""
        return self.total / self.count

    def score(self, mse: Tensor) -> Tensor:
        """What one picture counts, from its own mean squared error ``(B,)``."""
        return mse


class HoleAccuracy(MaskedMSE):
    """Share of pictures whose mean squared error over the hole is at most ``tolerance``."""

    higher_is_better = True

    def __init__(self, tolerance: float = TOLERANCE) -> None:
        super().__init__()
        self.tolerance = tolerance

    def score(self, mse: Tensor) -> Tensor:
        """1 or 0 a picture."""
        return hole_accuracy(mse, self.tolerance)


class MaskedPSNR(MaskedMSE):
    """Mean over pictures of the peak signal-to-noise ratio inside the hole, in dB."""

    higher_is_better = True

    def score(self, mse: Tensor) -> Tensor:
        """Decibels a picture."""
        return hole_psnr(mse)


class MeanOverPictures(Metric):
    """Mean over pictures, of what is a mean over each batch, such as a loss, and of how many pictures that is."""

    is_differentiable = False
    higher_is_better: bool | None = None
    full_state_update = False
    total: Tensor
    count: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("total", torch.zeros(()), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, mean: Tensor, count: Tensor) -> None:
        """Add a batch."""
        self.total += mean.detach() * count
        self.count += count

    def compute(self) -> Tensor:
        """The mean since the last reset; NaN when none counted."""
        return self.total / self.count


def hole_metrics(prefix: str = "") -> MetricCollection:
    """`mse`, `accuracy` and `psnr` under one prefix."""
    return MetricCollection(
        {"mse": MaskedMSE(), "accuracy": HoleAccuracy(), "psnr": MaskedPSNR()}, prefix=prefix, compute_groups=False
    )
