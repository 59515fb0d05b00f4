"""Stopping when the system asks: all processes of a run at the same batch, with its state saved."""

import signal
from collections.abc import Callable
from typing import Any

import pytorch_lightning as pl
import torch
import torch.distributed as dist
from pytorch_lightning.callbacks import Callback

SIGNALS = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGUSR1") if hasattr(signal, name))


class StopOnSignal(Callback):
    """Ends a run after the batch in which SIGTERM or SIGUSR1 came, with its state saved.

    Where several batches make a step, it is the last of them: a state holds no gradients.

    Takes the place of Lightning's own handling, which answers SIGTERM alone, and calls the other processes from inside
    the handler, where they may be in the middle of another exchange. A handler that submitit has set is left in its
    place: it requeues the job itself.

    Args:
        exit_code: None for 128 + the signal's number, as shells have it: 143 and 138.

    Raises:
        ValueError: an exit code that is none, or would say that the run has finished.
    """

    def __init__(self, exit_code: int | None = None) -> None:
        if exit_code is not None and not 0 < exit_code < 256:
            raise ValueError(f"exit_code {exit_code} says nothing to a scheduler; give one from 1 to 255, or null")
        self._exit_code = exit_code
        self._received = 0
        self._common_batches = 0
        self._group: Any = None

    @property
    def exit_code(self) -> int | None:
        """What to exit with; None where no signal came."""
        return (self._exit_code or 128 + self._received) if self._received else None

    def on_sanity_check_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._listen(trainer)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._listen(trainer)

    def on_test_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._listen(trainer)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Let all processes stop after the same batch; Lightning asks for a stop after this hook."""
        if _gathers(trainer):
            trainer._signal_connector.received_sigterm = False  # noqa: SLF001  # may have come between two batches
            return
        if trainer.world_size == 1 and self._received:
            trainer._signal_connector.received_sigterm = True  # noqa: SLF001
        # after the last one comes the validation, whose first batch may be the only one of some processes
        if trainer.world_size > 1 and not trainer.fit_loop.epoch_loop.batch_progress.is_last_batch:
            self._agree(trainer)

    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """The same in a validation, while no process has reached its last batch."""
        common = batch_idx + 1 < self._common_batches
        if trainer.world_size > 1 and common and not trainer.sanity_checking and not _gathers(trainer):
            self._agree(trainer)

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.world_size > 1:
            self._common_batches = int(self._over_all(trainer, int(sum(trainer.num_val_batches)), dist.ReduceOp.MIN))

    def _listen(self, trainer: pl.Trainer) -> None:
        # now, as Lightning has just set its own handlers; it puts back those before them when the run ends
        for number in SIGNALS:
            before = trainer._signal_connector._original_handlers.get(number)  # noqa: SLF001
            if callable(before) and str(getattr(before, "__module__", "")).startswith("submitit"):
                _handle(number, before)
            else:
                _handle(number, lambda number, _: self._receive(trainer, number))

    def _receive(self, trainer: pl.Trainer, number: int) -> None:
        self._received = number
        if trainer.world_size == 1 and not _gathers(trainer):
            trainer._signal_connector.received_sigterm = True  # noqa: SLF001

    def _agree(self, trainer: pl.Trainer) -> None:
        number = self._over_all(trainer, self._received, dist.ReduceOp.MAX)
        if number:
            self._received = number
            trainer._signal_connector.received_sigterm = True  # noqa: SLF001

    def _over_all(self, trainer: pl.Trainer, number: int, operation: Any) -> int:
        if self._group is None:
            # of the CPUs, so that no accelerator is waited for
            self._group = dist.new_group(backend="gloo") if dist.get_backend() != "gloo" else dist.group.WORLD
        value = torch.tensor(number)
        dist.all_reduce(value, op=operation, group=self._group)
        return int(value)


def _gathers(trainer: pl.Trainer) -> bool:
    """Whether the batch at work, or the last one, leaves gradients for a later one's step."""
    return trainer.state.fn == "fit" and trainer.fit_loop.epoch_loop._should_accumulate()  # noqa: SLF001


def _handle(number: int, handler: Callable[[int, Any], Any]) -> None:
    try:
        signal.signal(number, handler)
    except ValueError:  # in a thread, where no signal arrives
        return
