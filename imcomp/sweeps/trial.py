"""A run as one trial of an Optuna study: it reports each validation and stops where the pruner says so."""

import math
from collections.abc import Mapping
from typing import Any

import pytorch_lightning as pl
from optuna import TrialPruned, load_study
from optuna.pruners import BasePruner
from optuna.samplers import RandomSampler
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, Trial
from pytorch_lightning.callbacks import Callback

from hydra_plugins.hydra_study_sweeper import open_storage


class TrialReport(Callback):
    """Reports the study's objective at every validation to its storage, which it opens itself, and prunes.

    The sweeper says which trial it is; without a number it does nothing. In DDP the first process reports for all.
    Optuna prunes by one value alone: a trial of several objectives runs to its end, and so does one whose objective is
    a cost, which validation does not log.

    Args:
        monitor: what a study without ``objectives`` reports, by the name under which it is logged; step 1 is the first
            validation.
        storage: where the study is kept, see ``open_storage``.
        study: its name.
        number: the trial's.
        pruner: decides after every report.

    Raises:
        TrialPruned: while training, when the pruner says so.
        FloatingPointError: while training, when ``monitor`` is infinite or not a number.
    """

    def __init__(
        self,
        monitor: str,
        storage: str | None = None,
        study: str | None = None,
        number: int | None = None,
        pruner: Any = None,
    ) -> None:
        self.monitor = monitor
        self.storage = storage
        self.study = study
        self.number = number
        self.pruner: BasePruner | None = pruner
        self.validations = 0
        self._trial: Trial | None = None

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.number is None or trainer.state.fn != "fit" or trainer.sanity_checking:
            return
        self.validations += 1
        value = float(trainer.callback_metrics[self.monitor])
        if not math.isfinite(value):
            raise FloatingPointError(f"{self.monitor} is {value} after epoch {trainer.current_epoch}")
        prune = self._report(trainer.callback_metrics) if trainer.is_global_zero else False
        if trainer.strategy.broadcast(prune):
            raise TrialPruned(f"{self.monitor} {value:.6g} after validation {self.validations}")

    def state_dict(self) -> dict[str, Any]:
        return {"validations": self.validations}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.validations = state_dict["validations"]

    def _report(self, metrics: Mapping[str, Any]) -> bool:
        trial = self._trial = self._trial or self._open()
        objective, *others = trial.study.user_attrs.get("objectives", [self.monitor])
        if others or len(trial.study.directions) > 1 or objective not in metrics:
            return False
        # one that was killed between its report and its checkpoint validates once more
        if self.validations not in trial.storage.get_trial(trial._trial_id).intermediate_values:  # noqa: SLF001
            trial.report(float(metrics[objective]), self.validations)
        return trial.should_prune()

    def _open(self) -> Trial:
        assert self.storage is not None
        # a sampler that looks at nothing: what this trial tries was chosen before
        study = load_study(
            study_name=self.study, storage=open_storage(self.storage), sampler=RandomSampler(), pruner=self.pruner
        )
        trials = study.get_trials(deepcopy=False)
        own = trials[self.number or 0]
        study._storage = _WithoutReplaced(study._storage)  # type: ignore[assignment]  # noqa: SLF001
        trial = Trial(study, own._trial_id)  # noqa: SLF001  # Optuna's own workers make it so
        known, attempt = {*own.intermediate_values}, own.user_attrs.get("retry_of")
        while attempt is not None:  # from whose checkpoint this run went on
            for step, value in trials[attempt].intermediate_values.items():
                if step < self.validations and step not in known:
                    trial.report(value, step)
                    trial.should_prune()  # was answered then: a pruner with rungs notes each value at its own step
                    known.add(step)
            attempt = trials[attempt].user_attrs.get("retry_of")
        return trial


class _WithoutReplaced:
    """A storage without the attempts that another trial went on with.

    Pruners with rungs weigh a trial against all that reached the rung, however they ended: a run that goes on would
    compete with its own past, and every other run with it twice.
    """

    def __init__(self, storage: BaseStorage) -> None:
        self._storage = storage

    def __getattr__(self, name: str) -> Any:
        return getattr(self._storage, name)

    def get_all_trials(self, study_id: int, **options: Any) -> list[FrozenTrial]:
        trials = self._storage.get_all_trials(study_id, **options)
        return [trial for trial in trials if not trial.user_attrs.get("requeue")]
