"""Scores inside the hole, summed over pictures, so that uneven batches and several processes count right."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torchmetrics import Metric, MetricCollection

from imcomp.box import Box
from imcomp.losses import hole_mse, hole_ssim
from imcomp.losses.ssim import WINDOW
from imcomp.scores import AREAS, TOLERANCE, hole_accuracy, hole_area, hole_mae, hole_psnr

__all__ = [
    "TOLERANCE",
    "ByArea",
    "HoleAccuracy",
    "MaskedMAE",
    "MaskedMSE",
    "MaskedMean",
    "MaskedPSNR",
    "MaskedSSIM",
    "complete",
    "hole_accuracy",
    "hole_mae",
    "hole_metrics",
    "hole_psnr",
    "hole_scores",
    "window_ssim",
]


def complete(output: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Lay the output into the hole, clamped to [0, 1]: ``(B, C, H, W)`` float32, the truth outside the hole."""
    return torch.where(mask > 0, output.float().clamp(0, 1), target.float())


def window_ssim(output: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Structural similarity of completed pictures, in a window round each one's hole: ``(B,)``.

    The mean over all 11x11 windows of the SSIM index that touch the hole, see ``hole_ssim``. For a rectangular hole
    within the picture that is scikit-image's ``structural_similarity``, with a Gaussian of 1.5 and population
    covariances, of the hole and ten pixels round it. NaN for pictures without a hole, and those smaller than 11 pixels.

    Args:
        output: ``(B, C, H, W)``; what is outside the hole does not count.
        target: ``(B, C, H, W)``, the truth, in [0, 1].
        mask: ``(B, 1, H, W)``, 1 = hole.
    """
    box = _around(mask)
    if min(target.shape[-2:]) < WINDOW or box is None:
        return torch.full((len(target),), float("nan"), device=target.device)
    output, target, mask = (box.crop(one) for one in (output, target, mask))
    return hole_ssim(complete(output, target, mask), target.float(), mask)


def _around(mask: Tensor) -> Box | None:
    """What windows that touch any of the holes can see; None without any hole."""
    rows, columns = (mask.amax(dim=axes).nonzero()[:, 0] for axes in ((0, 1, 3), (0, 1, 2)))
    if not len(rows):
        return None
    holes = Box(int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1)
    return holes.grow(WINDOW - 1).clip((mask.shape[-2], mask.shape[-1]))


def hole_scores(output: Tensor, target: Tensor, mask: Tensor) -> dict[str, Tensor]:
    """Score each picture on its own: `mse`, `mae`, `psnr`, `ssim` and `accuracy`, each ``(B,)`` float32.

    Args:
        output: ``(B, C, H, W)``, the network's, as it is; for `ssim` clamped to [0, 1].
        target: ``(B, C, H, W)``, the truth, in [0, 1].
        mask: ``(B, 1, H, W)``, 1 = hole.

    Returns:
        NaN for `mse`, `mae`, `psnr` and `ssim` of pictures without a hole.
    """
    mse = hole_mse(output, target, mask)
    return {
        "mse": mse,
        "mae": hole_mae(output, target, mask),
        "psnr": hole_psnr(mse),
        "ssim": window_ssim(output, target, mask),
        "accuracy": hole_accuracy(mse),
    }


class _Mean(Metric):
    """A sum and a count, so that any batches and processes add up."""

    is_differentiable = False
    higher_is_better: bool | None = None
    full_state_update = False
    total: Tensor
    count: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("total", torch.zeros(()), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def compute(self) -> Tensor:
        """The mean over all pictures since the last reset; NaN when none counted."""
        return self.total / self.count


class MaskedMean(_Mean):
    """Mean over pictures of a score.

    ``update`` takes output ``(B, C, H, W)``, target ``(B, C, H, W)`` and mask ``(B, 1, H, W)`` (1 = hole).
    Pictures without a hole do not count; NaN when none counted.
    """

    def update(self, output: Tensor, target: Tensor, mask: Tensor) -> None:
        """Add a batch."""
        scores = self.score(output.detach(), target, mask)[mask.sum(dim=(1, 2, 3)) > 0]
        self.total += scores.sum()
        self.count += scores.numel()

    def score(self, output: Tensor, target: Tensor, mask: Tensor) -> Tensor:
        """What each picture counts, ``(B,)``."""
        raise NotImplementedError


class MaskedMSE(MaskedMean):
    """Mean over pictures of the mean squared error over each one's hole."""

    higher_is_better = False

    def score(self, output: Tensor, target: Tensor, mask: Tensor) -> Tensor:
        """Its `hole_mse`."""
        return hole_mse(output, target, mask)


class MaskedMAE(MaskedMean):
    """Mean over pictures of the mean absolute error over each one's hole."""

    higher_is_better = False

    def score(self, output: Tensor, target: Tensor, mask: Tensor) -> Tensor:
        """Its `hole_mae`."""
        return hole_mae(output, target, mask)


class HoleAccuracy(MaskedMean):
    """Share of pictures whose mean squared error over the hole is at most ``tolerance``."""

    higher_is_better = True

    def __init__(self, tolerance: float = TOLERANCE) -> None:
        super().__init__()
        self.tolerance = tolerance

    def score(self, output: Tensor, target: Tensor, mask: Tensor) -> Tensor:
        """1 or 0."""
        return hole_accuracy(hole_mse(output, target, mask), self.tolerance)


class MaskedPSNR(MaskedMean):
    """Mean over pictures of the peak signal-to-noise ratio inside the hole, in dB."""

    higher_is_better = True

    def score(self, output: Tensor, target: Tensor, mask: Tensor) -> Tensor:
        """Its decibels."""
        return hole_psnr(hole_mse(output, target, mask))


class MaskedSSIM(MaskedMean):
    """Mean over pictures of the structural similarity in a window round the hole."""

    higher_is_better = True

    def score(self, output: Tensor, target: Tensor, mask: Tensor) -> Tensor:
        """Its `window_ssim`."""
        return window_ssim(output, target, mask)


class ByArea(Metric):
    """Another metric's mean in each bin of the hole's share of the picture.

    Args:
        score: such as ``MaskedMSE().score``: output, target and mask to ``(B,)``.
        edges: of the bins, rising; each holds its upper edge.
    """

    is_differentiable = False
    higher_is_better: bool | None = None
    full_state_update = False
    total: Tensor
    count: Tensor

    def __init__(self, score: Callable[[Tensor, Tensor, Tensor], Tensor], edges: Sequence[float] = AREAS) -> None:
        super().__init__()
        self.score = score
        self.edges = edges
        self.add_state("total", torch.zeros(len(edges) - 1), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros(len(edges) - 1, dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, output: Tensor, target: Tensor, mask: Tensor) -> None:
        """Add a batch."""
        area = hole_area(mask)
        counted = area > 0
        inner = torch.tensor(self.edges[1:-1], device=area.device)
        bins = torch.bucketize(area[counted], inner)
        self.total.index_add_(0, bins, self.score(output.detach(), target, mask)[counted])
        self.count += torch.bincount(bins, minlength=len(self.count))

    def compute(self) -> Tensor:
        """The mean in each bin ``(len(edges) - 1,)``; NaN where no picture counted."""
        return self.total / self.count


class MeanOverPictures(_Mean):
    """Mean over pictures, of what is a mean over each batch, such as a loss, and of how many pictures that is."""

    def update(self, mean: Tensor, count: Tensor) -> None:
        """Add a batch."""
        self.total += mean.detach() * count
        self.count += count


def hole_metrics(prefix: str = "") -> MetricCollection:
    """What training logs: `mse`, `accuracy` and `psnr` under one prefix."""
    return MetricCollection(
        {"mse": MaskedMSE(), "accuracy": HoleAccuracy(), "psnr": MaskedPSNR()}, prefix=prefix, compute_groups=False
    )
