"""Adversarial training: the network that fills holes against one that tells fills from pictures."""

from contextlib import nullcontext
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.core.optimizer import LightningOptimizer, do_nothing_closure
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR

from imcomp.batch import Batch
from imcomp.errors import InputError
from imcomp.losses import adversarial
from imcomp.losses.summed import Terms, complete, split_weight
from imcomp.models.discriminator import PatchDiscriminator
from imcomp.module import InpaintingModule


class AdversarialModule(InpaintingModule):
    """Trains a network to fill holes so that a discriminator takes the completed picture for a true one.

    Each batch trains the network, then the discriminator. Trainer's options for clipping and accumulating gradients
    hold for both. Validation and test know the other parts of the loss alone; a step is one of the network.

    Args:
        loss: as of ``InpaintingModule``, and with it ``adversarial``, its weight or the options of ``Adversarial``.
        options: the others of ``InpaintingModule``.

    Raises:
        ValueError: as ``InpaintingModule`` and ``Adversarial``.
    """

    def __init__(self, loss: Terms, **options: Any) -> None:
        others = dict(loss)
        weight, own = split_weight("adversarial", others.pop("adversarial", 0))
        super().__init__(loss=others, **options)
        self.automatic_optimization = False
        self.adversarial = adversarial.Adversarial(weight=weight, **own)
        self.discriminator = PatchDiscriminator(self.in_channels, self.adversarial.width, self.adversarial.layers)
        if self.hparams["channels_last"]:
            self.discriminator = self.discriminator.to(memory_format=torch.channels_last)
        self._kept: tuple[Any, int] = (None, 1)

    @property
    def margin(self) -> int | None:
        """How many pixels round the hole loss and discriminator look at; None: all."""
        own, other = self.adversarial.margin, super().margin
        return None if own is None or other is None else max(own, other)

    def configure_callbacks(self) -> list[pl.Callback]:
        """Hide from Lightning, which refuses them beside manual optimisation, two options that `training_step` heeds.

        This is the last hook before it looks, and `setup` the first after.
        """
        trainer = self.trainer
        self._kept = trainer.gradient_clip_val, trainer.accumulate_grad_batches
        trainer.gradient_clip_val, trainer.accumulate_grad_batches = None, 1
        return []

    def setup(self, stage: str) -> None:
        """Check what the trainer was given.

        Raises:
            InputError: float16, or several processes.
        """
        trainer = self.trainer
        trainer.gradient_clip_val, trainer.accumulate_grad_batches = self._kept
        if stage != "fit":
            return
        if str(trainer.precision).startswith("16"):
            raise InputError(
                f"loss.adversarial cannot be trained in {trainer.precision}, whose scale two losses cannot share;"
                " give perf.precision=bf16-mixed or 32-true"
            )
        if trainer.world_size > 1:
            raise InputError(
                "loss.adversarial trains two networks in turn, in one process alone; give trainer.devices=1"
                " trainer.strategy=auto"
            )

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """The network's optimiser and schedule, and the discriminator's, which follow it.

        Raises:
            InputError: as ``InpaintingModule``.
        """
        network: Any = super().configure_optimizers()
        optimizer = torch.optim.Adam(
            self.discriminator.parameters(), lr=self.adversarial.lr, betas=(0.0, 0.99), fused=self.fused or None
        )
        fills = network["optimizer"]  # not its groups, which it replaces when a state is loaded
        follow = LambdaLR(optimizer, lambda _: fills.param_groups[0]["lr"] / self.lr if self.lr else 1.0)
        schedule = {**network["lr_scheduler"], "scheduler": follow, "name": "lr/discriminator"}
        return network, {"optimizer": optimizer, "lr_scheduler": schedule}  # type: ignore[return-value]

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Train both; return the network's loss."""
        optimizers: Any = self.optimizers()
        fills, tells = optimizers
        # the step that Lightning counts, for the schedule and the end of the run, is the network's
        tells._on_before_step = tells._on_after_step = do_nothing_closure  # noqa: SLF001
        share = 1 / self.trainer.accumulate_grad_batches
        with self.toggled_optimizer(fills):
            output, loss, parts = self._fill(batch)
            completed, true, hole = complete(output, batch.image, batch.mask, batch.box, margin=self.adversarial.margin)
            if min(true.shape[-2:]) < self.discriminator.smallest:
                raise InputError(
                    f"loss.adversarial needs pictures of at least {self.discriminator.smallest} pixels; give a larger"
                    " data.size, or fewer loss.adversarial.layers"
                )
            fooling, matching = self._fool(completed, true, hole)
            loss = loss + self.adversarial.weight * (fooling + self.adversarial.feature_matching * matching)
            self.batch_loss = loss.detach()
            self.manual_backward(share * loss)
        with self.toggled_optimizer(tells):
            self.manual_backward(share * self._tell(completed.detach(), true, hole))
        self._log(batch, output, loss, {**parts, "adversarial": fooling, "feature_matching": matching}, "train")
        if (batch_idx + 1) % self.trainer.accumulate_grad_batches == 0 or self.trainer.is_last_batch:
            for optimizer in (fills, tells):
                self._take_step(optimizer)
            self._follow_schedule("step")
        return loss.detach()

    def on_train_epoch_end(self) -> None:
        self._follow_schedule("epoch")

    def _fool(self, completed: Tensor, true: Tensor, hole: Tensor) -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            _, wanted = self.discriminator(true)
        logits, features = self.discriminator(completed)
        matching = adversarial.feature_matching_loss(features, wanted, hole)
        return adversarial.fooling_loss(logits, hole), matching

    def _tell(self, completed: Tensor, true: Tensor, hole: Tensor) -> Tensor:
        logits, _ = self.discriminator(completed)
        if penalised := self.trainer.global_step % self.adversarial.r1_every == 0 and self.adversarial.r1 > 0:
            true = true.clone().requires_grad_()
        # a slope squared has no digits left in bfloat16
        with torch.autocast(true.device.type, enabled=False) if penalised else nullcontext():
            logits_true, _ = self.discriminator(true)
        loss = adversarial.telling_loss(logits_true, logits, hole)
        told = adversarial.share_told(logits_true.detach(), logits.detach(), hole)
        self.log_dict({"train/discriminator/loss": loss, "train/discriminator/accuracy": told}, batch_size=len(true))
        if penalised:
            penalty = adversarial.r1_penalty(logits_true, true)
            self.log("train/discriminator/r1", penalty, batch_size=len(true))
            loss = loss + self.adversarial.r1 * self.adversarial.r1_every * penalty
        return loss

    def _take_step(self, optimizer: LightningOptimizer) -> None:
        self.configure_gradient_clipping(
            optimizer.optimizer, self.trainer.gradient_clip_val, self.trainer.gradient_clip_algorithm
        )
        optimizer.step()
        optimizer.zero_grad()

    def _follow_schedule(self, interval: str) -> None:
        if self.schedule.interval == interval:
            schedules: Any = self.lr_schedulers()
            for schedule in schedules:  # the network's first, which the discriminator's reads
                schedule.step()
