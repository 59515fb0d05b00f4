"""What a network is shown, and what it answers for: the masked picture, within a window round the hole."""

from typing import Any, Literal

import torch
from torch import Tensor, nn

from imcomp.box import Box
from imcomp.models.windows import window_of, windowed

Context = int | Literal["reach"] | None
"""How many pixels round the hole a network is shown: `reach` for all that count, None for the whole picture."""


def fill(
    network: nn.Module,
    image: Tensor,
    mask: Tensor,
    box: Box | None = None,
    *,
    context: Context = None,
    self_ensemble: bool = False,
) -> Tensor:
    """Fill the hole; what is under it in ``image`` is not seen.

    Args:
        network: one of `NETWORKS`.
        image: ``(B, C, H, W)`` float32 in [0, 1].
        mask: ``(B, 1, H, W)``, 1 = hole.
        box: where all holes lie; None: anywhere.
        context: how much is computed round the box. `reach` is the least that gives, in evaluation mode, the numbers of
            the whole picture, to rounding. A number may be less: the network must then be trained so. In training,
            batch norm averages over what is computed.
        self_ensemble: average with what the network makes of the mirrored picture, mirrored back: the geometric
            self-ensemble of R. Timofte, R. Rothe, L. Van Gool: Seven Ways to Improve Example-Based Single Image Super
            Resolution, CVPR 2016, without the turns, which networks here do not learn from.

    Returns:
        The network's raw output in the box ``(B, C, h, w)``, or everywhere ``(B, C, H, W)`` without one; also outside
        the hole, and outside [0, 1].

    Raises:
        ValueError: height or width is not a multiple of the network's ``multiple``.
    """
    plain: Any = network  # torch types every attribute of a module as a tensor or a module
    for name, extent in zip(("height", "width"), image.shape[-2:], strict=True):
        if extent % plain.multiple:
            padded = -(-extent // plain.multiple) * plain.multiple
            raise ValueError(f"{name} {extent} is not a multiple of {plain.multiple}; pad or resize to {padded}")
    if self_ensemble:
        there = box and box.mirror(image.shape[-1])
        mirrored = fill(network, image.flip(-1), mask.flip(-1), there, context=context).flip(-1)
        return (fill(network, image, mask, box, context=context) + mirrored) / 2
    mean, std = getattr(network, "mean", 0.0), getattr(network, "std", 1.0)
    shown = (image - mean) / std * (1 - mask)
    if getattr(network, "takes_mask", False):
        shown = torch.cat([shown, mask], dim=1)
    output: Tensor
    if box is None:
        output = network(shown)
    elif context is None:
        output = box.crop(network(shown))
    elif context != "reach":
        output = windowed(plain, shown, box, context)
    elif getattr(network, "takes_box", False):
        output = network(shown, box)
    else:
        output = windowed(plain, shown, box, getattr(network, "reach", None))
    return output.to(image.dtype) * std + mean


def window_shown(
    network: nn.Module, size: tuple[int, int], box: Box | None, context: Context, margin: int | None = 0
) -> Box:
    """What of a picture counts for `fill`: cut out, it gives the same numbers, to rounding.

    Args:
        network: one of `NETWORKS`.
        size: height and width of the picture, multiples of the network's ``multiple``.
        box: where all holes lie; None: anywhere.
        context: as for `fill`.
        margin: pixels round the box that are wanted in any case; None: all.
    """
    plain: Any = network
    reach = getattr(network, "reach", None) if context == "reach" else context
    if box is None or reach is None or margin is None:
        return Box(0, 0, *size)
    return window_of(box, size, reach=max(reach, margin), multiple=plain.multiple)


def check_context(context: Context) -> Context:
    """Refuse what is no context.

    Raises:
        ValueError: neither None, `reach` nor a number of at least 0.
    """
    # a config or a checkpoint may hold anything
    if context is None or context == "reach" or (isinstance(context, int) and context >= 0):  # type: ignore[redundant-expr]
        return context
    raise ValueError(f"context={context} is no distance; give a number of pixels, reach, or null for the whole picture")
