"""What fills holes in a comparison: trained networks, and classical fills in processes of their own."""

import signal
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import AbstractContextManager
from multiprocessing import get_context
from typing import Protocol

import torch
from torch import Tensor

from imcomp.baselines import Baseline, Hole, Picture, fill_all
from imcomp.batch import Batch
from imcomp.data.loading import count_cores
from imcomp.errors import InputError
from imcomp.filling import fill
from imcomp.inference import Trained

Filled = Callable[[], tuple[Tensor, float]]
"""Waits for raw fills ``(B, C, H, W)`` float32, and the seconds that they took."""

_PICTURES_A_TASK = 4  # handed to a process at once
_FEW = 64  # pictures that are filled sooner than processes start


class Entrant(Protocol):
    """Fills the holes of batches."""

    kind: str
    notes: Sequence[str]
    self_ensemble: bool

    def start(self, batch: Batch, pictures: Tensor) -> Filled:
        """Begin to fill the holes of a batch.

        Args:
            batch: on the device.
            pictures: the same as uint8 ``(B, C, H, W)``, on the CPU.
        """
        ...


class Network:
    """A trained network; its raw output is what is scored.

    A grey network fills the channels of colour pictures one by one; a colour network is shown grey pictures as three
    equal channels, and its outputs are averaged. ``notes`` say so, and where pictures are of another size than it was
    trained on.

    Args:
        trained: is moved to ``device``.
        device: where the batches are.
        channels: of the pictures that are evaluated.
        size: their pixels a side.
        self_ensemble: also fill the mirrored picture, and take the mean; see ``fill``.

    Raises:
        InputError: pictures of a size that the network does not take.
    """

    kind = "network"
    notes: Sequence[str]

    def __init__(
        self, trained: Trained, device: torch.device, *, channels: int, size: int, self_ensemble: bool = False
    ) -> None:
        self.network = trained.network.to(device)
        self.context = trained.context
        self.in_channels = trained.in_channels
        self.device = device
        self.self_ensemble = self_ensemble
        multiple = int(self.network.multiple)  # type: ignore[arg-type]
        if size % multiple:
            needed = -(-size // multiple) * multiple
            raise InputError(
                f"data.size={size} is not a multiple of {multiple}, which this network needs; give {needed}"
            )
        notes = []
        if self.in_channels < channels:
            notes.append("a grey network: fills colour channels one by one")
        elif self.in_channels > channels:
            notes.append("a colour network: shown grey as three equal channels, its outputs averaged")
        if trained.data.get("size", size) != size:
            notes.append(f"trained on pictures of {trained.data['size']} pixels a side, shown {size}")
        if self_ensemble:
            notes.append("self-ensemble: the mean of its fills of the picture and of the mirrored picture")
        self.notes = notes

    def start(self, batch: Batch, pictures: Tensor) -> Filled:
        """Compute at once."""
        started = time.perf_counter()
        output = self._fill(batch)
        if self.device.type != "cpu":
            torch.accelerator.synchronize(self.device)
        seconds = time.perf_counter() - started
        return lambda: (output, seconds)

    def _fill(self, batch: Batch) -> Tensor:
        image, mask = batch.image, batch.mask
        count, channels = image.shape[:2]
        if self.in_channels == channels:
            return self._whole(batch)
        if self.in_channels == 1:
            planes = Batch(image.flatten(0, 1)[:, None], mask.repeat_interleave(channels, 0), batch.indices, batch.box)
            return self._whole(planes).view(count, channels, *image.shape[-2:])
        return self._whole(batch._replace(image=image.expand(-1, 3, -1, -1))).mean(dim=1, keepdim=True)

    def _whole(self, batch: Batch) -> Tensor:
        filled = fill(
            *(self.network, batch.image, batch.mask, batch.box), context=self.context, self_ensemble=self.self_ensemble
        )
        return batch.spread(filled)


class Workers(AbstractContextManager["Workers"]):
    """Processes that classical fills run in; with none, they run here.

    Args:
        count: processes; `auto` takes one for each core, and none for a few pictures.
        pictures: how many are to be filled.
    """

    def __init__(self, count: int | str, pictures: int) -> None:
        if count == "auto":
            count = 0 if pictures < _FEW else count_cores()
        if not isinstance(count, int) or count < 0:
            raise InputError(f"workers={count} is no number of processes; give auto, 0 or more")
        # not forked: a fork of a process with torch's threads may hang; Ctrl-C is for this process, which ends them
        ignore = (signal.signal, (signal.SIGINT, signal.SIG_IGN))
        self.pool = ProcessPoolExecutor(count, get_context("spawn"), *ignore) if count else None

    def __exit__(self, *_: object) -> None:
        if self.pool is not None:
            self.pool.shutdown(cancel_futures=True)

    def submit(self, fill: Baseline, pictures: Sequence[Picture], holes: Sequence[Hole]) -> Callable[[], "_Done"]:
        """Fill some pictures; call what it returns to wait for them."""
        if self.pool is None:
            done = fill_all(fill, pictures, holes)
            return lambda: done
        return self.pool.submit(fill_all, fill, pictures, holes).result


_Done = tuple[list[Picture], float]


class Classical:
    """A classical fill; it fills 8-bit pictures."""

    kind = "classical"
    notes: Sequence[str] = ()
    self_ensemble = False

    def __init__(self, fill: Baseline, workers: Workers) -> None:
        self.fill = fill
        self.workers = workers

    def start(self, batch: Batch, pictures: Tensor) -> Filled:
        """Hand the pictures out to the processes."""
        arrays = [(one[0] if len(one) == 1 else one.permute(1, 2, 0).contiguous()).numpy() for one in pictures]
        holes = [hole[0].numpy() > 0 for hole in batch.mask.cpu()]
        tasks = [
            self.workers.submit(self.fill, arrays[first:beyond], holes[first:beyond])
            for first in range(0, len(arrays), _PICTURES_A_TASK)
            for beyond in [first + _PICTURES_A_TASK]
        ]

        def wait() -> tuple[Tensor, float]:
            done = [task() for task in tasks]
            filled = [torch.from_numpy(array) for arrays, _ in done for array in arrays]
            planes = [one[None] if one.ndim == 2 else one.permute(2, 0, 1) for one in filled]
            output = torch.stack(planes).to(batch.image.device).float() / 255
            return output, sum(seconds for _, seconds in done)

        return wait


def build_entrants(
    trained: Mapping[str, Trained],
    baselines: Mapping[str, Baseline],
    workers: Workers,
    device: torch.device,
    *,
    channels: int,
    size: int,
    self_ensemble: bool = False,
) -> dict[str, Entrant]:
    """Networks, then classical fills, by name; see `Network` for what is raised."""
    entrants: dict[str, Entrant] = {}
    for name, one in trained.items():
        try:
            entrants[name] = Network(one, device, channels=channels, size=size, self_ensemble=self_ensemble)
        except InputError as error:
            raise InputError(f"{name}: {error}") from error
    return {**entrants, **{name: Classical(fill, workers) for name, fill in baselines.items()}}
