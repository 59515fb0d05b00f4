"""The data module: sources, splits, loaders, and the hole, cut on the device."""

import logging
import os
from collections.abc import Mapping
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from imcomp.batch import Batch
from imcomp.data.loading import EpochSampler, PictureDataset, ResumableLoader
from imcomp.data.masks import build_mask, mix_seeds
from imcomp.data.sources import Source, build_source
from imcomp.data.splits import SPLITS, Part, Split, group_split, random_split
from imcomp.data.transforms import FITS, Fit
from imcomp.errors import InputError

log = logging.getLogger(__name__)

# added to the seed of validation and test holes, so that training never sees theirs
_EVALUATION = 1 << 32


class InpaintingDataModule(pl.LightningDataModule):
    """Pictures with holes, in three parts.

    Workers decode and resize to uint8; everything after runs on the device in ``on_after_batch_transfer``: float32 in
    [0, 1], then the hole. All options are plain values, so that a checkpoint can hold them.

    Args:
        source: a key of ``SOURCES``.
        mask: options of ``build_mask``, such as ``{"name": "center", "size": 40}``.
        channels: 1 for grey, 3 for colour.
        size: height and width in pixels of every picture.
        fit: `stretch` or `crop`, see ``to_size``.
        split: `random`, or `track` to keep each group of the source on one side.
        val_fraction: share of validation in [0, 1).
        test_fraction: share of test in [0, 1).
        batch_size: pictures a batch.
        num_workers: decoding processes; `auto` takes one for each core but one, at most 8.
        seed: of the split, the order of training and the holes.
        source_options: the source's own keywords.

    Raises:
        InputError: a value outside the choices above, or as the source.
    """

    def __init__(
        self,
        source: str,
        mask: Mapping[str, Any],
        channels: int = 1,
        size: int = 256,
        fit: Fit = "stretch",
        split: str = "random",
        val_fraction: float = 0.3,
        test_fraction: float = 0.0,
        batch_size: int = 32,
        num_workers: int | str = "auto",
        seed: int = 0,
        **source_options: Any,
    ) -> None:
        super().__init__()
        self.save_hyperparameters(logger=False)  # for checkpoints; the module's names would clash with these in a log
        for key, value, choices in (
            ("channels", channels, (1, 3)),
            ("fit", fit, FITS),
            ("split", split, SPLITS),
        ):
            if value not in choices:
                raise InputError(f"data.{key}={value} is unknown; choose from {', '.join(map(str, choices))}")
        for key, number in (("size", size), ("batch_size", batch_size)):
            if number < 1:
                raise InputError(f"data.{key}={number} is no number of {key}; give at least 1")
        self.source_name = source
        self.source_options = source_options
        self.mask = build_mask(mask)
        self.channels = channels
        self.size = size
        self.fit: Fit = fit
        self.split_by = split
        self.val_fraction = val_fraction
        self.test_fraction = test_fraction
        self.batch_size = batch_size
        self.num_workers = _worker_count(num_workers)
        self.seed = seed
        self.source: Source | None = None
        self.split: Split | None = None
        self.mask((size, size), torch.zeros(1, dtype=torch.int64))  # a hole that does not fit fails here, not later

    def setup(self, stage: str | None = None) -> None:
        """Open the source and split it, once."""
        if self.source is not None:
            return
        self.source = build_source(self.source_name, self.source_options)
        fractions = {"val_fraction": self.val_fraction, "test_fraction": self.test_fraction, "seed": self.seed}
        count = len(self.source)
        try:
            if self.split_by == "track":
                self.split = group_split([self.source.group(i) for i in range(count)], **fractions)  # type: ignore[arg-type]
            else:
                self.split = random_split(count, **fractions)  # type: ignore[arg-type]
        except ValueError as error:
            raise InputError(str(error)) from error
        log.info(
            "%s pictures of %s: %s train, %s validate, %s test (%s split, seed %s)",
            *(f"{count:,}", self.source_name, *(f"{len(part):,}" for part in self.split)),
            *(self.split_by, self.seed),
        )

    def dataset(self, part: Part) -> PictureDataset:
        """The pictures of one part; `setup` comes first.

        Raises:
            InputError: the part is empty.
        """
        assert self.source is not None, "setup() has not run"
        assert self.split is not None, "setup() has not run"
        indices = getattr(self.split, part)
        if not indices:
            raise InputError(f"there are no {part} pictures: data.{part}_fraction is 0; give a fraction above it")
        return PictureDataset(self.source, indices, size=self.size, channels=self.channels, fit=self.fit)

    def train_dataloader(self) -> DataLoader[tuple[Tensor, int]]:
        """Shuffled anew each epoch; resumes in mid-epoch."""
        dataset = self.dataset("train")
        sampler = EpochSampler(len(dataset), self.seed)
        return ResumableLoader(dataset, sampler=sampler, **self._loader_options())

    def val_dataloader(self) -> DataLoader[tuple[Tensor, int]]:
        """In the split's order."""
        return DataLoader(self.dataset("val"), **self._loader_options())

    def test_dataloader(self) -> DataLoader[tuple[Tensor, int]]:
        """In the split's order."""
        return DataLoader(self.dataset("test"), **self._loader_options())

    def on_after_batch_transfer(self, batch: tuple[Tensor, Tensor], dataloader_idx: int) -> Batch:
        """Uint8 pictures and their numbers, already on the device, to a batch with holes."""
        pictures, indices = batch
        training = self.trainer is not None and bool(self.trainer.training)
        epoch = self.trainer.current_epoch if self.trainer is not None and training else None
        return self.make_batch(pictures, indices, epoch=epoch)

    def make_batch(self, pictures: Tensor, indices: Tensor, *, epoch: int | None = None) -> Batch:
        """Scale pictures and cut their holes.

        Args:
            pictures: ``(B, C, H, W)`` uint8.
            indices: ``(B,)`` int64, numbers in the source.
            epoch: of training, which gets new holes each time; None for validation and test, whose holes depend on
                (seed, index) alone.
        """
        image = pictures.float() / 255
        seeds = mix_seeds(self.seed, _EVALUATION if epoch is None else epoch, indices)
        return Batch(image, self.mask((image.shape[-2], image.shape[-1]), seeds), indices)

    def _loader_options(self) -> dict[str, Any]:
        return {
            "batch_size": self.batch_size,
            "num_workers": self.num_workers,
            "pin_memory": torch.cuda.is_available(),
            "persistent_workers": self.num_workers > 0,
            # its own generator: the global one is the module's, and is saved and restored with it
            "generator": torch.Generator().manual_seed(self.seed),
        }


def _worker_count(workers: int | str) -> int:
    if workers == "auto":
        return min(max(_cores() - 1, 1), 8)
    if not isinstance(workers, int) or workers < 0:
        raise InputError(f"data.num_workers={workers} is no number of processes; give auto, 0 or more")
    return workers


def _cores() -> int:
    # a container or a batch system may grant fewer cores than the machine has
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
