"""The sweeper ``hydra/sweeper=study``: what can be configured."""

from dataclasses import dataclass, field
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from hydra_plugins.hydra_optuna_sweeper import config as _samplers  # noqa: F401  # the group hydra/sweeper/sampler
from omegaconf import MISSING, DictConfig


@dataclass
class StudySweeperConf:
    """The options, with upstream's names where they mean the same."""

    _target_: str = "hydra_plugins.hydra_study_sweeper.study_sweeper.StudySweeper"
    defaults: list[Any] = field(default_factory=lambda: ["_self_", {"sampler": "tpe"}, {"optional pruner": "median"}])
    sampler: Any = MISSING
    pruner: Any = field(default_factory=lambda: {"_target_": "optuna.pruners.MedianPruner"})
    direction: Any = "minimize"  # or maximize, or a list of them for several objectives
    storage: str = "${hydra.sweep.dir}/study.journal"  # a file, or a URL such as postgresql://user@host/database
    study_name: str = "default"
    n_trials: int = 20  # of the whole study: those of earlier starts and of other workers count
    n_jobs: int = 1  # workers that the launcher starts; any number of further ones join by the same command
    max_failure_rate: float = 0.0  # of n_trials; more failed ones end the sweep
    max_time: float | None = None  # seconds of this start; what then runs is gone on with at the next
    max_deaths: int = 3  # a trial whose workers died more often is not run again
    heartbeat: float = 30.0  # seconds between signs of life; a worker that misses four counts as dead
    identity: str | None = None  # where in a job's config to write storage, study, number and pruner
    resume_key: str | None = None  # the key of a job's config for a checkpoint to go on from,
    resume_file: str | None = None  # and where in its folder a job keeps one
    check: str | None = None  # a function of study, space, fixed overrides and how to compose a job's config: it raises
    params: dict[str, str] | None = None


class StudySweeper(Sweeper):
    """Has the launcher start workers, each of which asks the study for its trials itself."""

    def __init__(self, **options: Any) -> None:
        self.given: tuple[Any, Any, Any] = (None, None, None)

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.given = (hydra_context, task_function, config)

    def sweep(self, arguments: list[str]) -> None:
        from hydra_plugins.hydra_study_sweeper._study import sweep  # late: Optuna takes half a second

        sweep(*self.given, arguments)


ConfigStore.instance().store("study", StudySweeperConf, group="hydra/sweeper", provider="study_sweeper")
