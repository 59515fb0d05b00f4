"""The two halves of pretraining a decoder: a module that is shown whole pictures, and a decoder that is held."""

from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from imcomp.box import Box
from imcomp.errors import InputError
from imcomp.models import decoder_parts_of
from imcomp.module import InpaintingModule


class WholePictureModule(InpaintingModule):
    """Trains a network to return the picture that it is shown: nothing is missing, whatever the mask says.

    Losses and metrics count where the mask is 1, as ever: a mask of the whole picture makes an autoencoder of it.
    """

    def forward(self, image: Tensor, mask: Tensor, box: Box | None = None) -> Tensor:
        return super().forward(image, torch.zeros_like(mask), box)


class FrozenDecoder(Callback):
    """Holds the network's decoder as it is, statistics of its batch norms included, for the first epochs.

    Its gradients are computed and dropped, rather than never computed, so that several processes wait for the same ones
    before and after.

    Args:
        epochs: how many; 0 for none.

    Raises:
        ValueError: a negative number.
        InputError: when training starts, if the network has no decoder of its own.
    """

    def __init__(self, epochs: int) -> None:
        if epochs < 0:
            raise ValueError(f"epochs {epochs} is no number of epochs; give 0 or more")
        self.epochs = epochs

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Fail early."""
        self._decoder(pl_module)

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        # each time: a run that is resumed in mid-epoch does not pass on_train_epoch_start
        for part in self._decoder(pl_module):
            for layer in part.modules():
                if isinstance(layer, _BatchNorm):
                    layer.train(trainer.current_epoch >= self.epochs)

    def on_before_optimizer_step(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: torch.optim.Optimizer
    ) -> None:
        if trainer.current_epoch < self.epochs:
            for part in self._decoder(pl_module):
                for parameter in part.parameters():
                    parameter.grad = None

    def _decoder(self, pl_module: pl.LightningModule) -> list[nn.Module]:
        assert isinstance(pl_module, InpaintingModule)
        try:
            return [pl_module.network.get_submodule(name) for name in decoder_parts_of(pl_module.network)]
        except ValueError as error:
            raise InputError(str(error)) from error
