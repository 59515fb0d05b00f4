"""A part of packed pictures, and its order in training: random, and yet few shards at a time."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DistributedSampler

from imcomp.data.loading import SPARE, EpochSampler, PictureDataset, place_among, prepare
from imcomp.data.masks import mix_seeds
from imcomp.data.shards.manifest import PARTS
from imcomp.data.shards.reading import ShardSource
from imcomp.data.splits import Part
from imcomp.data.transforms import Fit


class ShardDataset(PictureDataset):
    """The pictures of one part; their numbers are those in the source that was packed, and so are their holes.

    Args:
        source: all parts.
        part: which one.
        size: pixels of each side.
        channels: 1 or 3.
        fit: see ``to_size``.
    """

    source: ShardSource

    def __init__(self, source: ShardSource, part: Part, *, size: int, channels: int, fit: Fit) -> None:
        source.check(channels, size, fit)
        super().__init__(source, source.split[part], size=size, channels=channels, fit=fit)
        first = sum(len(source.manifest.parts[before]) for before in PARTS[: PARTS.index(part)])
        self.shards = range(first, first + len(source.manifest.parts[part]))
        """The part's own, as places in the manifest."""
        # a loader's workers look ahead in the order that the sampler, in the process that trains, writes here; they
        # are told nothing but the numbers of a batch
        self.order = torch.tensor(self.shards, dtype=torch.int64).share_memory_()  # type: ignore[no-untyped-call]
        self._block: int | None = None

    def __getitems__(self, positions: Sequence[int]) -> tuple[Tensor, Tensor]:
        indices = [self.indices[max(position, 0)] for position in positions]
        self._look_ahead(indices)
        items = [self.source.item(index) for index in indices]
        numbers = [item.number for item in items]
        if self.crop is not None:
            places = self.crop.draw(numbers, int(self._epoch))
            pictures = [self._cut(self.source.decode(item), place) for item, place in zip(items, places, strict=True)]
        elif self.source.manifest.form == "resized":
            pictures = [torch.from_numpy(self.source.pixels(item)) for item in items]
        else:
            pictures = [prepare(self.source.decode(item), self.channels, self.size, self.fit) for item in items]
        known = torch.tensor(numbers)
        return torch.stack(pictures), known.where(torch.tensor(positions) != SPARE, SPARE)

    def _look_ahead(self, indices: Sequence[int]) -> None:
        """Have the shards of this block and the next one fetched while this one is read."""
        if not self.source.store.remote:
            return
        window, order = self.source.shuffle_shards, self.order.numpy()
        here = np.isin(order, list(self.source.places(indices))).nonzero()[0]
        block = int(here[0]) // window if len(here) else 0
        if block != self._block:
            self._block = block
            soon = order[block * window : (block + 2) * window]
            self.source.prefetch(soon[soon >= 0].tolist())


class ShardSampler(EpochSampler):
    """Every picture of a part once, in an order that depends on seed, epoch and the number of processes alone.

    Shards are shuffled, and their pictures dealt out in one piece to each process, so that a shard is read by one of
    them, or by two where a cut goes through it; those that get one picture less get a `SPARE` at the end. A process
    shuffles the pictures of `window` shards at a time. Nothing is ever held of the others, however many there are.

    Args:
        dataset: the part.
        seed: of the order.
    """

    def __init__(self, dataset: ShardDataset, seed: int) -> None:
        # not of `EpochSampler`, which keeps all positions
        rank, processes = place_among()
        DistributedSampler.__init__(self, dataset, processes, rank, seed=seed)
        self.count, self.start = len(dataset), 0
        self.own = range(self.count * rank // processes, self.count * (rank + 1) // processes)
        self.dataset: ShardDataset = dataset
        self.window = dataset.source.shuffle_shards
        starts = dataset.source.starts
        self._starts = starts[dataset.shards.start : dataset.shards.stop + 1] - starts[dataset.shards.start]

    def __iter__(self) -> Iterator[int]:
        runs = self._own_runs()
        own = torch.from_numpy(runs[:, 0] + self.dataset.shards.start)
        self.dataset.order.fill_(-1)
        self.dataset.order[: len(own)] = own
        start, self.start = self.start, 0
        return self._positions(runs, start)

    def _own_runs(self) -> np.ndarray[tuple[int, int], np.dtype[np.int64]]:
        """This process's pieces of shards in the order in which they are read: ``(n, 3)``, shard, first, end."""
        generator = torch.Generator().manual_seed(int(mix_seeds(self.seed, self.epoch)))
        order = torch.randperm(len(self._starts) - 1, generator=generator).numpy()
        ends = np.cumsum(np.diff(self._starts)[order])
        begins = ends - np.diff(self._starts)[order]
        near = np.arange(
            np.searchsorted(ends, self.own.start, side="right"), np.searchsorted(begins, self.own.stop, side="left")
        )
        first = np.maximum(self.own.start - begins[near], 0)
        end = np.minimum(self.own.stop, ends[near]) - begins[near]
        return np.stack([order[near], first, end], axis=1)

    def _positions(self, runs: np.ndarray[tuple[int, int], np.dtype[np.int64]], start: int) -> Iterator[int]:
        for block, first in enumerate(range(0, len(runs), self.window)):
            own = runs[first : first + self.window]
            count = int((own[:, 2] - own[:, 1]).sum())
            if start >= count:
                start -= count
                continue
            positions = np.concatenate([np.arange(*run[1:]) + self._starts[run[0]] for run in own])
            generator = torch.Generator().manual_seed(int(mix_seeds(self.seed, self.epoch, self.rank, block)))
            shuffled: list[int] = positions[torch.randperm(count, generator=generator).numpy()].tolist()
            yield from shuffled[start:]
            start = 0
        yield from [SPARE] * (self.num_samples - len(self.own) - start)
