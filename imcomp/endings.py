"""How a run ends that cannot go on: found out early, its state saved, and told in one line."""

import errno

import pytorch_lightning as pl
import torch
import torch.distributed as dist
from pytorch_lightning.callbacks import Callback
from torch import Tensor

from imcomp.data.pictures import UnreadablePicture
from imcomp.module import InpaintingModule


class NonFiniteLoss(RuntimeError):  # noqa: N818 - what training came to, no defect of the program
    """The loss of a batch is not a number, or infinite."""


class FiniteLoss(Callback):
    """Ends training at a loss that is not finite, in all processes at once.

    On a CPU before it goes into the weights. An accelerator is asked now and then only, since it would have to be
    waited for; the state saved last is then what there is to go on from.

    Args:
        every: batches between two looks on an accelerator, at least 1.

    Raises:
        ValueError: less than 1.
        NonFiniteLoss: in training.
    """

    def __init__(self, every: int = 50) -> None:
        if every < 1:
            raise ValueError(f"every={every} batches is never; give at least 1")
        self.every = every

    def on_before_backward(self, trainer: pl.Trainer, pl_module: pl.LightningModule, loss: Tensor) -> None:
        assert isinstance(pl_module, InpaintingModule)
        value = pl_module.batch_loss
        done = trainer.fit_loop.epoch_loop.batch_progress.current.ready
        if (value.device.type == "cpu" or done % self.every == 0) and not torch.isfinite(value):
            raise NonFiniteLoss(
                f"the loss is {float(value)} in epoch {trainer.current_epoch}, step {trainer.global_step};"
                " give a lower model.lr, trainer.gradient_clip_val=1 or perf=plain"
            )


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that the device's memory, or the machine's, did not suffice."""
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or "DefaultCPUAllocator: " in str(error)


def why(error: BaseException, lost: str | None = None) -> str | None:
    """Word an error that ended a run through no fault of the program's; None for any other.

    Args:
        error: what training raised.
        lost: which of several processes ended before its time, if one did.
    """
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    last = lines[-1] if lines else type(error).__name__
    words = None
    if isinstance(error, dist.DistError) or ("gloo" in str(error) and "peer" in str(error)):
        words = lost or f"the connection to another process of this run broke off ({last}); its own output says why"
    elif isinstance(error, NonFiniteLoss):
        words = str(error)
    elif is_out_of_memory(error):
        words = "out of memory; give a smaller data.batch_size, or halve_on_oom=true for the same steps in parts"
    elif isinstance(error, UnreadablePicture):
        words = f"a picture can no longer be read ({last.removeprefix('imcomp.data.pictures.')}); bring the data back"
    elif isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        words = f"the disk is full ({error.filename or 'writing'}); make room"
    elif isinstance(error, OSError):
        words = f"{error.filename}: {error.strerror}" if error.filename and error.strerror else last
    elif "DataLoader worker" in str(error) and "killed by signal" in str(error):
        words = f"a process that reads pictures was killed ({last}), often for want of memory; give data.num_workers=0"
    return words
