"""The data module: sources, splits, loaders, and the hole, cut on the device."""

import logging
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from imcomp.batch import Batch
from imcomp.box import Box
from imcomp.data.augment import build_augmentation, move
from imcomp.data.cache import CACHES, CACHES_AS, Cache, CacheAs, Kept, open_in_memory, open_on_disk
from imcomp.data.crops import RandomCrop
from imcomp.data.decoded import PictureFile
from imcomp.data.loading import (
    SPARE,
    EpochSampler,
    PictureDataset,
    ResumableLoader,
    ShareSampler,
    count_cores,
    place_among,
    start_worker,
    whole_batch,
)
from imcomp.data.mask_files import FolderMask
from imcomp.data.masks import CenterMask, build_mask, mix_seeds, try_holes
from imcomp.data.resolution import LowResolution
from imcomp.data.shards.loading import ShardDataset, ShardSampler
from imcomp.data.shards.reading import ShardSource
from imcomp.data.sources import Source, build_source
from imcomp.data.splits import SPLITS, Part, Split, divide
from imcomp.data.transforms import FITS, Fit
from imcomp.errors import InputError

log = logging.getLogger(__name__)

# added to the seed of validation and test holes, so that training never sees theirs
_EVALUATION = 1 << 32
# mixed into a picture's seed for how it is augmented, so that this and its hole do not hang together
_AUGMENTATION = 1 << 41


class InpaintingDataModule(pl.LightningDataModule):
    """Pictures with holes, in three parts.

    Workers decode and resize to uint8, or read what was decoded before; everything after runs on the device in
    ``on_after_batch_transfer``: float32 in [0, 1], augmented in training, then the hole. All options are plain values,
    so that a checkpoint can hold them. The cache changes no bit of a batch, and is no matter of a checkpoint's.

    Args:
        source: a key of ``SOURCES``.
        mask: options of ``build_mask``, such as ``{"name": "center", "size": 40}``.
        channels: 1 for grey, 3 for colour.
        size: height and width in pixels of every picture.
        fit: `stretch` or `crop`, see ``to_size``.
        resolution: pixels of each side that pictures are brought to before they are brought to ``size``; None: as they
            are.
        split: `random`, or `track` to keep each group of the source on one side; shards are split already, `packed`.
        val_fraction: share of validation in [0, 1); None where the split is packed.
        test_fraction: share of test in [0, 1); None the same.
        batch_size: pictures a batch, over all processes that train together.
        num_workers: processes that prepare batches. `auto` takes one for each core but one, at most 8; where pictures
            come resized from the cache, 2 beside an accelerator and none beside a CPU, which hands them over slower
            than it reads them.
        seed: of the split, the order of training and the holes.
        cache: keep decoded pictures on `disk`, in `ram`, or not (`off`; False, as YAML reads it, is the same).
            ``setup("fit")`` decodes what is not there; other stages use what is. Shards from afar are kept as they are.
        cache_as: `resized` keeps pictures as a batch takes them; `native` at their own size, for all sizes; `auto` is
            `native` where random squares are cut out of them, else `resized`.
        cache_gb: bound of the folder on disk, of all that is kept there, or of the memory, in 10**9 bytes.
        cache_dir: the folder; needed for `disk`. A source of files remembers there which of them could be read.
        augment: options of ``Augmentation``: how pictures are changed in training, and never elsewhere.
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
        resolution: int | None = None,
        split: str = "random",
        val_fraction: float | None = 0.3,
        test_fraction: float | None = 0.0,
        batch_size: int = 32,
        num_workers: int | str = "auto",
        seed: int = 0,
        cache: Cache | Literal[False] = "off",
        cache_as: CacheAs = "auto",
        cache_gb: float = 20,
        cache_dir: str | Path | None = None,
        augment: Mapping[str, Any] | None = None,
        **source_options: Any,
    ) -> None:
        super().__init__()
        # for checkpoints; the module's names would clash with these in a log
        self.save_hyperparameters(logger=False, ignore=["cache", "cache_as", "cache_gb", "cache_dir"])
        cache = cache or "off"
        for key, value, choices in (
            ("channels", channels, (1, 3)),
            ("fit", fit, FITS),
            ("split", split, SPLITS),
            ("cache", cache, CACHES),
            ("cache_as", cache_as, CACHES_AS),
        ):
            if value not in choices:
                raise InputError(f"data.{key}={value} is unknown; choose from {', '.join(map(str, choices))}")
        for key, number in (("size", size), ("batch_size", batch_size), ("resolution", resolution)):
            if number is not None and number < 1:
                raise InputError(f"data.{key}={number} is no number of {key}; give at least 1")
        if not 0 < cache_gb < math.inf:
            raise InputError(f"data.cache_gb={cache_gb} is no size; give more than 0, or data.cache=off")
        if cache == "disk" and cache_dir is None:
            raise InputError("data.cache=disk needs a folder; give data.cache_dir=PATH")
        self.source_name = source
        self.source_options = source_options
        self.mask = build_mask(mask)
        self.augment = build_augmentation(augment)
        self._paired = self.mask if isinstance(self.mask, FolderMask) and self.mask.mode == "paired" else None
        self.channels = channels
        self.size = size
        self.fit: Fit = fit
        self.resolution = resolution
        self.split_by = split
        _check_fractions(split, val_fraction=val_fraction, test_fraction=test_fraction)
        self.val_fraction = val_fraction or 0.0
        self.test_fraction = test_fraction or 0.0
        self.batch_size = batch_size
        if num_workers != "auto" and (not isinstance(num_workers, int) or num_workers < 0):
            raise InputError(f"data.num_workers={num_workers} is no number of processes; give auto, 0 or more")
        self.wanted_workers = num_workers
        self.seed = seed
        self.cache = cache
        crops = self.augment is not None and self.augment.crop is not None
        if crops and cache_as == "resized":
            raise InputError(
                "augment.crop cuts from pictures at their own size; give data.cache_as=native, or augment.crop=null"
            )
        if crops and self._paired is not None:
            raise InputError(
                "augment.crop cuts pictures and not their masks, so that mask.mode=paired is no pair; give"
                " augment.crop=null, or mask.mode=random"
            )
        self.cache_as = cache_as if cache_as != "auto" else "native" if crops else "resized"
        self.cache_gb = cache_gb
        self.cache_dir = Path(cache_dir) if cache != "off" and cache_dir else None
        self.source: Source | None = None
        self.split: Split | None = None
        self.decoded: PictureFile | None = None
        self.window: Box | None = None
        """What of each picture a training batch is to hold; None for all of it."""
        self._flippable: Tensor | None = None  # bool, for each picture of the source; None where all may be flipped
        self._decoding_tried = False  # Lightning calls `setup` again, and what did not fit will not fit then
        try_holes(self.mask, (size, size))  # a hole that does not fit fails here, not later

    @property
    def num_workers(self) -> int:
        """Processes of a loader made now; `auto` depends on the cache and the device."""
        if isinstance(self.wanted_workers, int):
            return self.wanted_workers
        cores = count_cores() // (self.trainer.num_devices if self.trainer is not None else 1)  # for each process here
        if self.decoded is None or self.cache_as == "native":
            return min(max(cores - 1, 1), 8)
        device = self.trainer.strategy.root_device.type if self.trainer is not None else _best_device()
        return 0 if device == "cpu" else min(max(cores, 1), 2)

    @property
    def box(self) -> Box | None:
        """Where the holes of all pictures are; None where they differ."""
        return self.mask.box((self.size, self.size)) if isinstance(self.mask, CenterMask) else None

    def setup(self, stage: str | None = None) -> None:
        """Open the source and split it, and the decoded pictures, each once; decode them if they are for training."""
        if self.source is None:
            self._open()
        if self.decoded is None and not self._decoding_tried:
            self._decoding_tried = stage == "fit"
            self.decoded = self._open_decoded(build=stage == "fit")

    def _open(self) -> None:
        self.source = build_source(self.source_name, self.source_options, self.cache_dir, self.cache_gb)
        if self.resolution is not None:
            if isinstance(self.source, ShardSource):
                raise InputError(
                    f"data.resolution={self.resolution}: shards hold their pictures as they were packed; pack them with"
                    " it"
                )
            self.source = LowResolution(self.source, self.resolution, self.fit)
        if self._paired is not None:
            self._paired.check_pairs(map(self.source.name, range(len(self.source))))
        if self.augment is not None and self.augment.flippable is not None:
            if isinstance(self.source, ShardSource):
                raise InputError(
                    "augment.flip_regex needs every picture's name, which shards tell with the picture alone; give"
                    " augment.flip_regex='' to flip any picture, or augment.horizontal_flip=0 to flip none"
                )
            self._flippable = self.augment.may_flip([*map(self.source.name, range(len(self.source)))])
        self.split = self._split(self.source)
        log.info(
            "%s pictures of %s: %s train, %s validate, %s test (%s split, seed %s)",
            *(f"{len(self.source):,}", self.source_name, *(f"{len(part):,}" for part in self.split)),
            *(self.split_by, self.seed),
        )

    def _split(self, source: Source) -> Split:
        if isinstance(source, ShardSource) != (self.split_by == "packed"):
            ways = "packed" if isinstance(source, ShardSource) else "random, track"
            raise InputError(f"data.split={self.split_by} does not go with data.source={self.source_name}; give {ways}")
        if isinstance(source, ShardSource):
            if self.cache == "ram":
                raise InputError("data.cache=ram: shards are read from the disk; give data.cache=disk")
            source.check(self.channels, self.size, self.fit)
            if source.manifest.form == "resized" and self.augment is not None and self.augment.crop is not None:
                raise InputError("augment.crop cuts from pictures at their own size; pack them with form=encoded")
            split = Split(**source.split)
            self.val_fraction, self.test_fraction = (len(part) / len(source) for part in split[1:])
            return split
        try:
            return divide(
                len(source),
                getattr(source, "part", lambda _: None),
                source.group if self.split_by == "track" else None,
                val_fraction=self.val_fraction,
                test_fraction=self.test_fraction,
                seed=self.seed,
            )
        except ValueError as error:
            raise InputError(str(error)) from error

    def _open_decoded(self, *, build: bool) -> PictureFile | None:
        assert self.source is not None
        if self.cache == "off" or (self.cache == "ram" and not build) or isinstance(self.source, ShardSource):
            return None
        workers = self.wanted_workers if isinstance(self.wanted_workers, int) else count_cores()
        size = self.size if self.cache_as == "resized" else None
        kept = Kept(self.source, self.channels, size, self.fit, workers)
        if self.cache == "ram":
            return open_in_memory(kept, self.cache_gb)
        assert self.cache_dir is not None
        return open_on_disk(kept, self.cache_dir, self.cache_gb, build=build)

    def dataset(self, part: Part) -> PictureDataset:
        """The pictures of one part; `setup` comes first.

        Raises:
            InputError: the part is empty.
        """
        assert self.source is not None, "setup() has not run"
        assert self.split is not None, "setup() has not run"
        indices = getattr(self.split, part)
        if not indices:
            fraction = {"val": self.val_fraction, "test": self.test_fraction}.get(part, 0)
            how = f"data.{part}_fraction is 0; give a fraction above it"
            if self.split_by == "packed":
                how = "packed without them; pack a fraction above 0"
            elif fraction:
                how = f"no source has any to split; give one of use: {part} or split"
            raise InputError(f"there are no {part} pictures: {how}")
        if isinstance(self.source, ShardSource):
            return ShardDataset(self.source, part, size=self.size, channels=self.channels, fit=self.fit)
        return PictureDataset(
            *(self.source, indices),
            size=self.size,
            channels=self.channels,
            fit=self.fit,
            decoded=self.decoded,
        )

    def train_dataloader(self) -> DataLoader[tuple[Tensor, int]]:
        """Shuffled anew each epoch; resumes in mid-epoch."""
        dataset = self.dataset("train")
        if self.augment is not None and self.augment.crop is not None:
            dataset.crop = RandomCrop(self.augment.crop, self.seed)
        if isinstance(dataset, ShardDataset):
            return ResumableLoader(dataset, sampler=ShardSampler(dataset, self.seed), **self._loader_options())
        rate_of = getattr(self.source, "rate", None)
        rates = [rate_of(index) for index in dataset.indices] if rate_of else None
        sampler = EpochSampler(len(dataset), self.seed, rates, self.batch_size)
        return ResumableLoader(dataset, sampler=sampler, **self._loader_options())

    def val_dataloader(self) -> DataLoader[tuple[Tensor, int]]:
        """In the split's order."""
        return self._in_order("val")

    def test_dataloader(self) -> DataLoader[tuple[Tensor, int]]:
        """In the split's order."""
        return self._in_order("test")

    def on_after_batch_transfer(self, batch: tuple[Tensor, Tensor], dataloader_idx: int) -> Batch:
        """Uint8 pictures and their numbers, already on the device, to a batch with holes."""
        pictures, indices = batch
        training = self.trainer is not None and bool(self.trainer.training)
        epoch = self.trainer.current_epoch if self.trainer is not None and training else None
        return self.make_batch(pictures, indices, epoch=epoch)

    def make_batch(self, pictures: Tensor, indices: Tensor, *, epoch: int | None = None) -> Batch:
        """Scale pictures, augment them in training, and cut their holes.

        Args:
            pictures: ``(B, C, H, W)`` uint8.
            indices: ``(B,)`` int64, numbers in the source.
            epoch: of training, which gets new holes each time; None for validation and test, whose holes depend on
                (seed, index) alone.

        Returns:
            Whole pictures; in training what `window` says of them.
        """
        seeds = mix_seeds(self.seed, _EVALUATION if epoch is None else epoch, indices)
        size = (pictures.shape[-2], pictures.shape[-1])
        mask = self._cut(size, seeds, indices)
        if place_among()[1] > 1:
            mask = mask * (indices != SPARE)[:, None, None, None]
        box = self.mask.box(size) if isinstance(self.mask, CenterMask) else None
        if epoch is None:
            return Batch(pictures.float().div_(255), mask, indices, box)

        window = self.window or Box(0, 0, *size)
        if self.augment is None:
            image = window.crop(pictures).float().div_(255)
        else:
            seeds = mix_seeds(seeds, _AUGMENTATION)
            flippable = None
            if self._flippable is not None:
                self._flippable = self._flippable.to(indices.device)
                flippable = self._flippable[indices]
            image = self.augment(pictures, seeds, window, flippable)
            # a file may show what this very kind of picture loses; one file for all is a fixed place, as `center` is
            if isinstance(self.mask, FolderMask) and self.mask.mode != "fixed":
                mask = move(mask, self.augment.draw_warp(seeds, size, flippable))
        return Batch(image, window.crop(mask), indices, box and box.within(window))

    def check_shares(self, processes: int) -> None:
        """Check that several processes can train together; `setup` comes first.

        Raises:
            InputError: a batch that cannot be dealt out evenly, or a part with fewer pictures than processes.
        """
        assert self.split is not None, "setup() has not run"
        size, rest = self.batch_size, self.batch_size % processes
        if rest:
            choices = f"{size - rest} or {size - rest + processes}" if size > processes else str(processes)
            raise InputError(
                f"data.batch_size={size} cannot be dealt out evenly to {processes} processes; give {choices}"
            )
        for part, indices in zip(Split._fields, self.split, strict=True):
            if 0 < len(indices) < processes:
                raise InputError(
                    f"the {part} part has {len(indices)} pictures for {processes} processes;"
                    " give more pictures, other fractions or fewer processes"
                )

    def _in_order(self, part: Part) -> DataLoader[tuple[Tensor, int]]:
        dataset = self.dataset(part)
        connected = isinstance(dataset, ShardDataset)
        sampler = ShareSampler(len(dataset), *place_among(), connected=connected)
        return DataLoader(dataset, sampler=sampler, **self._loader_options())

    def _cut(self, size: tuple[int, int], seeds: Tensor, indices: Tensor) -> Tensor:
        if self._paired is None:
            return self.mask(size, seeds)
        assert self.source is not None, "setup() has not run"
        names = [self.source.name(index) for index in indices.tolist()]
        return self._paired.paired(size, names, indices.device, self.fit)

    def _loader_options(self) -> dict[str, Any]:
        workers = self.num_workers
        return {
            "batch_size": self.batch_size // place_among()[1],
            "collate_fn": whole_batch,
            "worker_init_fn": start_worker,
            "num_workers": workers,
            "pin_memory": torch.cuda.is_available(),
            "persistent_workers": workers > 0,
            # its own generator: the global one is the module's, and is saved and restored with it
            "generator": torch.Generator().manual_seed(self.seed),
        }


def _check_fractions(split: str, **fractions: float | None) -> None:
    for key, fraction in fractions.items():
        if split == "packed" and fraction is not None:
            raise InputError(f"data.{key}={fraction:g}: shards were split when they were packed; leave it out")
        if split != "packed" and fraction is None:
            raise InputError(f"data.split={split} needs data.val_fraction and data.test_fraction; give both")


def _best_device() -> str:
    accelerator = torch.accelerator.current_accelerator(check_available=True)
    return accelerator.type if accelerator else "cpu"
