"""A callback that takes the time of a training run, in whatever configuration."""

import json
import math
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback

from imcomp.batch import Batch
from imcomp.benchmark.floor import count_work
from imcomp.benchmark.memory import resident_mb
from imcomp.benchmark.readings import Work
from imcomp.benchmark.timing import synchronize
from imcomp.files import write_text
from imcomp.losses import masked_mse
from imcomp.module import InpaintingModule

WARM_UP = 3
"""Batches before the time is taken."""


@dataclass
class Times:
    """What a run took; moments are seconds of ``time.time()``.

    Attributes:
        pictures: trained on while the time was taken: without the warm-up and each epoch's first batch, which also
            waits for the loaders to start, and without validations and checkpoints.
        seconds: that they took.
        idle: share of the time in which a GPU had nothing to do; None where that was not asked for.
        first_batch: the moment it was done.
        epoch: the moment the first epoch's last batch was done.
        validations: of each validation: moment, epoch and `val/mse`.
        resident: memory after the last validation, see ``resident_mb``.
        work: of a training step, a picture.
    """

    pictures: int = 0
    seconds: float = 0.0
    idle: float | None = None
    first_batch: float | None = None
    epoch: float | None = None
    validations: list[tuple[float, int, float]] = field(default_factory=list)
    resident: dict[str, float] = field(default_factory=dict)
    work: Work | None = None


class Stopwatch(Callback):
    """Writes the ``Times`` of a run as JSON after each validation, and ends the run when it was timed long enough.

    Args:
        path: the file.
        seconds: of training to time; None leaves the run its own end.
        count: whether to count the arithmetic of a step, once and before any time is taken.
        profile: whether to find out how long a GPU was idle.
    """

    def __init__(
        self,
        path: str,
        seconds: float | None = None,
        count: bool = True,  # noqa: FBT001, FBT002  # set by keyword, from a config
        profile: bool = False,  # noqa: FBT001, FBT002  # the same
    ) -> None:
        self.path = Path(path)
        self.bound = math.inf if seconds is None else seconds
        self.count = count
        self.times = Times()
        self._profiler = torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) if profile else None
        self._batches = 0
        self._since: float | None = None

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Batch, batch_idx: int
    ) -> None:
        if self.count:
            assert isinstance(pl_module, InpaintingModule)
            self.times.work = work_of(trainer, pl_module, batch)
            self.count = False

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Batch, batch_idx: int
    ) -> None:
        self._batches += 1
        if self._batches == 1:
            synchronize(pl_module.device.type)
            self.times.first_batch = time.time()
        if self._since is not None:
            self.times.pictures += len(batch.image)
            if self.times.seconds + time.perf_counter() - self._since >= self.bound:
                self._pause(pl_module)
                trainer.should_stop = True
        elif self._batches >= WARM_UP and not trainer.should_stop:
            synchronize(pl_module.device.type)
            if self._profiler is not None and not self.times.pictures:
                self._profiler.start()
            self._since = time.perf_counter()
        if self.times.epoch is None and trainer.is_last_batch:
            synchronize(pl_module.device.type)
            self.times.epoch = time.time()

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._pause(pl_module)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._pause(pl_module)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.sanity_checking:
            return
        mse = float(trainer.callback_metrics["val/mse"])
        self.times.validations.append((time.time(), trainer.current_epoch, mse))
        self.times.resident = resident_mb()
        write_text(self.path, json.dumps(asdict(self.times)))

    def _pause(self, pl_module: pl.LightningModule) -> None:
        if self._since is None:
            return
        synchronize(pl_module.device.type)
        self.times.seconds += time.perf_counter() - self._since
        self._since = None
        if self._profiler is not None and self.times.idle is None:
            self._profiler.stop()
            busy = sum(event.self_device_time_total for event in self._profiler.key_averages()) / 1e6
            self.times.idle = 1 - busy / self.times.seconds


def read_times(path: Path) -> Times:
    """Read what a ``Stopwatch`` wrote."""
    values = json.loads(path.read_text(encoding="utf-8"))
    return Times(**{**values, "work": values["work"] and Work(**values["work"])})


def work_of(trainer: pl.Trainer, module: InpaintingModule, batch: Batch) -> Work:
    """Count a training step on a batch, forward and back."""
    image, mask, _, box = batch

    def step() -> None:
        output = module(image, mask, box)
        loss = masked_mse(output, image, mask) if box is None else masked_mse(output, box.crop(image), box.crop(mask))
        loss.backward()  # type: ignore[no-untyped-call]

    # compiled code does not say what it computes
    with torch.compiler.set_stance("force_eager"), trainer.precision_plugin.forward_context():
        work = count_work(step, len(image), "bfloat16" if "bf16" in str(trainer.precision) else "float32")
    module.zero_grad()
    return work
