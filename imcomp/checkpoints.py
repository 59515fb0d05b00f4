"""Saving so that nothing is lost, and going on as if nothing had happened."""

import hashlib
import logging
import math
import random
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, Checkpoint, ModelCheckpoint
from pytorch_lightning.strategies import FSDPStrategy

from imcomp.data.loading import recount
from imcomp.states import PREVIOUS, keep_as

log = logging.getLogger(__name__)


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

    It holds all that training needs to go on as if nothing had happened, the random state included. The one before it
    stays as ``previous.ckpt``, should the disk damage the newer one. Weights that are not finite replace neither.

    Args:
        dirpath: the folder.
        keep_previous: whether to keep the one before.
    """

    def __init__(self, dirpath: str | Path, keep_previous: bool = True) -> None:  # noqa: FBT001, FBT002  # from a config
        super().__init__(
            dirpath,
            filename="last",
            save_on_train_epoch_end=True,
            save_on_exception=True,
            enable_version_counter=False,
        )
        self.keep_previous = keep_previous
        self.unless: Callable[[BaseException], bool] = lambda _: False
        """Tells of an exception whether it leaves the last state as it is."""
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
        if trainer.state.fn != "fit" or trainer.global_step <= self._first_step or self.unless(exception):
            return
        self._stopping = True
        try:
            super().on_exception(trainer, pl_module, exception)
        except OSError as error:  # what ended the run, most likely; the last state is there still
            log.warning("the state at step %d cannot be saved: %s", trainer.global_step, error)

    def _save_checkpoint(self, trainer: pl.Trainer, filepath: str) -> None:
        finite = all(bool(torch.isfinite(weight).all()) for weight in trainer.lightning_module.parameters())
        if trainer.world_size > 1 and not self._stopping:
            finite = trainer.strategy.reduce_boolean_decision(finite)  # with fsdp each process has other weights
        if not finite:
            log.warning("the weights at step %d are not finite and are not saved", trainer.global_step)
            return
        if self.keep_previous and trainer.is_global_zero:
            keep_as(Path(filepath), Path(filepath).with_name(PREVIOUS))
        if self._stopping and trainer.world_size > 1:
            self._save_alone(trainer, filepath)
        else:
            super()._save_checkpoint(trainer, filepath)

    def _save_alone(self, trainer: pl.Trainer, filepath: str) -> None:
        """Save without a word with the other processes, which may be gone, or somewhere else in the loop."""
        if isinstance(trainer.strategy, FSDPStrategy):
            log.warning("with fsdp a state is saved at the end of an epoch alone; the last one is kept")
        elif trainer.is_global_zero:
            checkpoint = trainer._checkpoint_connector.dump_checkpoint(weights_only=False)  # noqa: SLF001
            trainer.strategy.checkpoint_io.save_checkpoint(checkpoint, filepath)

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Mend what Lightning saves of a run that stops in mid-epoch."""
        if not self._stopping:
            return
        fit_loop = checkpoint["loops"]["fit_loop"]
        batches = fit_loop["epoch_loop.batch_progress"]
        ready, processed, completed = (batches["current"][key] for key in ("ready", "processed", "completed"))
        # a batch that was handed out but not finished is handed out again, and those whose gradients wait for a step
        ended = processed == ready and (batches["is_last_batch"] or ready == trainer.num_training_batches)
        kept = processed if ended else processed - processed % trainer.accumulate_grad_batches
        for loader in fit_loop["state_dict"].get("combined_loader", []):
            loader["served"] = kept
        if kept < ready:
            for counts in (batches["total"], batches["current"]):
                done = counts["processed"] - processed + kept
                counts |= {"ready": done + 1, "started": done + 1, "processed": done, "completed": done}
            batches["is_last_batch"] &= kept == processed
            last = batches["is_last_batch"] or kept + 1 == trainer.num_training_batches
            if last or (kept + 1) % trainer.accumulate_grad_batches == 0:
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

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """In mid-epoch, count what Lightning has behind it in batches of the size that they have now."""
        fit_loop = checkpoint["loops"]["fit_loop"]
        batches, datamodule = fit_loop["epoch_loop.batch_progress"], trainer.datamodule  # type: ignore[attr-defined]
        if batches["is_last_batch"] or datamodule is None:
            return
        for loader in fit_loop["state_dict"].get("combined_loader", []):
            served, _ = recount(loader, datamodule.batch_size)
            if served != loader["served"]:
                batches["current"] |= dict.fromkeys(batches["current"], served)


class TopCheckpoints(Checkpoint):
    """Keeps the weights of several good epochs, as ``epoch=3-val_mse=0.00153.ckpt``, within a bound of disk space.

    Args:
        dirpath: the folder.
        monitor: what decides, lower is better.
        keep: how many; 0 for none.
        disk_gb: bound of all checkpoints in the folder, in 10**9 bytes; None for none. The worst go first; the best,
            the last and the previous one always stay.

    Raises:
        ValueError: a negative number.
    """

    def __init__(self, dirpath: str | Path, monitor: str, keep: int = 0, disk_gb: float | None = None) -> None:
        if keep < 0 or (disk_gb is not None and not disk_gb > 0):
            raise ValueError(
                f"keep {keep} and disk_gb {disk_gb} are no bounds; give keep of 0 or more, disk_gb above 0"
            )
        self.dirpath = Path(dirpath)
        self.monitor = monitor
        self.keep = keep
        self.disk_gb = disk_gb
        self.scores: dict[str, float] = {}

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save when the epoch is among the best."""
        score = float(trainer.callback_metrics.get(self.monitor, math.nan))
        if trainer.state.fn != "fit" or trainer.sanity_checking or math.isnan(score) or not self.keep:
            return
        name = f"epoch={trainer.current_epoch}-{self.monitor.replace('/', '_')}={score:.5g}.ckpt"
        if len(self.scores) >= self.keep and score >= max(self.scores.values()):
            return
        self.scores[name] = score
        dropped = [self._drop_worst() for _ in range(len(self.scores) - self.keep)]
        trainer.save_checkpoint(self.dirpath / name)
        if trainer.is_global_zero:
            for other in dropped:
                (self.dirpath / other).unlink(missing_ok=True)
        while self.scores and trainer.strategy.reduce_boolean_decision(self._above_bound()):
            worst = self._drop_worst()
            if trainer.is_global_zero:
                (self.dirpath / worst).unlink(missing_ok=True)
                log.info("deleted %s: the checkpoints are above disk_gb=%g", worst, self.disk_gb)

    def state_dict(self) -> dict[str, Any]:
        return {"scores": dict(self.scores)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.scores = {name: score for name, score in state_dict["scores"].items() if (self.dirpath / name).is_file()}

    def _drop_worst(self) -> str:
        worst = max(self.scores, key=lambda name: self.scores[name])
        del self.scores[worst]
        return worst

    def _above_bound(self) -> bool:
        if self.disk_gb is None:
            return False
        files = {file.stat().st_ino: file.stat().st_size for file in self.dirpath.glob("*.ckpt")}
        return sum(files.values()) > self.disk_gb * 1e9


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

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Give each of several processes numbers of its own, by batch, so that none has to be saved."""
        if trainer.world_size > 1:
            seed = trainer.datamodule.seed if trainer.datamodule is not None else 0  # type: ignore[attr-defined]
            parts = (seed, trainer.current_epoch, batch_idx, trainer.global_rank)
            torch.manual_seed(int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:8], "big", signed=True))

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
