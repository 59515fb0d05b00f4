"""What Lightning has no callback for."""

import logging
import math
import time
import warnings
from collections import deque
from copy import deepcopy
from typing import Any, ClassVar

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, RichProgressBar
from pytorch_lightning.callbacks.progress.rich_progress import ProcessingSpeedColumn, RichProgressBarTheme
from pytorch_lightning.loggers import TensorBoardLogger
from torch import Tensor
from torchvision.utils import make_grid

from imcomp.batch import Batch
from imcomp.errors import InputError
from imcomp.module import InpaintingModule

log = logging.getLogger(__name__)


class ForgivingEarlyStopping(Callback):
    """Stop when more validations have got worse than better: the reference's rule.

    A counter goes up by 1 when the monitored loss is above the lowest so far, down by 1 (not below 0) when it is below,
    and stays when equal; training ends when it reaches ``patience``. Unlike Lightning's ``EarlyStopping``, one good
    epoch does not wipe out all bad ones, and one bad epoch is forgiven by the next good one. A loss that is not a
    number ends training at once.

    Args:
        monitor: what is logged under this name, lower is better.
        patience: count that ends training, at least 1.

    Raises:
        ValueError: a patience below 1.
        InputError: after the first validation, if nothing of the name ``monitor`` is logged.
    """

    def __init__(self, monitor: str, patience: int = 5) -> None:
        if patience < 1:
            raise ValueError(f"patience {patience} would stop before the first epoch; give at least 1")
        self.monitor = monitor
        self.patience = patience
        self.count = 0
        self.lowest = float("inf")

    def update(self, loss: float) -> bool:
        """Take the next validation loss; return whether to stop."""
        if loss > self.lowest:
            self.count += 1
        elif loss < self.lowest:
            self.count = max(0, self.count - 1)
            self.lowest = loss
        return self.count >= self.patience or math.isnan(loss)

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Train nothing more where the run that is resumed had been stopped."""
        if self.count >= self.patience:
            trainer.should_stop = True

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.state.fn != "fit" or trainer.sanity_checking:
            return
        if self.monitor not in trainer.callback_metrics:
            logged = ", ".join(sorted(trainer.callback_metrics))
            raise InputError(f"early stopping monitors {self.monitor!r}, which is not logged; choose from {logged}")
        loss = float(trainer.callback_metrics[self.monitor])
        if self.update(loss):
            trainer.should_stop = True
            reason = "not a number" if math.isnan(loss) else f"worse {self.count} times more often than better"
            log.info(
                "early stopping after epoch %d: %s was %s; lowest %g",
                *(trainer.current_epoch, self.monitor, reason, self.lowest),
            )

    def state_dict(self) -> dict[str, Any]:
        return {"count": self.count, "lowest": self.lowest}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.count = state_dict["count"]
        self.lowest = state_dict["lowest"]


class SampleGrid(Callback):
    """Show the same validation pictures in TensorBoard after every validation.

    Rows from top to bottom: masked input, completed, original, and the error inside the hole times ``error_gain``.

    Args:
        count: pictures, at most one batch of validation.
        error_gain: brightens the error row; 4 shows an error of 0.25 as white.

    Raises:
        ValueError: a count below 1.
    """

    def __init__(self, count: int = 8, error_gain: float = 4.0) -> None:
        if count < 1:
            raise ValueError(f"count {count} shows nothing; give at least 1, or callbacks.samples=null")
        self.count = count
        self.error_gain = error_gain

    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        if batch_idx != 0 or trainer.sanity_checking or not trainer.is_global_zero:
            return
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                logger.experiment.add_image("val/samples", self.grid(batch, batch.spread(outputs)), trainer.global_step)

    def grid(self, batch: Batch, output: Tensor) -> Tensor:
        """Draw the first ``count`` pictures of a batch as one image ``(3, H, W)`` in [0, 1]."""
        image, mask = batch.image[: self.count], batch.mask[: self.count]
        output = output[: self.count].float().clamp(0, 1)
        completed = mask * output + (1 - mask) * image
        error = ((completed - image).abs() * self.error_gain).clamp(0, 1)
        rows = torch.cat([image * (1 - mask), completed, image, error])
        grid: Tensor = make_grid(rows.cpu(), nrow=len(image))
        return grid


class NetworkGraph(Callback):
    """Draw the network into TensorBoard's graph tab when a run starts.

    Lightning's own ``log_graph`` would send the example through the data module, which expects undecoded batches.
    """

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, InpaintingModule)
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger) and trainer.is_global_zero:
                side = 4 * pl_module.multiple
                example = torch.zeros(1, pl_module.input_channels, side, side, device=pl_module.device)
                with warnings.catch_warnings():
                    # TensorBoard still traces with TorchScript, which torch has deprecated
                    warnings.simplefilter("ignore")
                    # a copy, which is not compiled: a compiled network cannot be traced
                    logger.experiment.add_graph(deepcopy(pl_module.network), example)


class Throughput(Callback):
    """Log training images a second, validation and checkpoints left out, over the last ``window`` batches."""

    def __init__(self, window: int = 50) -> None:
        self.times: deque[tuple[float, int]] = deque(maxlen=window)

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.times.clear()

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        # not in on_train_epoch_start, which a run that resumes in mid-epoch does not pass
        if not self.times:
            self.times.append((time.perf_counter(), 0))

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Batch, batch_idx: int
    ) -> None:
        self.times.append((time.perf_counter(), len(batch.image) * trainer.world_size))
        elapsed = self.times[-1][0] - self.times[0][0]
        images = sum(count for _, count in self.times) - self.times[0][1]
        pl_module.log("train/images_per_second", images / elapsed, prog_bar=True, batch_size=1)


class ProgressBar(RichProgressBar):
    """Lightning's bar, with the names that matter, short enough for one line: loss, val/mse, images/s."""

    _SHORT: ClassVar = {"train/loss": "loss", "val/mse": "val/mse", "train/images_per_second": "images/s"}

    def __init__(self) -> None:
        super().__init__(theme=RichProgressBarTheme(metrics_format=".4g"))  # an MSE of 0.0014 is not 0.001

    def configure_columns(self, trainer: pl.Trainer) -> list[Any]:
        """Lightning's columns without batches a second, which images a second say better."""
        return [
            column for column in super().configure_columns(trainer) if not isinstance(column, ProcessingSpeedColumn)
        ]

    def get_metrics(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> dict[str, Any]:
        metrics = super().get_metrics(trainer, pl_module)
        return {short: metrics[name] for name, short in self._SHORT.items() if name in metrics}
