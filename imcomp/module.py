"""The Lightning module: one network, one step for three phases, optimiser and schedule."""

from collections.abc import Mapping
from typing import Any, Literal

import pytorch_lightning as pl
import torch
from pytorch_lightning.plugins.precision import Precision
from pytorch_lightning.utilities import GradClipAlgorithmType
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torchmetrics import MetricCollection

from imcomp.batch import Batch
from imcomp.box import Box
from imcomp.errors import InputError
from imcomp.filling import Context, check_context, fill, window_shown
from imcomp.losses.summed import Terms, WeightedSum
from imcomp.metrics import MeanOverPictures, hole_metrics
from imcomp.models import build_network, decoder_parts_of
from imcomp.optimizers import OPTIMIZERS, build_optimizer
from imcomp.schedules import build_schedule, count_steps, rescale
from imcomp.sharing import mean_over_processes

Phase = Literal["train", "val", "test"]


class InpaintingModule(pl.LightningModule):
    """Trains a network to fill holes: by default with the mean squared error on the hole alone.

    All options are plain values, so that a checkpoint rebuilds the module without a config at hand.

    Args:
        network: a key of ``NETWORKS``.
        in_channels: 1 for grey, 3 for colour.
        init: a key of ``INITS``.
        mean: of the pictures as the network is shown them, see ``build_network``; holes are filled with it.
        std: of the pictures.
        optimizer: a key of ``OPTIMIZERS``.
        lr: learning rate.
        weight_decay: the optimiser's.
        scheduler: ``{"name": "step", "step_size": 30, "gamma": 0.5}`` halves the rate every 30 epochs; see
            ``SCHEDULES``. None keeps it.
        fused: take the optimiser's step as one kernel, on devices that have it.
        channels_last: store weights with the channel last, which convolutions on CPUs and tensor cores prefer; the
            numbers are the same to rounding.
        decoder_lr: learning rate of the network's decoder, as a factor of ``lr``; see ``decoder_parts_of``.
        context: how many pixels round the hole the network is shown where all pictures have it in the same place:
            `reach` for all that count, a number for so many, None for the whole picture; see ``fill``. Where the loss
            scores the whole picture, a number becomes `reach`.
        loss: keys of ``LOSSES``, each with its weight or its options, see ``WeightedSum``; None is ``{"mse": 1.0}``.
        network_options: the network's own keywords. With ``mask_channel=True`` it is shown the mask too, and can tell a
            hole from black; `gated` is by default.

    Raises:
        ValueError: an unknown name, or options that the network, loss, optimiser or scheduler does not take.
    """

    def __init__(
        self,
        network: str = "autoencoder",
        in_channels: int = 1,
        init: str = "default",
        mean: float = 0.0,
        std: float = 1.0,
        optimizer: str = "adam",
        lr: float = 1e-3,
        weight_decay: float = 0.0,
        scheduler: Mapping[str, Any] | None = None,
        fused: bool = False,  # noqa: FBT001, FBT002  # set by keyword, from a config
        channels_last: bool = True,  # noqa: FBT001, FBT002  # set by keyword, from a config
        context: Context = None,
        decoder_lr: float = 1.0,
        loss: Terms | None = None,
        **network_options: Any,
    ) -> None:
        super().__init__()
        weighted = WeightedSum({"mse": 1.0} if loss is None else loss)
        if weighted.everywhere and check_context(context) is not None:
            context = "reach"  # the loss scores the whole picture, which is then computed: it stands for the window too
        self.save_hyperparameters()
        if optimizer not in OPTIMIZERS:
            raise ValueError(f"unknown optimizer {optimizer!r}; choose from {', '.join(sorted(OPTIMIZERS))}")
        for key, value in (("lr", lr), ("weight_decay", weight_decay), ("decoder_lr", decoder_lr)):
            if not 0 <= value < float("inf"):
                raise ValueError(f"{key}={value} is not a rate; give a number of at least 0")
        self.optimizer_name = optimizer
        self.lr = lr
        self.weight_decay = weight_decay
        self.decoder_lr = decoder_lr
        self.schedule = build_schedule(scheduler)
        self.fused = fused
        self.network = build_network(network, in_channels=in_channels, init=init, mean=mean, std=std, **network_options)
        if channels_last:
            self.network = self.network.to(memory_format=torch.channels_last)
        self.in_channels = in_channels
        self.context = check_context(context)
        self.loss = weighted
        self.train_metrics = hole_metrics("train/")
        self.val_metrics = hole_metrics("val/")
        self.test_metrics = hole_metrics("test/")
        # Lightning's own mean over processes divides the pictures in whole numbers: 13 by 2 are 6
        self.val_loss = MeanOverPictures()
        self.test_loss = MeanOverPictures()
        names = weighted.weights if len(weighted.weights) > 1 else ()  # one part is the loss
        self.val_parts, self.test_parts = (
            nn.ModuleDict({name: MeanOverPictures() for name in names}) for _ in range(2)
        )
        self.batch_loss = torch.zeros(())
        """Of the last batch of training, over all processes."""

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

    def forward(self, image: Tensor, mask: Tensor, box: Box | None = None) -> Tensor:
        """Fill the hole; what is under it in ``image`` is not seen. See ``fill``.

        Args:
            image: ``(B, C, H, W)`` float32 in [0, 1].
            mask: ``(B, 1, H, W)``, 1 = hole.
            box: where all holes lie; None: anywhere.

        Returns:
            The network's raw output in the box ``(B, C, h, w)``, or ``(B, C, H, W)`` without one; also outside the hole
            and outside [0, 1].

        Raises:
            ValueError: height or width is not a multiple of ``multiple``, or another number of channels.
        """
        if image.shape[1] != self.in_channels:
            raise ValueError(f"the picture has {image.shape[1]} channels, the network takes {self.in_channels}")
        return fill(self.network, image, mask, box, context=self.context)

    def window(self, size: tuple[int, int], box: Box | None) -> Box:
        """What of a picture of height and width ``size`` counts for the hole in ``box``, for network and loss."""
        return window_shown(self.network, size, box, self.context, margin=self.margin)

    @property
    def margin(self) -> int | None:
        """How many pixels round the hole the loss looks at; None: all."""
        return self.loss.margin

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the loss."""
        return self._step(batch, "train")[0]

    def validation_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the output in the batch's box, for the callbacks to show."""
        return self._step(batch, "val")[1]

    def test_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the output in the batch's box."""
        return self._step(batch, "test")[1]

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Optimiser, and its schedule, stepped each epoch or each step.

        Raises:
            InputError: a schedule over the whole run, and a run without an end.
        """
        optimizer = build_optimizer(
            *(self.optimizer_name, self.network, self._parameter_groups()),
            lr=self.lr,
            weight_decay=self.weight_decay,
            fused=self.fused,
        )
        schedule = self.schedule
        steps = count_steps(self.trainer) if schedule.interval == "step" else 0
        return {
            "optimizer": optimizer,
            "lr_scheduler": {
                "scheduler": schedule.over(optimizer, steps),
                "interval": schedule.interval,
                "name": "lr",
            },
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on with the rate and the weight decay of this run, where the one that is resumed had others."""
        if not checkpoint.get("optimizer_states"):
            return  # weights alone
        then = checkpoint["hyper_parameters"]
        rates = [(self.lr, then["lr"]), (self.lr * self.decoder_lr, then["lr"] * then.get("decoder_lr", 1.0))]
        state: dict[str, Any] = checkpoint["optimizer_states"][0]
        schedule: dict[str, Any] = next(iter(checkpoint["lr_schedulers"]), {})
        # from a rate of 0 there is no way to another
        factors = [now / before if before else 1.0 for now, before in rates]
        # the optimiser may have divided the network's groups, each into as many
        count = len(state["param_groups"])
        factors = [factors[index * len(self._parameter_groups()) // count] for index in range(count)]
        rescale(state, schedule, factors)
        for group in state["param_groups"]:
            group["weight_decay"] = self.weight_decay

    def _parameter_groups(self) -> list[dict[str, Any]]:
        """The network's parameters; its decoder's apart where their rate is another."""
        if self.decoder_lr == 1:
            return [{"params": list(self.network.parameters())}]
        decoder = tuple(f"{part}." for part in decoder_parts_of(self.network))
        groups: tuple[list[nn.Parameter], list[nn.Parameter]] = ([], [])
        for name, parameter in self.network.named_parameters():
            groups[name.startswith(decoder)].append(parameter)
        return [
            {"params": groups[0], "name": "encoder"},
            {"params": groups[1], "name": "decoder", "lr": self.lr * self.decoder_lr},
        ]

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip the gradients of fused optimisers as well.

        Lightning refuses to in mixed precision, since with float16 they unscale the gradients themselves; bfloat16 has
        no scale.
        """
        if gradient_clip_val and self.fused and self.trainer.precision == "bf16-mixed":
            algorithm = GradClipAlgorithmType(gradient_clip_algorithm or "norm")
            Precision.clip_gradients(self.trainer.precision_plugin, optimizer, gradient_clip_val, algorithm)
        else:
            self.clip_gradients(optimizer, gradient_clip_val, gradient_clip_algorithm)

    def _step(self, batch: Batch, phase: Phase) -> tuple[Tensor, Tensor]:
        output, loss, parts = self._fill(batch)
        if phase == "train":
            loss, self.batch_loss = mean_over_processes(loss, _count_holes(batch))
        self._log(batch, output, loss, parts, phase)
        return loss, output

    def _fill(self, batch: Batch) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """Output in the batch's box, loss, and the loss's parts."""
        image, mask, _, box = batch
        try:
            output = self(image, mask, None if self.loss.everywhere else box)
        except ValueError as error:
            if "more than 1 value per channel" not in str(error):
                raise
            height, width = image.shape[-2:]
            raise InputError(
                f"a training batch of {len(image)} picture of {height}x{width} pixels leaves batch norm a single number"
                " to average; give a larger data.size, or a data.batch_size that leaves no batch of one"
            ) from error
        loss, parts = self.loss(output, image, mask, box)
        return box.crop(output) if box is not None and self.loss.everywhere else output, loss, parts

    def _log(self, batch: Batch, output: Tensor, loss: Tensor, parts: Mapping[str, Tensor], phase: Phase) -> None:
        image, mask, _, box = batch
        if box is not None:
            image, mask = box.crop(image), box.crop(mask)
        metrics: MetricCollection = getattr(self, f"{phase}_metrics")
        metrics.update(output.detach(), image, mask)
        size = len(image)
        if phase == "train":
            self.log("train/loss", self.batch_loss, on_step=True, prog_bar=True, batch_size=size)
            if len(parts) > 1:
                self.log_dict({f"train/loss/{name}": part for name, part in parts.items()}, batch_size=size)
        else:
            means = {"loss": getattr(self, f"{phase}_loss")}
            means |= {f"loss/{name}": mean for name, mean in getattr(self, f"{phase}_parts").items()}
            values = {"loss": loss, **{f"loss/{name}": part for name, part in parts.items()}}
            for name, mean in means.items():
                mean.update(values[name].detach(), _count_holes(batch))
                self.log(f"{phase}/{name}", mean, on_step=False, on_epoch=True, batch_size=size)
        for name, metric in metrics.items():
            self.log(name, metric, on_step=False, on_epoch=True, prog_bar=name == "val/mse", batch_size=size)


def _count_holes(batch: Batch) -> Tensor:
    """How many pictures have a hole: those that count in the loss."""
    return (batch.mask.amax(dim=(1, 2, 3)) > 0).sum()
