"""NumPy arrays and tensors while they are completed, and which surface a picture of any kind gets."""

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from imcomp.box import Box
from imcomp.completing.holes import Hole
from imcomp.completing.surfaces import Floats, find_scale
from imcomp.errors import InputError


class ArraySurface:
    """A NumPy array ``(H, W)`` or ``(H, W, C)``: C = 1 grey, 2 grey and alpha, 3 colour, 4 colour and alpha.

    Args:
        array: of true and false, whole numbers or floating point; stays as it is.
        hole: of the picture; what is under it does not count for its range of numbers.
    """

    def __init__(self, array: npt.NDArray[Any], hole: Hole) -> None:
        self.result = array.copy()
        self.size = (array.shape[0], array.shape[1])
        self.planes = self.result[..., None] if array.ndim == 2 else self.result  # a view
        self.alpha = self.planes.shape[2] in {2, 4}
        self.channels = 3 if self.planes.shape[2] > 2 else 1
        self.black, self.white = self._range(hole)

    def read(self, box: Box) -> Floats:
        shown = self._scaled(self._part(box)[..., : self.channels])
        if self.alpha:
            opaque = self._scaled(self._part(box)[..., self.channels :])
            shown = shown * opaque + 1 - opaque
        values: Floats = shown.transpose(2, 0, 1)
        return values

    def write(self, box: Box, hole: Hole, values: Floats) -> None:
        numbers = self.black + values.transpose(1, 2, 0).astype(np.float64) * (self.white - self.black)
        if self.alpha:
            numbers = np.concatenate([numbers, np.full_like(numbers[..., :1], self.white)], axis=2)
        if self.result.dtype.kind != "f":
            numbers = numbers.round()
        self._part(box)[hole] = numbers.astype(self.result.dtype)[hole]

    def _part(self, box: Box) -> npt.NDArray[Any]:
        part: npt.NDArray[Any] = self.planes[box.top : box.bottom, box.left : box.right]
        return part

    def _scaled(self, numbers: npt.NDArray[Any]) -> Floats:
        values = numbers.astype(np.float64)
        values[~np.isfinite(values)] = np.nan
        return np.clip((values - self.black) / (self.white - self.black), 0, 1).astype(np.float32)

    def _range(self, hole: Hole) -> tuple[float, float]:
        kind = self.result.dtype
        if kind == np.bool_ or kind in (np.uint8, np.uint16):
            return 0.0, 1.0 if kind == np.bool_ else float(np.iinfo(kind).max)
        return find_scale(lambda box: self._part(box)[..., : self.channels], hole)


def check_array(array: npt.NDArray[Any]) -> None:
    """Refuse what is no picture.

    Raises:
        InputError: not numbers, or of another shape than those of `ArraySurface`.
    """
    right = array.ndim == 2 or (array.ndim == 3 and array.shape[2] in {1, 2, 3, 4})
    if array.dtype.kind not in "biuf" or not right:
        channels_first = " (a tensor is (C, H, W))" if array.ndim == 3 and array.shape[0] in {1, 3, 4} else ""
        raise InputError(
            f"the picture is an array of {array.dtype} and shape {array.shape}; give numbers of shape (H, W), or"
            f" (H, W, C) with 1 to 4 channels{channels_first}"
        )


def is_tensor(value: Any) -> bool:
    """Whether it is a tensor; torch is not imported to find out."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def complete_tensor(image: Any, mask: Any, complete: Callable[[npt.NDArray[Any], Any], npt.NDArray[Any]]) -> Any:
    """Complete a tensor through NumPy.

    Args:
        image: ``(H, W)``, ``(C, H, W)`` or ``(B, C, H, W)`` on any device, C from 1 to 4.
        mask: see `to_hole`; or one for each of a batch.
        complete: takes an array ``(H, W)`` or ``(H, W, C)`` and a mask, and gives the completed array.

    Returns:
        A new tensor of the same shape, type and device.

    Raises:
        InputError: a tensor of another shape or of complex numbers.
    """
    import torch

    if image.ndim == 4:
        masks = mask if getattr(mask, "ndim", 2) == 4 else [mask] * len(image)
        if len(masks) != len(image):
            raise InputError(
                f"there are {len(masks)} masks for {len(image)} pictures; give one for each, or one for all"
            )
        done = [complete_tensor(one, hole, complete) for one, hole in zip(image, masks, strict=True)]
        return torch.stack(done) if done else image.clone()
    if image.is_complex() or image.ndim not in {2, 3} or (image.ndim == 3 and not 1 <= len(image) <= 4):
        raise InputError(
            f"the picture is a tensor of {image.dtype} and shape {tuple(image.shape)}; give numbers of shape (H, W),"
            " (C, H, W) or (B, C, H, W) with 1 to 4 channels"
        )
    plain = image.detach().cpu()
    plain = plain.float() if plain.dtype in {torch.float16, torch.bfloat16} else plain
    channels_last = plain.permute(1, 2, 0) if image.ndim == 3 else plain
    filled = torch.from_numpy(np.ascontiguousarray(complete(channels_last.contiguous().numpy(), mask)))
    # numbers of half the bits come back from float32 as they were
    return (filled.permute(2, 0, 1) if image.ndim == 3 else filled).to(image.device, image.dtype)


def complete_arrays(
    image: npt.NDArray[Any], mask: Any, complete: Callable[[npt.NDArray[Any], Any], npt.NDArray[Any]]
) -> npt.NDArray[Any]:
    """Complete one array, or each of a batch ``(B, H, W, C)``."""
    if image.ndim != 4:
        check_array(image)
        return complete(image, mask)
    masks = mask if getattr(mask, "ndim", 2) in {3, 4} and len(mask) == len(image) else [mask] * len(image)
    done = [complete_arrays(one, hole, complete) for one, hole in zip(image, masks, strict=True)]
    return np.stack(done) if done else image.copy()
