"""Where the holes come from: mask files, the pictures themselves, or a generator."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from PIL import Image, ImageColor

from imcomp.completing.holes import to_hole
from imcomp.data.masks import MaskGenerator, build_mask, mix_seeds
from imcomp.data.pictures import UnreadablePicture, find_pictures, to_grey_or_rgb
from imcomp.data.stored import read_stored
from imcomp.errors import InputError
from imcomp.prediction.inputs import Inputs, outside, resolved


class Cutter(Protocol):
    """What this file asks of a ``Completer``."""

    size: int

    def cut_hole(self, image: Image.Image, seed: int = 0) -> Image.Image: ...


class Holes(Protocol):
    """One kind of hole for all pictures."""

    @property
    def known(self) -> bool:
        """Whether the picture is whole, so that what was under the hole can be compared."""
        ...

    def cut(self, image: Image.Image, mask: Path | None, seed: int, cutter: Cutter) -> Image.Image:
        """Make a picture's mask, mode `L`, 255 = hole.

        Args:
            image: the picture, upright.
            mask: its mask file, where there is one.
            seed: decides on a hole that is drawn.
            cutter: knows the hole that the network was trained on.

        Raises:
            InputError: the picture has no such hole, or the mask does not fit it.
            UnreadablePicture: the mask file cannot be read.
        """
        ...

    def describe(self) -> str:
        """In words that tell one such kind from another."""
        ...


@dataclass(frozen=True)
class Drawn:
    """A hole drawn by a generator at the network's size and scaled to the picture; None for that trained on."""

    options: Mapping[str, Any] | None = None
    known: bool = True

    def cut(self, image: Image.Image, mask: Path | None, seed: int, cutter: Cutter) -> Image.Image:
        if self.options is None:
            return cutter.cut_hole(image, seed=seed)
        generator: MaskGenerator = build_mask(self.options)
        try:
            hole = generator((cutter.size, cutter.size), mix_seeds(seed).reshape(1))[0, 0]
        except ValueError as error:
            raise InputError(str(error)) from error
        return Image.fromarray((hole > 0).byte().numpy() * 255).resize(image.size, Image.Resampling.NEAREST)

    def describe(self) -> str:
        return f"hole {dict(self.options)}" if self.options else "hole as trained"


@dataclass(frozen=True)
class FromFile:
    """A mask file for each picture, or one for all.

    Attributes:
        resize: bring a mask of another size to the picture's, with its nearest pixels.
        invert: black is the hole.
        max_pixels: of a mask.
    """

    resize: bool = False
    invert: bool = False
    max_pixels: int = 1 << 27
    known: bool = False
    # the one file for all pictures is read once, and of one size it is one mask, whose hole is looked for once
    _first: dict[tuple[Path, tuple[int, int]], Image.Image] = field(default_factory=dict, compare=False, repr=False)

    def cut(self, image: Image.Image, mask: Path | None, seed: int, cutter: Cutter) -> Image.Image:
        assert mask is not None
        if (mask, image.size) in self._first:
            return self._first[mask, image.size]
        try:
            found = read_stored(mask, max_pixels=self.max_pixels)
        except UnreadablePicture as error:
            raise InputError(f"its mask {mask}: {error}") from error
        if found.size != image.size and not self.resize:
            raise InputError(
                f"its mask {mask} is {found.width}x{found.height}, the picture {image.width}x{image.height}; give a"
                " mask of its size, or mask.resize=true"
            )
        hole = to_hole(found, (found.height, found.width)) != self.invert
        cut = _to_mask(hole).resize(image.size, Image.Resampling.NEAREST)
        if not self._first:
            self._first[mask, image.size] = cut
        return cut

    def describe(self) -> str:
        return f"mask file, resize={self.resize}, invert={self.invert}"


@dataclass(frozen=True)
class FromAlpha:
    """The hole is where the picture is not wholly opaque."""

    known: bool = False

    def cut(self, image: Image.Image, mask: Path | None, seed: int, cutter: Cutter) -> Image.Image:
        if not image.has_transparency_data:
            raise InputError(f"it has no transparency (mode {image.mode}), and mask=alpha takes the hole from that")
        alpha = image.convert("RGBA").getchannel("A")
        return alpha.point([255] * 255 + [0])

    def describe(self) -> str:
        return "alpha"


@dataclass(frozen=True)
class FromColour:
    """The hole is where the picture has a colour.

    Attributes:
        colour: such as ``#ff00ff`` or ``magenta``.
        tolerance: how far each channel may be from it, of 255.
    """

    colour: str
    tolerance: int = 0
    known: bool = False

    def __post_init__(self) -> None:
        self._rgb()
        if not 0 <= self.tolerance <= 255:
            raise InputError(f"mask.tolerance={self.tolerance} is none; give levels from 0 to 255")

    def _rgb(self) -> tuple[int, ...]:
        try:
            return ImageColor.getrgb(self.colour)[:3]
        except ValueError as error:
            raise InputError(f"mask.color={self.colour} is no colour; give one such as '#ff00ff' or magenta") from error

    def cut(self, image: Image.Image, mask: Path | None, seed: int, cutter: Cutter) -> Image.Image:
        try:
            shown = to_grey_or_rgb(image).convert("RGB")
        except UnreadablePicture as error:
            raise InputError(f"no colour can be told in it: {error}") from error
        hole = None
        for band, level in zip(shown.split(), self._rgb(), strict=True):
            near = np.abs(np.asarray(band, np.int16) - level) <= self.tolerance
            hole = near if hole is None else hole & near
        return _to_mask(hole)

    def describe(self) -> str:
        return f"colour {self._rgb()} +- {self.tolerance}"


@dataclass(frozen=True)
class FromBox:
    """The hole is a rectangle: top, left, height and width in pixels."""

    box: Sequence[int]
    known: bool = False

    def __post_init__(self) -> None:
        if len(self.box) != 4 or min(self.box[:2]) < 0 or min(self.box[2:]) < 1:
            raise InputError(f"mask.box={list(self.box)} is no rectangle; give [top,left,height,width] in pixels")

    def cut(self, image: Image.Image, mask: Path | None, seed: int, cutter: Cutter) -> Image.Image:
        top, left, height, width = self.box
        if top + height > image.height or left + width > image.width:
            raise InputError(
                f"mask.box={list(self.box)} does not lie in the picture, which is {image.height} high and"
                f" {image.width} wide"
            )
        found = Image.new("L", image.size)
        found.paste(255, (left, top, left + width, top + height))
        return found

    def describe(self) -> str:
        return f"box {list(self.box)}"


@dataclass(frozen=True)
class Matched:
    """Pictures and their masks.

    Attributes:
        masks: of each input, by its number: none, one or several.
        left_over: masks that belong to no picture.
        taken: numbers of inputs that are masks themselves.
    """

    masks: dict[int, list[Path]]
    left_over: list[Path]
    taken: set[int]


def match_masks(inputs: Inputs, folder: Path, output: Path | None = None) -> Matched:
    """Find each picture's masks in a folder, by name: of ``a.jpg`` these are ``a.*``, ``a_mask.*`` and ``a_mask001.*``.

    Sub-folders must be alike. In a folder that holds the pictures too, a picture is not its own mask, and a mask is no
    picture. What is in ``output`` is none.

    Raises:
        InputError: ``output`` is the folder itself.
    """
    by_place: dict[tuple[Path, str], list[Path]] = {}
    for file in outside(find_pictures(folder), folder, output, "masks"):
        name = file.relative_to(folder)
        by_place.setdefault((name.parent, _stem(name.stem)), []).append(name)
    own = {resolved(path) for path in inputs.paths}
    masks: dict[int, list[Path]] = {}
    used: set[Path] = set()
    for number, (path, name) in enumerate(zip(inputs.paths, inputs.relative, strict=True)):
        masks[number] = []
        for stem in dict.fromkeys((name.stem, name.name)):
            for found in by_place.get((name.parent, stem), []):
                file = folder / found
                if resolved(file) == resolved(path) or (found.stem == stem and resolved(file) in own):
                    continue
                used.add(file)
                masks[number].append(file)
    places = {resolved(file) for file in used}
    taken = {number for number, path in enumerate(inputs.paths) if resolved(path) in places}
    every = [folder / name for names in by_place.values() for name in names]
    left_over = [file for file in every if file not in used and resolved(file) not in own]
    return Matched(masks, sorted(left_over), taken)


def _stem(name: str) -> str:
    """The picture's name in a mask's."""
    return re.sub(r"_mask\d*$", "", name)


def _to_mask(hole: Any) -> Image.Image:
    return Image.fromarray(np.asarray(hole).astype(np.uint8) * 255)
