"""Saving so that nothing is lost, and going on as if nothing had happened."""

import math
import random
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from lightning_fabric.plugins import TorchCheckpointIO
from pytorch_lightning.callbacks import Callback, ModelCheckpoint

from imcomp.files import atomic
from imcomp.weights import flush_denormals


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes a checkpoint whole or not at all, and without denormal numbers, as which training does not see them."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        with atomic(Path(path)) as beside:
            torch.save(flush_denormals(checkpoint), beside)

    def load_checkpoint(self, path: str | Path, *arguments: Any, **options: Any) -> dict[str, Any]:
        checkpoint: dict[str, Any] = flush_denormals(super().load_checkpoint(path, *arguments, **options))
        return checkpoint


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
        validated = trainer.state.fn == "fit" and not trainer.sanity_checking
        values = {key: float(value) for key, value in trainer.callback_metrics.items() if key.startswith("val/")}
        value = trainer.callback_metrics.get(str(self.monitor))
        lowest = self.best_model_score
        if validated and value is not None and (lowest is None or value < lowest):
            self.metrics = {"epoch": trainer.current_epoch, **values}  # before saving: the checkpoint holds them too
        super().on_validation_end(trainer, pl_module)

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "metrics": self.metrics}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        best = str(Path(str(self.dirpath)) / "best.ckpt")
        if state_dict["dirpath"] != self.dirpath and Path(best).is_file():
            # the run's folder was moved; Lightning would forget the score and overwrite the best with the next
            paths = {"dirpath": self.dirpath, "best_model_path": best, "kth_best_model_path": best}
            state_dict = {**state_dict, **paths, "best_k_models": {best: state_dict["best_model_score"]}}
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
        self._first_step = math.inf
        self._stopping = False
        self._before_validation: dict[str, Any] = {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Nothing: there is one file, and Lightning would only warn where it lay before."""

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        super().on_train_start(trainer, pl_module)
        self._first_step = trainer.global_step

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Note what the callbacks know, for a validation that will be cut short."""
        states = {callback.state_key: callback.state_dict() for callback in trainer.callbacks}  # type: ignore[attr-defined]
        self._before_validation = deepcopy({key: state for key, state in states.items() if state})

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Save what is new; a test, which runs with the best weights, has nothing new."""
        if trainer.state.fn == "fit" and trainer.global_step > self._first_step:
            self._stopping = True
            super().on_exception(trainer, pl_module, exception)

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Mend what Lightning saves of a run that stops in mid-epoch."""
        if not self._stopping:
            return
        fit_loop = checkpoint["loops"]["fit_loop"]
        batches = fit_loop["epoch_loop.batch_progress"]
        ready, processed, completed = (batches["current"][key] for key in ("ready", "processed", "completed"))
        # a batch that was handed out but not finished is handed out again
        for loader in fit_loop["state_dict"].get("combined_loader", []):
            loader["served"] = processed
        if processed < ready:
            fit_loop["epoch_loop.state_dict"]["_batches_that_stepped"] -= 1  # Lightning would log it as a step
        # a validation that was cut short, or not begun, starts from its first batch, as if never seen; Lightning takes
        # one for unfinished when a batch was started and not processed
        if trainer.validating:
            checkpoint["callbacks"] = self._before_validation
        if trainer.validating or (batches["is_last_batch"] and completed < processed == ready):
            for counts in (batches["total"], batches["current"]):
                counts["completed"] = counts["processed"]
            unfinished = {"ready": 1, "started": 1, "processed": 0, "completed": 0}
            validation = fit_loop["epoch_loop.val_loop.batch_progress"]
            validation |= {"total": unfinished, "current": dict(unfinished), "is_last_batch": False}


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
