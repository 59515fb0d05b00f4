"""The Lightning module: one network, one step for three phases, optimiser and schedule."""

from collections.abc import Callable, Mapping
from typing import Any, Literal

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor
from torch.optim.lr_scheduler import ConstantLR, LRScheduler, StepLR
from torchmetrics import MetricCollection

from imcomp.batch import Batch
from imcomp.losses import masked_mse
from imcomp.metrics import hole_metrics
from imcomp.models import build_network

Phase = Literal["train", "val", "test"]

OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}
SCHEDULERS: dict[str, Callable[..., LRScheduler]] = {"step": StepLR}


class InpaintingModule(pl.LightningModule):
    """Trains a network to fill holes: mean squared error on the hole alone.

    All options are plain values, so that a checkpoint rebuilds the module without a config at hand.

    Args:
        network: a key of ``NETWORKS``.
        in_channels: 1 for grey, 3 for colour.
        init: a key of ``INITS``.
        optimizer: a key of ``OPTIMIZERS``.
        lr: learning rate.
        weight_decay: the optimiser's.
        scheduler: ``{"name": "step", "step_size": 30, "gamma": 0.5}`` halves the rate every 30 epochs; None keeps it.
        channels_last: store weights with the channel last, which convolutions on CPUs and tensor cores prefer; the
            numbers are the same to rounding.
        network_options: the network's own keywords. With ``mask_channel=True`` it is shown the mask too, and can tell a
            hole from black; some networks always are.

    Raises:
        ValueError: an unknown name, or options that the network, optimiser or scheduler does not take.
    """

    def __init__(
        self,
        network: str = "autoencoder",
        in_channels: int = 1,
        init: str = "default",
        optimizer: str = "adam",
        lr: float = 1e-3,
        weight_decay: float = 0.0,
        scheduler: Mapping[str, Any] | None = None,
        channels_last: bool = True,  # noqa: FBT001, FBT002  # set by keyword, from a config
        **network_options: Any,
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        if optimizer not in OPTIMIZERS:
            raise ValueError(f"unknown optimizer {optimizer!r}; choose from {', '.join(sorted(OPTIMIZERS))}")
        if scheduler is not None and scheduler.get("name") not in SCHEDULERS:
            choices = ", ".join(sorted(SCHEDULERS))
            raise ValueError(f"unknown scheduler {scheduler.get('name')!r}; choose from {choices}, or null for none")
        for key, value in (("lr", lr), ("weight_decay", weight_decay)):
            if not 0 <= value < float("inf"):
                raise ValueError(f"{key}={value} is not a rate; give a number of at least 0")
        self.optimizer_name = optimizer
        self.lr = lr
        self.weight_decay = weight_decay
        self.scheduler = dict(scheduler) if scheduler else None
        self.network = build_network(network, in_channels=in_channels, init=init, **network_options)
        if channels_last:
            self.network = self.network.to(memory_format=torch.channels_last)
        self.in_channels = in_channels
        self.train_metrics = hole_metrics("train/")
        self.val_metrics = hole_metrics("val/")
        self.test_metrics = hole_metrics("test/")

    @property
    def multiple(self) -> int:
        """Height and width must be multiples of this many pixels."""
        return int(self.network.multiple)  # type: ignore[arg-type]

    @property
    def takes_mask(self) -> bool:
        """Whether the network is shown the mask."""
        return bool(getattr(self.network, "takes_mask", False))

    @property
    def input_channels(self) -> int:
        """Channels of what the network is shown: the picture's, and the mask's where it takes one."""
        return self.in_channels + self.takes_mask

    def forward(self, image: Tensor, mask: Tensor) -> Tensor:
        """Fill the hole; what is under it in ``image`` is not seen.

        Args:
            image: ``(B, C, H, W)`` float32 in [0, 1].
            mask: ``(B, 1, H, W)``, 1 = hole.

        Returns:
            The network's raw output ``(B, C, H, W)``, also outside the hole and outside [0, 1].

        Raises:
            ValueError: height or width is not a multiple of ``multiple``, or another number of channels.
        """
        _, channels, height, width = image.shape
        if channels != self.in_channels:
            raise ValueError(f"the picture has {channels} channels, the network takes {self.in_channels}")
        for name, extent in (("height", height), ("width", width)):
            if extent % self.multiple:
                padded = -(-extent // self.multiple) * self.multiple
                raise ValueError(f"{name} {extent} is not a multiple of {self.multiple}; pad or resize to {padded}")
        masked = image * (1 - mask)
        output: Tensor = self.network(torch.cat([masked, mask], dim=1) if self.takes_mask else masked)
        return output

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the loss."""
        return self._step(batch, "train")[0]

    def validation_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the output ``(B, C, H, W)``, for the callbacks to show."""
        return self._step(batch, "val")[1]

    def test_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the output ``(B, C, H, W)``."""
        return self._step(batch, "test")[1]

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Optimiser, and the schedule stepped once an epoch."""
        optimizer = OPTIMIZERS[self.optimizer_name](self.parameters(), lr=self.lr, weight_decay=self.weight_decay)
        if self.scheduler is None:
            # a rate that stays, so that it is logged as `lr` in every run
            schedule: LRScheduler = ConstantLR(optimizer, factor=1.0)
        else:
            options = {key: value for key, value in self.scheduler.items() if key != "name"}
            try:
                schedule = SCHEDULERS[self.scheduler["name"]](optimizer, **options)
            except TypeError as error:
                raise ValueError(f"scheduler {self.scheduler['name']!r}: {error}") from error
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "name": "lr"}}

    def _step(self, batch: Batch, phase: Phase) -> tuple[Tensor, Tensor]:
        output = self(batch.image, batch.mask)
        loss = masked_mse(output, batch.image, batch.mask)
        metrics: MetricCollection = getattr(self, f"{phase}_metrics")
        metrics.update(output.detach(), batch.image, batch.mask)
        size = len(batch.image)
        if phase == "train":
            self.log("train/loss", loss, on_step=True, prog_bar=True, batch_size=size)
        else:
            self.log(f"{phase}/loss", loss, on_epoch=True, sync_dist=True, batch_size=size)
        for name, metric in metrics.items():
            self.log(name, metric, on_step=False, on_epoch=True, prog_bar=name == "val/mse", batch_size=size)
        return loss, output
