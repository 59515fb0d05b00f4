"""Dataset, sampler and loader whose position in an epoch can be saved and restored."""

import os
import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, DistributedSampler, Sampler, get_worker_info

from imcomp.data.crops import RandomCrop
from imcomp.data.decoded import PictureFile
from imcomp.data.masks import mix_seeds
from imcomp.data.pictures import UnreadablePicture, escaped
from imcomp.data.sources import Source
from imcomp.data.transforms import Fit, to_channels, to_size, to_tensor

T = TypeVar("T")

_ENDING = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGUSR1") if hasattr(signal, name))

SPARE = -1
"""Position, and number, of a picture that only fills a process's batch; it is given no hole and so counts nowhere."""


def place_among() -> tuple[int, int]:
    """This process's number among those that train together, and how many they are: ``(0, 1)`` where it is alone."""
    together = dist.is_available() and dist.is_initialized()
    return (dist.get_rank(), dist.get_world_size()) if together else (0, 1)


def prepare(image: Image.Image, channels: int, size: int | None, fit: Fit) -> Tensor:
    """A decoded picture as the network's input in 8 bits: uint8 ``(C, size, size)``, or at its own size."""
    image = to_channels(image, channels)
    return to_tensor(image if size is None else to_size(image, size, fit))


def count_cores() -> int:
    """Cores that this process may use: a container or a batch system may grant fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class PictureDataset(Dataset[tuple[Tensor, int]]):
    """The pictures of one part.

    An item is ``(uint8 (C, size, size), number in the source)``. A loader takes whole batches: ``(uint8 (B, C, size,
    size), int64 (B,))``, with ``collate_fn=whole_batch``.

    Args:
        source: all pictures.
        indices: numbers of this part's.
        size: pixels of each side.
        channels: 1 or 3.
        fit: see ``to_size``.
        decoded: all pictures of the source once more, so that none has to be decoded.
        crop: cuts a random square out of each picture, instead of ``fit``; another one in each ``epoch``.
    """

    def __init__(
        self,
        source: Source,
        indices: Sequence[int],
        *,
        size: int,
        channels: int,
        fit: Fit,
        decoded: PictureFile | None = None,
        crop: RandomCrop | None = None,
    ) -> None:
        self.source = source
        self.indices = indices
        self.size = size
        self.channels = channels
        self.fit = fit
        self.decoded = decoded
        self.crop = crop
        # shared, so that processes that outlive an epoch see the next one
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()  # type: ignore[no-untyped-call]

    def __len__(self) -> int:
        return len(self.indices)

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch of training begins."""
        self._epoch.fill_(epoch)

    def __getitem__(self, position: int) -> tuple[Tensor, int]:
        pictures, indices = self.__getitems__([position])
        return pictures[0], int(indices)

    def __getitems__(self, positions: Sequence[int]) -> tuple[Tensor, Tensor]:
        indices = [self.indices[max(position, 0)] for position in positions]
        numbers = [SPARE if position == SPARE else index for position, index in zip(positions, indices, strict=True)]
        return self._read(indices), torch.tensor(numbers)

    def _read(self, indices: Sequence[int]) -> Tensor:
        if self.crop is not None:
            places = self.crop.draw(indices, int(self._epoch))
            return torch.stack(
                [self._cut(self._picture(index), place) for index, place in zip(indices, places, strict=True)]
            )
        if self.decoded is not None and self.decoded.shape == (self.channels, self.size, self.size):
            return self.decoded.gather(indices)
        return torch.stack([prepare(self._picture(index), self.channels, self.size, self.fit) for index in indices])

    def _picture(self, index: int) -> Image.Image:
        try:
            return (self.source if self.decoded is None else self.decoded).read(index)
        except UnreadablePicture as error:
            raise UnreadablePicture(f"{escaped(self.source.name(index))}: {error}") from error

    def _cut(self, image: Image.Image, place: tuple[float, float, float]) -> Tensor:
        assert self.crop is not None
        return to_tensor(self.crop.cut(to_channels(image, self.channels), self.size, place))


def whole_batch(batch: T) -> T:
    """Collate nothing: `PictureDataset` gives whole batches."""
    return batch


def start_worker(_: int) -> None:
    """Set a loader's process up as the process that trains is, which alone may end it.

    Schedulers send SIGTERM or SIGUSR1 to all processes of a job at once, and the one that trains wants the rest of its
    batch.
    """
    torch.set_flush_denormal(True)
    if get_worker_info() is not None and hasattr(signal, "sigwaitinfo"):
        signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)  # for the threads to come as well
        threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()


def _end_with(parent: int) -> None:
    while signal.sigwaitinfo(_ENDING).si_pid != parent:
        pass
    os._exit(0)


class EpochSampler(DistributedSampler[int]):
    """Every position once, or some in a share of the epochs alone; seed and epoch alone decide on order and choice.

    Several processes deal the order out among themselves, so that their batches of ``batch_size / processes`` together
    are the batches that one process would take. Where the last batch holds fewer pictures than there are processes,
    those that would go without get `SPARE`: all take as many steps.

    Args:
        count: of positions.
        seed: of the order.
        rates: shares of epochs, above 0 and at most 1, in which each position comes; None: in all.
        batch_size: pictures of a batch over all processes; None: one for each.
        rank: this process's number; None asks torch.
        processes: how many there are; None asks torch.
    """

    def __init__(
        self,
        count: int,
        seed: int,
        rates: Sequence[float] | None = None,
        batch_size: int | None = None,
        rank: int | None = None,
        processes: int | None = None,
    ) -> None:
        self.shares = [(torch.arange(count), count)] if rates is None else _shares(rates)
        self.count = sum(taken for _, taken in self.shares)
        own, among = place_among()
        rank, processes = own if rank is None else rank, among if processes is None else processes
        super().__init__(range(self.count), processes, rank, seed=seed)  # type: ignore[arg-type]  # asks for its length alone
        self.start = 0
        goes_without = 0 < self.count % (batch_size or processes) <= rank
        self.num_samples = len(range(rank, self.count, processes)) + goes_without

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(int(mix_seeds(self.seed, self.epoch)))
        shuffled = torch.randperm(self.count, generator=generator)
        chosen = [
            positions
            if taken == len(positions)
            else positions[torch.randperm(len(positions), generator=generator)[:taken]]
            for positions, taken in self.shares
        ]
        order: list[int] = torch.cat(chosen)[shuffled].tolist()
        own = order[self.rank :: self.num_replicas]
        start, self.start = self.start, 0
        return iter((own + [SPARE] * (self.num_samples - len(own)))[start:])


class ShareSampler(Sampler[int]):
    """The positions in their order, each in one process alone: for validation and test, which take any number.

    Args:
        count: of positions.
        rank: this process's number.
        processes: how many there are.
        connected: each process takes one piece, as suits shards; else they take turns.
    """

    def __init__(self, count: int, rank: int, processes: int, *, connected: bool = False) -> None:
        piece = range(count * rank // processes, count * (rank + 1) // processes)
        self.share = piece if connected else range(rank, count, processes)

    def __iter__(self) -> Iterator[int]:
        return iter(self.share)

    def __len__(self) -> int:
        return len(self.share)


def _shares(rates: Sequence[float]) -> list[tuple[Tensor, int]]:
    """Positions of each rate, and how many of them an epoch takes."""
    each = torch.tensor(rates, dtype=torch.float64)
    positions = [(each == rate).nonzero().flatten() for rate in each.unique()]  # type: ignore[no-untyped-call]
    return [(some, max(round(float(each[some[0]]) * len(some)), 1)) for some in positions]


class ResumableLoader(DataLoader[tuple[Tensor, int]]):
    """A loader that goes on in mid-epoch: with the picture after the last one it handed out.

    Lightning saves and restores any loader that has ``state_dict`` and ``load_state_dict``. The sampler must be
    an `EpochSampler`. Batches of another size than before take up at the same picture, and what was handed out is
    counted as batches of the new size.
    """

    _epoch = 0
    _served = 0
    _beyond = 0  # pictures handed out beyond whole batches, where the size changed in mid-epoch
    _resumed = False

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]  # a generator, so that it starts at the first batch
        assert self.batch_size is not None
        assert isinstance(self.sampler, EpochSampler)
        # a checkpoint from the end of an epoch is resumed in the next one, which is whole
        if not (self._resumed and self._epoch == self.sampler.epoch):
            self._epoch, self._served, self._beyond = self.sampler.epoch, 0, 0
        self._resumed = False
        self.sampler.start = self._served * self.batch_size + self._beyond // self.sampler.num_replicas
        if isinstance(self.dataset, PictureDataset):
            self.dataset.set_epoch(self.sampler.epoch)
        for batch in super().__iter__():
            self._served += 1
            yield batch

    def state_dict(self) -> dict[str, int]:
        """The epoch, how many of its batches were handed out, of how many pictures each, and of pictures beyond."""
        return {"epoch": self._epoch, "served": self._served, "batch_size": self._whole, "beyond": self._beyond}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Skip as many pictures at the next start, if it is of the same epoch."""
        self._epoch, self._resumed = state.get("epoch", -1), True
        self._served, self._beyond = recount(state, self._whole)

    @property
    def _whole(self) -> int:
        """Pictures of a batch over all processes."""
        assert self.batch_size is not None
        assert isinstance(self.sampler, EpochSampler)
        return self.batch_size * self.sampler.num_replicas


def recount(state: Mapping[str, int], batch_size: int) -> tuple[int, int]:
    """How many batches of another size the pictures make that were handed out, and how many pictures are beyond.

    Args:
        state: of a `ResumableLoader`.
        batch_size: pictures of a batch over all processes.
    """
    return divmod(state["served"] * state.get("batch_size", batch_size) + state.get("beyond", 0), batch_size)
