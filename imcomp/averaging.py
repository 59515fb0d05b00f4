"""Averaging weights over the steps of training."""

from collections.abc import Sequence
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import WeightAveraging
from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn


class EMA(WeightAveraging):
    """Keeps an exponential moving average of the weights, which is what is validated, saved as the best and tested.

    Update ``t`` makes it ``d * average + (1 - d) * weights`` with ``d = min(decay, (1 + t) / (10 + t))``, so that a
    short run is not held back by the weights it began with; update 0 takes the weights as they are. What a
    normalisation keeps of its inputs is averaged alike. Checkpoints hold the average as ``state_dict`` and the weights
    in training as ``current_model_state``; a run that is resumed goes on with both.

    Args:
        decay: of the average, in [0, 1); about ``1 / (1 - decay)`` steps count.

    Raises:
        ValueError: a decay outside [0, 1).
    """

    def __init__(self, decay: float = 0.998) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"decay {decay} is no decay of an average; give one from 0 to below 1, such as 0.998")

        def update(average: Sequence[Tensor], weights: Sequence[Tensor], updates: Tensor | int) -> None:
            if torch.is_floating_point(average[0]):
                interpolate = get_ema_multi_avg_fn(warmed_up(decay, int(updates)))  # type: ignore[no-untyped-call]
                interpolate(average, weights, updates)
            else:  # the counters of batch norm
                for counted, count in zip(average, weights, strict=True):
                    counted.copy_(count)

        super().__init__(multi_avg_fn=update)
        self._swapped = False

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Follow the module to its device, which Lightning moves after the copy for the average was made."""
        assert self._average_model is not None
        self._average_model.to(pl_module.device)

    def on_validation_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        super().on_validation_epoch_start(trainer, pl_module)
        self._swapped = self._average_model is not None

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        super().on_validation_epoch_end(trainer, pl_module)
        self._swapped = False

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Take the average out again, or what stops a validation would save it as the weights in training."""
        if self._swapped:
            self.on_validation_epoch_end(trainer, pl_module)

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Go on with both in training alone: Lightning would test the best checkpoint without the average."""
        if trainer.state.fn == "fit":
            super().on_load_checkpoint(trainer, pl_module, checkpoint)


def warmed_up(decay: float, updates: int) -> float:
    """The decay after so many updates: it rises to ``decay`` from 0.1."""
    return min(decay, (1 + updates) / (10 + updates))
