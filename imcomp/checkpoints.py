"""Saving so that nothing is lost, and loading so that nothing is executed."""

import pickle
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from lightning_fabric.plugins import TorchCheckpointIO
from pytorch_lightning.callbacks import Callback, ModelCheckpoint

from imcomp.errors import InputError
from imcomp.files import atomic


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes a checkpoint whole or not at all."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        with atomic(Path(path)) as beside:
            torch.save(checkpoint, beside)


class BestCheckpoint(ModelCheckpoint):
    """Keeps ``best.ckpt``, the weights of the lowest ``monitor`` so far, and remembers that validation's metrics."""

    def __init__(self, dirpath: str | Path, monitor: str) -> None:
        super().__init__(
            dirpath,
            filename="best",
            monitor=monitor,
            mode="min",
            save_top_k=1,
            save_on_train_epoch_end=False,
            enable_version_counter=False,
        )
        self.metrics: dict[str, float] = {}

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save when the monitored value is the lowest so far."""
        before = self.best_model_score
        super().on_validation_end(trainer, pl_module)
        if self.best_model_score is not None and (before is None or self.best_model_score < before):
            values = {key: float(value) for key, value in trainer.callback_metrics.items() if key.startswith("val/")}
            self.metrics = {"epoch": trainer.current_epoch, **values}

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "metrics": self.metrics}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        self.metrics = state_dict["metrics"]


class LastCheckpoint(ModelCheckpoint):
    """Keeps ``last.ckpt``: the state at the last epoch's end, or where an exception or a signal stopped the run.

    It holds all that training needs to go on as if nothing had happened, the random state included.
    """

    def __init__(self, dirpath: str | Path) -> None:
        super().__init__(
            dirpath,
            filename="last",
            save_on_train_epoch_end=True,
            save_on_exception=True,
            enable_version_counter=False,
        )

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Mend what Lightning saves of a run that stops in mid-epoch."""
        if trainer.state.fn != "fit":
            return
        fit_loop = checkpoint["loops"]["fit_loop"]
        # a batch that was handed out but not finished is handed out again
        for loader in fit_loop["state_dict"].get("combined_loader", []):
            loader["served"] = fit_loop["epoch_loop.batch_progress"]["current"]["processed"]
        # a validation that was cut short starts again from its first batch; Lightning takes one for unfinished when a
        # batch was started and not processed
        validation = fit_loop["epoch_loop.val_loop.batch_progress"]
        if trainer.validating and not validation["is_last_batch"]:
            unfinished = {"ready": 1, "started": 1, "processed": 0, "completed": 0}
            validation["total"] |= unfinished
            validation["current"] |= unfinished


class RandomState(Callback):
    """Saves the random state of Python, NumPy and torch in every checkpoint and restores it on resume."""

    def __init__(self) -> None:
        self._restored: dict[str, Any] | None = None

    def state_dict(self) -> dict[str, Any]:
        version, internal, gauss = random.getstate()
        algorithm, keys, position, has_gauss, cached = np.random.get_state(legacy=True)  # noqa: NPY002
        # plain values and tensors alone, which torch's safe loading accepts
        return {
            "python": [version, list(internal), gauss],
            "numpy": [algorithm, torch.from_numpy(np.array(keys, dtype=np.int64)), position, has_gauss, cached],
            "torch": torch.get_rng_state(),
            "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._restored = state_dict

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Restore late: what the trainer sets up before may draw numbers."""
        state, self._restored = self._restored, None
        if state is None:
            return
        version, internal, gauss = state["python"]
        random.setstate((version, tuple(internal), gauss))
        algorithm, keys, position, has_gauss, cached = state["numpy"]
        np.random.set_state((algorithm, keys.numpy().astype(np.uint32), position, has_gauss, cached))  # noqa: NPY002
        torch.set_rng_state(state["torch"].cpu())
        if len(state["cuda"]) == torch.cuda.device_count():
            torch.cuda.set_rng_state_all([one.cpu() for one in state["cuda"]])


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """Read a checkpoint with torch's safe loading: tensors and plain values, never code.

    Raises:
        InputError: no such file, or it is not a checkpoint of imcomp's.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(
            f"no checkpoint {path}; give the path of a .ckpt file, such as outputs/latest/checkpoints/best.ckpt"
        )
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"{path} is damaged or not a checkpoint ({reason}); give another .ckpt file") from error
    if not isinstance(checkpoint, dict) or not {"state_dict", "hyper_parameters"} <= checkpoint.keys():
        raise InputError(f"{path} is not a checkpoint of imcomp (no weights with hyper-parameters in it); give another")
    return checkpoint
