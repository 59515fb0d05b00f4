"""Going through the pictures once: every entrant fills the same holes, and each picture is scored on its own."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
import numpy.typing as npt
import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor
from torch.utils.data import DataLoader

from imcomp.batch import Batch
from imcomp.data.datamodule import InpaintingDataModule
from imcomp.data.loading import PictureDataset, whole_batch
from imcomp.data.splits import Part
from imcomp.errors import InputError
from imcomp.evaluation.entrants import Entrant
from imcomp.evaluation.statistics import Values
from imcomp.metrics import complete, hole_scores

if TYPE_CHECKING:
    from torchmetrics.image.fid import FrechetInceptionDistance

Score = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Output, target and mask to a score of each picture."""


@dataclass(frozen=True)
class Scored:
    """Scores of each picture that has a hole, in the order in which they were gone through.

    Attributes:
        positions: ``(N,)``, each picture's place in its part.
        names: each picture's name in the source.
        groups: each picture's group in the source.
        areas: ``(N,)``, each hole's share of its picture.
        scores: by entrant and metric, ``(N,)``.
        seconds: that each entrant took for all pictures, also those without a hole.
        pictures: how many there were, with those without a hole.
        fid: of each entrant, where it was asked for.
    """

    positions: npt.NDArray[np.int64]
    names: list[str]
    groups: list[str]
    areas: Values
    scores: Mapping[str, Mapping[str, Values]]
    seconds: Mapping[str, float]
    pictures: int
    fid: Mapping[str, float] = field(default_factory=dict)

    def speed(self, entrant: str) -> float:
        """Pictures a second, without reading them: of a network on its device, of a classical fill in one process."""
        seconds = self.seconds[entrant]
        return self.pictures / seconds if seconds else math.inf


@torch.inference_mode()
def score(
    entrants: Mapping[str, Entrant],
    datamodule: InpaintingDataModule,
    part: Part,
    *,
    device: torch.device,
    limit: int | None = None,
    further: Mapping[str, Score] | None = None,
    fid: "FrechetInceptionDistance | None" = None,
    progress: bool = False,
) -> Scored:
    """Score entrants on one part of the data, batch by batch.

    What is held of a picture is its scores, a few numbers.

    Args:
        entrants: by name.
        datamodule: after ``setup``; cuts the holes, each a function of its seed and the picture's number alone.
        part: `train`, `val` or `test`.
        device: that the entrants compute on.
        limit: only that many pictures, the first in the split's order.
        further: metrics beside those of ``hole_scores``, such as LPIPS.
        fid: also measure the distance between completed and true pictures as a whole.
        progress: show a bar.

    Raises:
        InputError: no such part, or no pictures in it.
    """
    tally = _Tally(entrants, fid)
    dataset = part_of(datamodule, part, limit)
    loader = _loader(datamodule, dataset)
    for pictures, indices in _shown(loader, f"scoring {part}") if progress else loader:
        batch = datamodule.make_batch(pictures.to(device), indices.to(device))
        # processes fill while the networks compute
        order = sorted(entrants, key=lambda name: entrants[name].kind == "network")
        filled = {name: entrants[name].start(batch, pictures) for name in order}
        outputs = {name: filled[name]() for name in entrants}
        tally.add(batch, outputs, further or {})
    source = datamodule.source
    assert source is not None
    positions = np.concatenate(tally.positions)
    numbers = [dataset.indices[place] for place in positions]
    return Scored(
        positions=positions,
        names=[source.name(number) for number in numbers],
        groups=[source.group(number) for number in numbers],
        areas=np.concatenate(tally.areas),
        scores={
            name: {metric: np.concatenate(values) for metric, values in rows.items()}
            for name, rows in tally.scores.items()
        },
        seconds=tally.seconds,
        pictures=tally.pictures,
        fid=tally.distances(),
    )


def part_of(datamodule: InpaintingDataModule, part: str, limit: int | None = None) -> PictureDataset:
    """The first pictures of a part, in the split's order.

    Raises:
        InputError: no such part, no pictures in it, or a limit below 1.
    """
    if part not in get_args(Part):
        raise InputError(f"part={part} is unknown; choose from {', '.join(get_args(Part))}")
    if limit is not None and limit < 1:
        raise InputError(f"limit={limit} leaves no picture; give at least 1, or null for all")
    dataset = datamodule.dataset(part)  # type: ignore[arg-type]  # checked above
    dataset.indices = dataset.indices[:limit]
    return dataset


class _Tally:
    """Adds up what there is to know of each picture."""

    def __init__(self, entrants: Mapping[str, Entrant], fid: "FrechetInceptionDistance | None") -> None:
        self.positions: list[npt.NDArray[np.int64]] = []
        self.areas: list[Values] = []
        self.scores: dict[str, dict[str, list[Values]]] = {name: {} for name in entrants}
        self.seconds = dict.fromkeys(entrants, 0.0)
        self.pictures = 0
        self.real = fid
        self.fakes: dict[str, dict[str, Tensor]] = {name: {} for name in entrants}

    def add(self, batch: Batch, outputs: Mapping[str, tuple[Tensor, float]], further: Mapping[str, Score]) -> None:
        # in double: a tenth in float32 lies above 0.1, and would be in the next bin
        area = batch.mask.sum((1, 2, 3)).cpu().double().numpy() / batch.mask[0].numel()
        holed = area > 0
        self.positions.append(self.pictures + np.flatnonzero(holed))
        self.areas.append(area[holed])
        self.pictures += len(batch.image)
        if self.real is not None:
            self.real.update(batch.image, real=True)
        for name, (output, seconds) in outputs.items():
            self.seconds[name] += seconds
            scores = hole_scores(output, batch.image, batch.mask)
            scores |= {key: metric(output, batch.image, batch.mask) for key, metric in further.items()}
            for key, values in scores.items():
                self.scores[name].setdefault(key, []).append(values.cpu().double().numpy()[holed])
            if self.real is not None:
                self._add_fake(name, complete(output, batch.image, batch.mask))

    def _add_fake(self, name: str, completed: Tensor) -> None:
        # one metric, so that there is one backbone: each entrant's sums are put in, added to and taken out
        assert self.real is not None
        sums = self.fakes[name] or {key: torch.zeros_like(getattr(self.real, key)) for key in _FAKE}
        for key, value in sums.items():
            setattr(self.real, key, value)
        self.real.update(completed, real=False)
        self.fakes[name] = {key: getattr(self.real, key) for key in _FAKE}

    def distances(self) -> dict[str, float]:
        """The FID of each entrant; NaN of fewer than two pictures."""
        if self.real is None:
            return {}
        found = {}
        for name, sums in self.fakes.items():
            for key, value in sums.items():
                setattr(self.real, key, value)
            found[name] = float(self.real.compute()) if self.pictures > 1 else math.nan
        return found


_FAKE = ("fake_features_sum", "fake_features_cov_sum", "fake_features_num_samples")


def _loader(datamodule: InpaintingDataModule, dataset: PictureDataset) -> DataLoader[Any]:
    """In order; the module's own loader of training shuffles."""
    batches = -(-len(dataset) // datamodule.batch_size)
    return DataLoader(
        dataset,
        batch_size=datamodule.batch_size,
        num_workers=min(datamodule.num_workers, batches),
        collate_fn=whole_batch,
        generator=torch.Generator(),  # else each loader draws a number from the global one
    )


def _shown(loader: DataLoader[Any], what: str) -> Iterator[Any]:
    """Go through a loader under a bar that counts pictures and goes away at the end."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, transient=True) as bar:
        task = bar.add_task(what, total=len(loader.dataset))  # type: ignore[arg-type]
        for batch in loader:
            yield batch
            bar.advance(task, len(batch[0]))
