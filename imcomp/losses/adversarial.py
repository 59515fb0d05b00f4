"""What two networks train one another with: one fills holes, the other tells fills from pictures."""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from imcomp.losses.pixels import masked_mean, touched_cells


@dataclass(frozen=True)
class Adversarial:
    """The options of adversarial training, ``loss.adversarial``.

    Attributes:
        weight: of `fooling_loss` and feature matching, beside the other parts of the loss.
        feature_matching: of `feature_matching_loss`, beside the 1 of `fooling_loss`.
        r1: of `r1_penalty` in the discriminator's loss.
        r1_every: steps from one penalty to the next, each so many times as strong.
        lr: the discriminator's highest learning rate; it follows the network's schedule.
        width: channels of the discriminator's first layer.
        layers: of its layers that halve the map.
        margin: known pixels round the hole that it is shown where all holes lie in one box; None for all.

    Raises:
        ValueError: a weight, count or margin that is none.
    """

    weight: float = 0.1
    feature_matching: float = 10.0
    r1: float = 0.001
    r1_every: int = 4
    lr: float = 4e-4
    width: int = 32
    layers: int = 3
    margin: int | None = 16

    def __post_init__(self) -> None:
        for name in ("weight", "feature_matching", "r1", "lr"):
            value = getattr(self, name)
            if not 0 <= value < math.inf:
                raise ValueError(f"loss.adversarial.{name}={value} is out of range; give a number of at least 0")
        for name in ("r1_every", "width", "layers"):
            value = getattr(self, name)
            if value < 1:
                raise ValueError(f"loss.adversarial.{name}={value} is too small; give at least 1")
        if self.margin is not None and self.margin < 0:
            raise ValueError(f"loss.adversarial.margin={self.margin} is no distance; give a number of pixels, or null")


def fooling_loss(logits: Tensor, mask: Tensor) -> Tensor:
    r"""What fills cost that are told from pictures: the mean of :math:`-\log \sigma(l)` over the cells of the hole.

    The non-saturating loss of I. Goodfellow et al.: Generative Adversarial Nets, NeurIPS 2014.

    Args:
        logits: ``(B, 1, h, w)``, the discriminator's for completed pictures; above 0 it takes them for true.
        mask: ``(B, 1, H, W)``, 1 = hole.
    """
    return masked_mean(F.softplus(-logits.float()), touched_cells(mask, logits))


def telling_loss(true: Tensor, completed: Tensor, mask: Tensor) -> Tensor:
    r"""What it costs not to tell them: the mean of :math:`-\log \sigma(l_t) - \log(1 - \sigma(l_c))` over these cells.

    Args:
        true: ``(B, 1, h, w)``, logits for pictures.
        completed: the same for completed ones.
        mask: ``(B, 1, H, W)``, 1 = hole.
    """
    cells = touched_cells(mask, true)
    return masked_mean(F.softplus(-true.float()), cells) + masked_mean(F.softplus(completed.float()), cells)


def r1_penalty(true: Tensor, image: Tensor) -> Tensor:
    r"""Mean over the pictures of :math:`\lVert \nabla_x \sum l(x) \rVert^2`: how steep the discriminator is.

    L. Mescheder et al.: Which Training Methods for GANs do actually Converge?, ICML 2018, whose :math:`\gamma / 2` is
    ``Adversarial.r1``; over all cells' logits, as LaMa has it.

    Args:
        true: ``(B, 1, h, w)``, logits for ``image``, with their graph.
        image: ``(B, C, H, W)``, pictures that require gradients.
    """
    (gradient,) = torch.autograd.grad(true.sum(), image, create_graph=True)
    return gradient.square().sum(dim=(1, 2, 3)).mean()


def feature_matching_loss(completed: list[Tensor], true: list[Tensor], mask: Tensor) -> Tensor:
    """Mean absolute difference between the discriminator's features, over its layers and the cells of the hole.

    T.-C. Wang et al.: High-Resolution Image Synthesis and Semantic Manipulation with Conditional GANs, CVPR 2018.

    Args:
        completed: maps of completed pictures, ``(B, C, h, w)`` each.
        true: the same of the pictures, without a graph.
        mask: ``(B, 1, H, W)``, 1 = hole.
    """
    losses = [
        masked_mean((one.float() - other.float()).abs(), touched_cells(mask, one))
        for one, other in zip(completed, true, strict=True)
    ]
    return torch.stack(losses).mean()


def share_told(true: Tensor, completed: Tensor, mask: Tensor) -> Tensor:
    """Share of the hole's cells that the discriminator tells rightly, of both pictures; 0.5 is guessing.

    Args:
        true: ``(B, 1, h, w)``, logits for pictures.
        completed: the same for completed ones.
        mask: ``(B, 1, H, W)``, 1 = hole.
    """
    right = ((true > 0).float() + (completed < 0).float()) / 2
    return masked_mean(right, touched_cells(mask, true))
