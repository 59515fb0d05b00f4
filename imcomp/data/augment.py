"""Augmentation: each picture of a training batch is changed by a seed of its own before the hole is cut."""

import logging
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from imcomp.box import Box
from imcomp.data.light import adjust_colour, adjust_light
from imcomp.data.ranges import number_range, whole_range
from imcomp.data.seeds import integers, mix_seeds, random_bits, uniform
from imcomp.data.warps import affine_maps, flip, warp
from imcomp.errors import InputError

log = logging.getLogger(__name__)

Range = Sequence[float] | float | None


class Warp(NamedTuple):
    """How each picture of a batch is moved about.

    Attributes:
        horizontal: ``(B,)`` bool, mirrored left to right.
        vertical: ``(B,)`` bool, mirrored top to bottom.
        maps: ``(B, 2, 3)``, see `affine_maps`; None where no picture is.
    """

    horizontal: Tensor
    vertical: Tensor
    maps: Tensor | None


class Augmentation:
    """Changes pictures at random; a range is [low, high] or one number, None leaves a thing as it is.

    Every number is a function of the picture's seed, and what one option draws does not depend on the others. In this
    order: crop (by the process that reads the picture, see `RandomCrop`), flips, affine, colour, light, blur,
    resolution, noise, JPEG.

    Args:
        crop: side of a random square that is cut out, as a share of the picture's shorter side, up to 1.
        horizontal_flip: share of pictures that swap left and right.
        vertical_flip: share of pictures that swap top and bottom.
        flip_regex: which pictures the two shares above are of: those in whose name it is found (``re.search``). The
            others are never flipped. Empty: of all.
        scale: factor of the size.
        aspect: highest change of width to height: 0.07 is 7% wider to 7% higher.
        degrees: highest turn, to either side.
        shift: highest move along either axis, as a share of the picture's width and height.
        brightness: factor.
        contrast: factor of the distance to the picture's mean.
        gamma: exponent.
        saturation: factor, of pictures in colour.
        hue: highest turn of the colours, in degrees.
        blur: standard deviation of a Gaussian, in pixels.
        resolution: pixels of a side that the picture is brought to and back from, as one that was taken from far off.
        noise: standard deviation of Gaussian noise, where white is 1.
        jpeg: quality, 1 to 100.
        chance: share of pictures with blur, with another resolution, with noise and with JPEG, each by itself.

    Raises:
        InputError: a value that is no such range or share.
    """

    def __init__(
        self,
        crop: Range = None,
        horizontal_flip: float = 0.0,
        vertical_flip: float = 0.0,
        flip_regex: str = "",
        scale: Range = None,
        aspect: float = 0.0,
        degrees: float = 0.0,
        shift: float = 0.0,
        brightness: Range = None,
        contrast: Range = None,
        gamma: Range = None,
        saturation: Range = None,
        hue: float = 0.0,
        blur: Range = None,
        resolution: Sequence[int] | int | None = None,
        noise: Range = None,
        jpeg: Sequence[int] | int | None = None,
        chance: float = 0.5,
    ) -> None:
        self.crop = _range("crop", crop, 0.01, 1)
        self.flips = _number("horizontal_flip", horizontal_flip, 1), _number("vertical_flip", vertical_flip, 1)
        self.flippable = _pattern("flip_regex", flip_regex) if any(self.flips) else None
        self.scale = _range("scale", scale, 0.1, 10)
        self.aspect = _number("aspect", aspect, 10)
        self.degrees = _number("degrees", degrees, 180)
        self.shift = _number("shift", shift, 1)
        self.brightness = _range("brightness", brightness, 0)
        self.contrast = _range("contrast", contrast, 0)
        self.gamma = _range("gamma", gamma, 0.01)
        self.saturation = _range("saturation", saturation, 0)
        self.hue = _number("hue", hue, 180)
        self.blur = _range("blur", blur, 0)
        self.resolution = None if resolution is None else _checked(whole_range, "resolution", resolution, 1)
        self.noise = _range("noise", noise, 0)
        self.jpeg = None if jpeg is None else _checked(whole_range, "jpeg", jpeg, 1)
        if self.jpeg and self.jpeg[1] > 100:
            raise InputError(f"augment.jpeg={jpeg} is no quality; give [low, high] from 1 to 100")
        self.chance = _number("chance", chance, 1)

    @property
    def moves(self) -> bool:
        """Whether pictures are flipped or sampled anew."""
        return any(self.flips) or self._has_affine

    @property
    def _has_affine(self) -> bool:
        return self.scale is not None or any((self.aspect, self.degrees, self.shift))

    @property
    def _degrades(self) -> bool:
        return self.chance > 0 and any(getattr(self, key) is not None for key in _DEGRADATIONS)

    def may_flip(self, names: Sequence[str]) -> Tensor | None:
        """``(N,)`` bool, whether each of the pictures so named may be flipped; None where all may."""
        if self.flippable is None:
            return None
        flippable = torch.tensor([bool(self.flippable.search(name)) for name in names])
        if not flippable.any():
            found = f"augment.flip_regex {self.flippable.pattern!r} is in none of {len(names):,} names"
            log.warning("%s, such as %r: no picture is flipped", found, names[0])
        return flippable

    def draw_warp(self, seeds: Tensor, image_size: tuple[int, int], flippable: Tensor | None = None) -> Warp:
        """Draw how pictures are moved about, for them and for what must move with them.

        Args:
            seeds: ``(B,)`` int64.
            image_size: height and width in pixels.
            flippable: of `may_flip`, on the seeds' device; None where all may be flipped.
        """
        bits = _bits(seeds)
        horizontal, vertical = (
            uniform(bits[:, _DRAWS[key]], 0, 1) < share for key, share in zip(_FLIPS, self.flips, strict=True)
        )
        if flippable is not None:
            horizontal, vertical = horizontal & flippable, vertical & flippable
        if not self._has_affine:
            return Warp(horizontal, vertical, None)
        stretch = uniform(bits[:, _DRAWS["aspect"]], -1, 1) * math.log1p(self.aspect)
        shift = [
            uniform(bits[:, _DRAWS[key]], -self.shift, self.shift) * extent
            for key, extent in (("shift_x", image_size[1]), ("shift_y", image_size[0]))
        ]
        maps = affine_maps(
            uniform(bits[:, _DRAWS["scale"]], *(self.scale or (1, 1))),
            stretch.exp(),
            uniform(bits[:, _DRAWS["degrees"]], -self.degrees, self.degrees),
            torch.stack(shift, dim=-1),
        )
        return Warp(horizontal, vertical, maps)

    def __call__(
        self, pictures: Tensor, seeds: Tensor, window: Box | None = None, flippable: Tensor | None = None
    ) -> Tensor:
        """Change pictures.

        Args:
            pictures: ``(B, C, H, W)`` uint8.
            seeds: ``(B,)`` int64 on the pictures' device.
            window: what of the result is wanted; None for all of it. The rest is not computed where that changes
                nothing in the window.
            flippable: as for `draw_warp`.

        Returns:
            ``(B, C, h, w)`` float32 in [0, 1], of the window's height and width.
        """
        bits = _bits(seeds)
        size = pictures.shape[-2], pictures.shape[-1]
        if window is None or not self._degrades:
            return self._change(pictures, self.draw_warp(seeds, size, flippable), seeds, bits, window)
        # what degrades a picture reaches from one pixel to others: first the whole, then the window
        whole = torch.stack([self._chosen(key, bits) for key in _DEGRADATIONS]).any(dim=0)
        changed = torch.empty((*pictures.shape[:2], *window.shape), device=pictures.device)
        for part, region in ((whole, None), (~whole, window)):
            how = self.draw_warp(seeds[part], size, None if flippable is None else flippable[part])
            image = self._change(pictures[part], how, seeds[part], bits[part], region)
            changed[part] = image if region else window.crop(image)
        return changed

    def _change(self, pictures: Tensor, how: Warp, seeds: Tensor, bits: Tensor, region: Box | None) -> Tensor:
        if any(self.flips):
            pictures = flip(pictures, how.horizontal, how.vertical)
        mean = pictures.flatten(1).float().mean(dim=1) / 255 if self.contrast else torch.zeros_like(bits[:, 0])
        if how.maps is not None:
            image = warp(pictures.float().div_(255), how.maps, region)
        else:
            image = (region.crop(pictures) if region else pictures).float().div_(255)
        if pictures.shape[1] == 3 and (self.saturation or self.hue):
            saturation = uniform(bits[:, _DRAWS["saturation"]], *(self.saturation or (1, 1)))
            image = adjust_colour(image, saturation, uniform(bits[:, _DRAWS["hue"]], -self.hue, self.hue))
        if self.brightness or self.contrast or self.gamma:
            factors = (
                uniform(bits[:, _DRAWS[key]], *(getattr(self, key) or (1, 1)))
                for key in ("brightness", "contrast", "gamma")
            )
            image = adjust_light(image, mean, *factors)
        return self._degrade(image.contiguous(), bits, seeds) if self._degrades else image

    def _chosen(self, key: str, bits: Tensor) -> Tensor:
        if getattr(self, key) is None:
            return torch.zeros_like(bits[:, 0], dtype=torch.bool)
        return uniform(bits[:, _DRAWS[f"{key}_chosen"]], 0, 1) < self.chance

    def _degrade(self, image: Tensor, bits: Tensor, seeds: Tensor) -> Tensor:
        from imcomp.data import degrade  # torchvision's transforms take a second to import

        if self.blur:
            image = degrade.blur(image, uniform(bits[:, _DRAWS["blur"]], *self.blur), self._chosen("blur", bits))
        if self.resolution:
            side = integers(bits[:, _DRAWS["resolution"]], *self.resolution)
            image = degrade.resample(image, side, self._chosen("resolution", bits))
        if self.noise:
            sigma = uniform(bits[:, _DRAWS["noise"]], *self.noise)
            image = degrade.add_noise(image, sigma, self._chosen("noise", bits), mix_seeds(seeds, len(_DRAWS)))
        if self.jpeg:
            image = degrade.compress(image, integers(bits[:, _DRAWS["jpeg"]], *self.jpeg), self._chosen("jpeg", bits))
        return image


def move(mask: Tensor, how: Warp) -> Tensor:
    """Move masks as their pictures are moved; one that would leave the picture stays where it was.

    Args:
        mask: ``(B, 1, H, W)`` float32, 1 = hole.
        how: of `Augmentation.draw_warp`.

    Returns:
        ``(B, 1, H, W)`` float32, 1 = hole, and never empty where it was not.
    """
    moved = flip(mask, how.horizontal, how.vertical)
    if how.maps is None:
        return moved
    warped = warp(moved, how.maps, mode="nearest")
    return torch.where(warped.amax(dim=(1, 2, 3), keepdim=True) > 0, warped, moved)


def build_augmentation(options: Mapping[str, Any] | None) -> Augmentation | None:
    """Build from plain options: ``{"horizontal_flip": 0.5}``; None for options that change nothing.

    Raises:
        InputError: an option that there is not, or a value that it cannot have.
    """
    try:
        augmentation = Augmentation(**(options or {}))
    except TypeError as error:
        raise InputError(f"augment: {error}") from error
    plain = {key: value for key, value in vars(augmentation).items() if key != "chance"}
    nothing = {key: value for key, value in vars(Augmentation()).items() if key != "chance"}
    return None if plain == nothing else augmentation


_FLIPS = ("horizontal_flip", "vertical_flip")
_DEGRADATIONS = ("blur", "resolution", "noise", "jpeg")
_NAMES = (
    *_FLIPS, "scale", "aspect", "degrees", "shift_x", "shift_y", "brightness", "contrast", "gamma", "saturation", "hue",
    "blur_chosen", "blur", "noise_chosen", "noise", "jpeg_chosen", "jpeg", "resolution_chosen", "resolution",
)  # fmt: skip
# which of a seed's numbers decides on what; new ones go to the end
_DRAWS = {name: place for place, name in enumerate(_NAMES)}


def _bits(seeds: Tensor) -> Tensor:
    return random_bits(seeds, len(_DRAWS))


def _range(key: str, value: Any, lowest: float, highest: float = float("inf")) -> tuple[float, float] | None:
    return None if value is None else _checked(number_range, key, value, lowest, highest)


def _number(key: str, value: Any, highest: float) -> float:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not 0 <= value <= highest:
        raise InputError(f"augment.{key}={value} is out of range; give a number from 0 to {highest:g}")
    return float(value)


def _pattern(key: str, value: Any) -> re.Pattern[str] | None:
    if not isinstance(value, str):
        raise InputError(f"augment.{key}={value} is no regular expression; give a text, or '' for all pictures")
    try:
        return re.compile(value) if value else None
    except re.error as error:
        raise InputError(f"augment.{key} {value!r} is not a regular expression: {error}") from error


def _checked(read: Any, key: str, value: Any, *bounds: float) -> Any:
    try:
        return read(f"augment.{key}", value, *bounds)
    except ValueError as error:
        raise InputError(str(error)) from error
