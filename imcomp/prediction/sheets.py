"""Pictures to look at: masked, completed and original side by side, and small ones for the contact sheet."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from imcomp.box import Box
from imcomp.completing.surfaces import ImageSurface

GAP = 4  # white pixels between the pictures that stand side by side
_LARGEST = 2048  # pixels of a panel's longer side
_THUMBNAIL = 480
_MARK = (230, 0, 126)  # in the contact sheet the hole is of a colour that hardly a picture has


@dataclass(frozen=True)
class Prediction:
    """One completed picture.

    Attributes:
        path: the input file.
        image: the picture as it came in, upright.
        mask: mode `L`, 255 = hole.
        completed: of the picture's mode and size.
        mse: mean squared error over the hole in [0, 1], as written; None where the truth is not known.
    """

    path: Path
    image: Image.Image
    mask: Image.Image
    completed: Image.Image
    mse: float | None


def shown(image: Image.Image, like: Image.Image | None = None) -> Image.Image:
    """What a picture of any mode shows, as `L` or `RGB`.

    Args:
        image: the picture.
        like: another whose range of numbers counts, for grey of more than 8 bits.
    """
    if image.mode in ("L", "RGB") and not image.has_transparency_data:
        return image
    surface = ImageSurface(like or image, np.zeros((image.height, image.width), np.bool_))
    surface.result = image
    levels = (np.nan_to_num(surface.read(Box(0, 0, image.height, image.width))) * 255).round().astype(np.uint8)
    return Image.fromarray(levels[0] if len(levels) == 1 else levels.transpose(1, 2, 0))


def panels(prediction: Prediction, longest: int, colour: int | tuple[int, int, int] = 0) -> list[Image.Image]:
    """Masked, completed and, where it is known, original: `L` or `RGB`, shrunk where they are large."""
    pictures = [prediction.image, prediction.completed]
    small = [_small(picture, longest) for picture in pictures]
    original, completed = (shown(picture, small[0]) for picture in small)
    mask = prediction.mask.resize(original.size, Image.Resampling.NEAREST)
    if isinstance(colour, tuple):
        original, completed = original.convert("RGB"), completed.convert("RGB")
    masked = Image.composite(Image.new(original.mode, original.size, colour), original, mask)
    return [masked, completed, *([original] if prediction.mse is not None else [])]


def draw_sheet(prediction: Prediction) -> Image.Image:
    """Masked, completed and, where it is known, original, from left to right."""
    drawn = panels(prediction, _LARGEST)
    width, height = drawn[0].size
    sheet = Image.new(drawn[0].mode, (len(drawn) * (width + GAP) - GAP, height), "white")
    for number, panel in enumerate(drawn):
        sheet.paste(panel, (number * (width + GAP), 0))
    return sheet


def draw_thumbnails(prediction: Prediction) -> tuple[Image.Image, Image.Image]:
    """Small ones of the picture with its hole marked, and of the completed picture."""
    before, after, *_ = panels(prediction, _THUMBNAIL, _MARK)
    return before, after


def thumbnail_names(job: str) -> tuple[str, str]:
    """File names for the two thumbnails of a job, whatever its name is."""
    digest = hashlib.sha256(job.encode("utf-8", "surrogateescape")).hexdigest()[:24]
    return f"{digest}.before.jpg", f"{digest}.after.jpg"


def _small(image: Image.Image, longest: int) -> Image.Image:
    if max(image.size) <= longest:
        return image
    scale = longest / max(image.size)
    size = (max(round(image.width * scale), 1), max(round(image.height * scale), 1))
    # the nearest pixel: modes such as palettes know no mean, and this is to look at
    return image.resize(size, Image.Resampling.NEAREST if image.mode not in ("L", "RGB") else Image.Resampling.BOX)
