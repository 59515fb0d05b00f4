"""Pictures of a comparison: the first ones by every entrant, and the best, median and worst of each."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from imcomp.batch import Batch
from imcomp.data.datamodule import InpaintingDataModule
from imcomp.data.loading import PictureDataset
from imcomp.evaluation.entrants import Entrant
from imcomp.evaluation.scoring import Scored
from imcomp.evaluation.statistics import Values
from imcomp.metrics import complete

SHOWN = (96, 144)
"""Pixels of a picture's side in the drawing, at least and at most."""

GAIN = 4
"""Errors are drawn so many times as bright."""

_GAP, _LABEL, _CAPTION = 4, 92, 18
_INK, _PAPER = "#24292f", "#ffffff"


class Gallery:
    """Draws pictures of one part of the data.

    Args:
        entrants: by name.
        datamodule: after ``setup``.
        dataset: the pictures that were scored.
        device: that the entrants compute on.
    """

    def __init__(
        self,
        entrants: Mapping[str, Entrant],
        datamodule: InpaintingDataModule,
        dataset: PictureDataset,
        device: torch.device,
    ) -> None:
        self.entrants = entrants
        self.datamodule = datamodule
        self.dataset = dataset
        self.device = device

    def first(self, scored: Scored, count: int) -> Image.Image:
        """The first pictures: masked, as completed by each entrant, and original."""
        places = np.arange(min(count, len(scored.positions)))
        batch, pictures = self._batch(scored.positions[places])
        rows = {"masked": batch.image * (1 - batch.mask)}
        for name, entrant in self.entrants.items():
            rows[name] = self._completed(entrant, batch, pictures)
        rows["original"] = batch.image
        return draw(rows, [self.dataset.source.name(int(index)) for index in batch.indices])

    def extremes(self, scored: Scored, name: str, count: int) -> Image.Image:
        """One entrant's best, median and worst pictures by `mse`: masked, completed, original, and the error in it."""
        places, captions = pick(scored.scores[name]["mse"], count)
        batch, pictures = self._batch(scored.positions[places])
        completed = self._completed(self.entrants[name], batch, pictures)
        rows = {
            "masked": batch.image * (1 - batch.mask),
            "completed": completed,
            "original": batch.image,
            f"error x{GAIN}": ((completed - batch.image).abs() * GAIN).clamp(0, 1),
        }
        return draw(rows, captions)

    def _batch(self, positions: npt.NDArray[np.int64]) -> tuple[Batch, Tensor]:
        items = [self.dataset[int(position)] for position in positions]
        pictures = torch.stack([picture for picture, _ in items])
        indices = torch.tensor([index for _, index in items])
        return self.datamodule.make_batch(pictures.to(self.device), indices.to(self.device)), pictures

    @torch.inference_mode()
    def _completed(self, entrant: Entrant, batch: Batch, pictures: Tensor) -> Tensor:
        output, _ = entrant.start(batch, pictures)()
        return complete(output, batch.image, batch.mask)


def pick(errors: Values, count: int) -> tuple[list[int], list[str]]:
    """Choose pictures by their error: the lowest, those in the middle, the highest; and caption each.

    Args:
        errors: ``(N,)``, N at least 1; what is not a number is among the highest.
        count: of each kind, at most N.
    """
    count = min(count, len(errors))
    order = np.argsort(errors, kind="stable")
    middle = (len(order) - count) // 2
    chosen = {"best": order[:count], "median": order[middle : middle + count], "worst": order[::-1][:count]}
    places = [int(place) for some in chosen.values() for place in some]
    return places, [f"{kind} {errors[place]:.2g}" for kind, some in chosen.items() for place in some]


def draw(rows: Mapping[str, Tensor], captions: Sequence[str]) -> Image.Image:
    """Draw pictures ``(B, C, H, W)`` in [0, 1] in rows with labels, under captions of the columns."""
    side = min(max(SHOWN[0], next(iter(rows.values())).shape[-1]), SHOWN[1])
    columns = len(captions)
    size = (_LABEL + columns * (side + _GAP), _CAPTION + len(rows) * (side + _GAP))
    sheet = Image.new("RGB", size, _PAPER)
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=11)
    for column, caption in enumerate(captions):
        pen.text((_LABEL + column * (side + _GAP), 3), _cut(caption, font, side), fill=_INK, font=font)
    for row, (label, pictures) in enumerate(rows.items()):
        top = _CAPTION + row * (side + _GAP)
        pen.text((2, top + side / 2), _cut(label, font, _LABEL - 6), fill=_INK, font=font, anchor="lm")
        for column, picture in enumerate(pictures):
            sheet.paste(_shown(picture, side), (_LABEL + column * (side + _GAP), top))
    return sheet


def _shown(picture: Tensor, side: int) -> Image.Image:
    levels = (picture.expand(3, -1, -1) * 255).round().byte().permute(1, 2, 0).cpu().numpy()
    method = Image.Resampling.BOX if side < len(levels) else Image.Resampling.NEAREST
    return Image.fromarray(levels).resize((side, side), method)


def _cut(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> str:
    """As much of a text as fits, its end for choice: names of files and runs differ there."""
    while len(text) > 1 and font.getlength(text) > width:
        text = f"…{text[2:]}"
    return text
