"""Sums over the processes of a run, so that several count as one."""

from typing import Any

import torch
import torch.distributed as dist
from pytorch_lightning.plugins.layer_sync import LayerSync
from torch import Tensor, nn


def several() -> bool:
    """Whether this process is one of several that train together."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def mean_over_processes(loss: Tensor, count: Tensor) -> tuple[Tensor, Tensor]:
    """Weigh a process's mean so that the mean of all processes is the mean over all pictures.

    DDP and FSDP give each process's gradient the same weight, however many pictures it had.

    Args:
        loss: scalar, a mean over the pictures of this process's share of the batch.
        count: scalar, how many pictures that mean is of; may be 0.

    Returns:
        The loss to go backwards from, and the mean over the whole batch, which is for logs.
    """
    if not several():
        return loss, loss.detach()
    counted = count.to(loss)
    total, pictures = _sum(torch.stack([loss.detach() * counted, counted]))
    pictures = pictures.clamp(min=1)
    return loss * (counted * dist.get_world_size() / pictures), total / pictures


def _sum(values: Tensor) -> Tensor:
    dist.all_reduce(values)
    return values


class _SumOverProcesses(torch.autograd.Function):
    """A sum whose gradient is the sum of all processes' gradients: each process's loss depends on it."""

    @staticmethod
    def forward(_: Any, values: Tensor) -> Tensor:
        return _sum(values.clone())

    @staticmethod
    def backward(_: Any, gradient: Tensor) -> Tensor:
        return _sum(gradient.clone())


class SyncBatchNorm2d(nn.BatchNorm2d):
    """Batch normalisation with the mean and variance of all processes' pictures, on any device.

    torch has one for accelerators alone. S. Ioffe, C. Szegedy: Batch Normalization, ICML 2015.
    """

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  # torch's name
        if not (self.training and several()):
            return super().forward(input)
        x = input.float()
        sums = torch.cat([x.sum(dim=(0, 2, 3)), x.new_tensor([x.numel() / self.num_features])])
        *total, count = _SumOverProcesses.apply(sums).split([self.num_features, 1])
        mean = total[0] / count
        centred = x - mean[:, None, None]
        # in a second sum, not as the difference of two large numbers
        variance = _SumOverProcesses.apply(centred.square().sum(dim=(0, 2, 3))) / count
        self._note(mean.detach(), (variance * count / (count - 1).clamp(min=1)).detach())
        normal = centred * torch.rsqrt(variance + self.eps)[:, None, None]
        if self.affine:
            normal = normal * self.weight[:, None, None] + self.bias[:, None, None]
        output: Tensor = normal.to(input.dtype)
        return output

    def _note(self, mean: Tensor, variance: Tensor) -> None:
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked += 1
        step = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean.to(self.running_mean), step)
        self.running_var.lerp_(variance.to(self.running_var), step)


class SyncNorms(LayerSync):
    """Lightning's plugin for `SyncBatchNorm2d`: the same layers and weights, another way to compute."""

    def apply(self, model: nn.Module) -> nn.Module:
        for layer in model.modules():
            if type(layer) is nn.BatchNorm2d:
                layer.__class__ = SyncBatchNorm2d
        return model

    def revert(self, model: nn.Module) -> nn.Module:
        for layer in model.modules():
            if type(layer) is SyncBatchNorm2d:
                layer.__class__ = nn.BatchNorm2d  # type: ignore[assignment]  # its own base
        return model
