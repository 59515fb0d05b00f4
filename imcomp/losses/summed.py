"""The weighted sum of losses that a network is trained with."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from imcomp.box import Box
from imcomp.errors import InputError
from imcomp.losses import LOSSES

Terms = Mapping[str, float | Mapping[str, Any] | None]
"""Keys of ``LOSSES``, each with its weight, or with ``weight`` and options of its own; None leaves it out."""


class WeightedSum(nn.Module):
    """A sum of losses, each called with what it asks for; see ``imcomp.losses``.

    Args:
        terms: ``{"l1": 1.0, "ssim": {"weight": 0.1, "window": 7}}``. Those of weight 0 are left out.

    Raises:
        InputError: an unknown name, no term at all, or what a term refuses.
    """

    def __init__(self, terms: Terms) -> None:
        super().__init__()
        self.weights: dict[str, float] = {}
        self.terms = nn.ModuleDict()
        for name, given in terms.items():
            weight, options = split_weight(name, given)
            if name == "adversarial":
                raise InputError("loss.adversarial trains a second network; build imcomp.adversarial.AdversarialModule")
            if name not in LOSSES:
                raise InputError(f"loss.{name} is unknown; choose from {', '.join(sorted(LOSSES))}")
            if not weight:
                continue
            try:
                self.terms[name] = LOSSES[name](**options)
            except (TypeError, ValueError) as error:
                raise InputError(str(error) if isinstance(error, InputError) else f"loss.{name}: {error}") from error
            self.weights[name] = weight
        if not self.weights:
            raise InputError("the loss has no part; give loss=mse, or a weight above 0 to one of its parts")
        self.everywhere = any(getattr(term, "everywhere", False) for term in self.terms.values())
        """Whether the network has to compute the whole picture."""
        margins = [None if self.everywhere else getattr(term, "margin", 0) for term in self.terms.values()]
        self.margin = None if None in margins else max(margin or 0 for margin in margins)
        """How many known pixels round the hole count, at most; None: all."""

    def forward(
        self, output: Tensor, image: Tensor, mask: Tensor, box: Box | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Sum the losses of a batch.

        Args:
            output: the network's, ``(B, C, h, w)`` in the box, or ``(B, C, H, W)`` if there is none or `everywhere`.
            image: ``(B, C, H, W)``, the truth, in [0, 1].
            mask: ``(B, 1, H, W)``, 1 = hole.
            box: where all holes lie; None: anywhere.

        Returns:
            The sum, and each part by its name, before it is weighted.

        Raises:
            InputError: pictures that a term does not take.
        """
        inside = output if box is None or not self.everywhere else box.crop(output)
        parts = {}
        for name, term in self.terms.items():
            margin = getattr(term, "margin", 0)
            try:
                if getattr(term, "everywhere", False):
                    parts[name] = term(output, image, mask)
                elif margin == 0:
                    parts[name] = term(inside, *((image, mask) if box is None else (box.crop(image), box.crop(mask))))
                else:
                    parts[name] = term(*complete(inside, image, mask, box, margin=margin))
            except ValueError as error:
                raise InputError(f"loss.{name}: {error}") from error
        weighted = [self.weights[name] * part for name, part in parts.items()]
        return sum(weighted[1:], weighted[0]), parts


def complete(
    output: Tensor, image: Tensor, mask: Tensor, box: Box | None, *, margin: int | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Lay the output into the hole, and cut out the box and so many pixels round it.

    Args:
        output: ``(B, C, h, w)`` in the box, or ``(B, C, H, W)`` without one.
        image: ``(B, C, H, W)``, the truth.
        mask: ``(B, 1, H, W)``, 1 = hole.
        box: where all holes lie; None: anywhere, and all is kept.
        margin: pixels on each side, less at the picture's border; None: all.

    Returns:
        Completed picture, truth and mask there, float32; gradients go to the output in the hole alone.
    """
    if box is None:
        return torch.where(mask > 0, output.float(), image), image, mask
    size = (image.shape[-2], image.shape[-1])
    window = Box(0, 0, *size) if margin is None else box.grow(margin).clip(size)
    target, hole = window.crop(image), window.crop(mask)
    completed = target.clone()
    filled = torch.where(box.crop(mask) > 0, output.float(), box.crop(image))
    box.within(window).crop(completed).copy_(filled)
    return completed, target, hole


def split_weight(name: str, given: float | Mapping[str, Any] | None) -> tuple[float, dict[str, Any]]:
    """Part a term's weight from its own options; the weight is 1 where options come without one.

    Raises:
        InputError: a weight that is no number of at least 0.
    """
    options = dict(given) if isinstance(given, Mapping) else {"weight": 0 if given is None else given}
    weight = options.pop("weight", 1.0)
    if isinstance(weight, bool) or not isinstance(weight, (int, float)) or not 0 <= weight < math.inf:
        raise InputError(f"loss.{name}={weight} is no weight; give a number of at least 0")
    return float(weight), options
