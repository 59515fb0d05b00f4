"""Dataset, sampler and loader whose position in an epoch can be saved and restored."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, DistributedSampler

from imcomp.data.masks import mix_seeds
from imcomp.data.sources import Source
from imcomp.data.transforms import Fit, to_channels, to_size, to_tensor


class PictureDataset(Dataset[tuple[Tensor, int]]):
    """The pictures of one part as ``(uint8 (C, size, size), number in the source)``."""

    def __init__(self, source: Source, indices: Sequence[int], *, size: int, channels: int, fit: Fit) -> None:
        self.source = source
        self.indices = indices
        self.size = size
        self.channels = channels
        self.fit = fit

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, position: int) -> tuple[Tensor, int]:
        index = self.indices[position]
        image = to_channels(self.source.read(index), self.channels)
        return to_tensor(to_size(image, self.size, self.fit)), index


class EpochSampler(DistributedSampler[int]):
    """Every position once, in an order that depends on seed and epoch alone.

    Several processes deal the order out among themselves; some positions then come twice, so that all get as many.
    A `DistributedSampler`, since Lightning would wrap any other and leave its epoch at 0.
    """

    def __init__(self, count: int, seed: int) -> None:
        distributed = dist.is_available() and dist.is_initialized()
        processes, rank = (dist.get_world_size(), dist.get_rank()) if distributed else (1, 0)
        super().__init__(range(count), processes, rank, seed=seed)  # type: ignore[arg-type]  # asks for its length alone
        self.count = count
        self.start = 0

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(int(mix_seeds(self.seed, self.epoch)))
        order: list[int] = torch.randperm(self.count, generator=generator).tolist()
        own = [order[place % self.count] for place in range(self.rank, self.total_size, self.num_replicas)]
        start, self.start = self.start, 0
        return iter(own[start:])


class ResumableLoader(DataLoader[tuple[Tensor, int]]):
    """A loader that goes on in mid-epoch: with the batch after the last one it handed out.

    Lightning saves and restores any loader that has ``state_dict`` and ``load_state_dict``. The sampler must be
    an `EpochSampler`.
    """

    _epoch = 0
    _served = 0
    _resumed = False

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]  # a generator, so that it starts at the first batch
        assert self.batch_size is not None
        assert isinstance(self.sampler, EpochSampler)
        # a checkpoint from the end of an epoch is resumed in the next one, which is whole
        if not (self._resumed and self._epoch == self.sampler.epoch):
            self._epoch, self._served = self.sampler.epoch, 0
        self._resumed = False
        self.sampler.start = self._served * self.batch_size
        for batch in super().__iter__():
            self._served += 1
            yield batch

    def state_dict(self) -> dict[str, int]:
        """The epoch, and how many of its batches were handed out."""
        return {"epoch": self._epoch, "served": self._served}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Skip as many batches at the next start, if it is of the same epoch."""
        self._epoch, self._served, self._resumed = state.get("epoch", -1), state["served"], True
