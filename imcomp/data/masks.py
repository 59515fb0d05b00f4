"""Holes: where the picture is missing.

One polarity everywhere: a mask is ``(B, 1, H, W)`` float32 with **1 = hole**. A generator is called with the
picture size and one seed for each picture, and is a pure function of both, so that the same picture gets the
same hole in every run and on every number of devices.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from imcomp.data.mask_files import FolderMask
from imcomp.data.ranges import area_range, draw_within, pixels_outside
from imcomp.data.rectangles import BoxMask, CenterMask, GridMask, OutpaintMask
from imcomp.data.seeds import mix_seeds, random_bits, uniform
from imcomp.data.strokes import BrushMask

__all__ = ["MASKS", "CenterMask", "MaskGenerator", "MixedMask", "build_mask", "mix_seeds", "try_holes"]

log = logging.getLogger(__name__)

_TRIED = 16  # holes, before training


class MaskGenerator(Protocol):
    """Cuts one hole (of one or many parts) into each picture of a batch."""

    def __call__(self, image_size: tuple[int, int], seeds: Tensor) -> Tensor:
        """Make one mask a seed.

        Args:
            image_size: height and width in pixels.
            seeds: ``(B,)`` int64; the masks are made on its device. B may be 0.

        Returns:
            ``(B, 1, H, W)`` float32, 1 = hole.

        Raises:
            ValueError: the hole does not fit into a picture of this size.
        """
        ...


class MixedMask:
    """Holes of several kinds: each picture gets one kind by its seed.

    Args:
        masks: options of `build_mask` for each kind, and its ``weight`` (1 where it is not given): of weights 3 and 1
            the first makes three holes in four.
        area: bounds of the hole's share of the picture, [low, high], for all kinds, see `draw_within`; a hole is drawn
            anew by its own kind, so that the weights hold. None for none.

    Raises:
        ValueError: no kinds, a weight that is no number above 0, or what a kind refuses.
    """

    def __init__(self, masks: Sequence[Mapping[str, Any]], area: Sequence[float] | None = None) -> None:
        if not masks:
            raise ValueError("masks is empty; give a list such as [{name: box, weight: 2}, {name: brush}]")
        self.masks: list[MaskGenerator] = []
        weights = []
        for index, options in enumerate(masks):
            if not hasattr(options, "keys"):  # a config may hold anything
                raise ValueError(f"masks[{index}] {options} is no list of options; give it such as {{name: {options}}}")
            arguments = dict(options)
            weight = arguments.pop("weight", 1)
            if isinstance(weight, bool) or not isinstance(weight, (int, float)) or not 0 < weight < float("inf"):
                raise ValueError(f"masks[{index}].weight {weight} is no weight; give a number above 0")
            try:
                self.masks.append(build_mask(arguments))
            except ValueError as error:
                raise ValueError(f"masks[{index}]: {error}") from error
            if isinstance(self.masks[-1], FolderMask) and self.masks[-1].mode == "paired":
                raise ValueError(f"masks[{index}]: mode=paired is for all pictures or none; give random or fixed")
            weights.append(weight)
        # where each kind ends on a line from 0 to 1; the last takes what rounding leaves
        self._ends = [sum(weights[: index + 1]) / sum(weights) for index in range(len(weights) - 1)]
        self.area = area_range(area)

    def __call__(self, image_size: tuple[int, int], seeds: Tensor) -> Tensor:
        place = uniform(random_bits(seeds, 1)[:, 0], 0, 1)
        kind = torch.bucketize(place, torch.tensor(self._ends, device=seeds.device), right=True)
        own = mix_seeds(seeds, 1)  # what a kind draws must not depend on how it was chosen
        masks = torch.zeros(len(seeds), 1, *image_size, device=seeds.device)
        for index, mask in enumerate(self.masks):
            chosen = (kind == index).nonzero().flatten()
            try:
                # a kind that no picture got is called too: what does not fit is told at once, not some day
                masks[chosen] = draw_within(lambda some, mask=mask: mask(image_size, some), own[chosen], self.area)  # type: ignore[misc]
            except ValueError as error:
                raise type(error)(f"masks[{index}]: {error}") from error
        return masks


MASKS: dict[str, Callable[..., MaskGenerator]] = {
    "box": BoxMask,
    "brush": BrushMask,
    "center": CenterMask,
    "folder": FolderMask,
    "grid": GridMask,
    "mixed": MixedMask,
    "outpaint": OutpaintMask,
}


def build_mask(options: Mapping[str, Any]) -> MaskGenerator:
    """Build a generator from plain options: ``{"name": "center", "size": 40}``.

    Raises:
        ValueError: an unknown name, or options that the generator does not take.
    """
    arguments = dict(options)
    name = arguments.pop("name", None)
    if name not in MASKS:
        raise ValueError(f"unknown mask {name!r}; choose from {', '.join(sorted(MASKS))}")
    try:
        return MASKS[name](**arguments)
    except TypeError as error:
        raise ValueError(f"mask {name!r}: {error}") from error


def try_holes(mask: MaskGenerator, image_size: tuple[int, int]) -> None:
    """Draw some holes before any picture is read, and warn of bounds of their area that they do not keep to.

    Args:
        mask: the generator; of a mixture, each kind is tried too.
        image_size: height and width in pixels.

    Raises:
        ValueError: the hole does not fit into a picture of this size.
    """
    area = getattr(mask, "area", None)
    holes = mask(image_size, mix_seeds(torch.arange(_TRIED if area else 1)))
    if area and (outside := int(pixels_outside(holes, area).count_nonzero())):
        share = holes.mean(dim=(1, 2, 3))
        log.warning(
            "%d of %d holes that were tried are outside mask.area=%s: they are %.2g to %.2g of the picture;"
            " give wider bounds, or what draws larger or smaller holes",
            *(outside, len(holes), list(area), share.min(), share.max()),
        )
    for kind in getattr(mask, "masks", ()):
        try_holes(kind, image_size)
