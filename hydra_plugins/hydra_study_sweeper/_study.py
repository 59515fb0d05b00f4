"""Begins a study or goes on with it, and what each of its workers does until no trial is left.

A worker asks for a trial, runs it as Hydra runs a job and tells what came of it. A trial that a signal or the end of
the time interrupts, or whose worker is killed, is failed and marked `requeue`; who asks next queues it again, and it
goes on in the same folder. What must happen once on all machines is settled by the order of trials in the storage.
"""

import gc
import logging
import os
import re
import signal
import socket
import sys
import threading
import time
import traceback
from _thread import interrupt_main
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import inf, isfinite, prod
from pathlib import Path
from typing import Any

import optuna
from filelock import FileLock, Timeout
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.core.utils import run_job
from hydra.errors import HydraException
from hydra.types import HydraContext, TaskFunction
from hydra.utils import get_method, instantiate
from hydra_plugins.hydra_optuna_sweeper._impl import OptunaSweeperImpl, create_params_from_overrides
from omegaconf import DictConfig, OmegaConf, open_dict
from optuna.distributions import BaseDistribution
from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
from optuna.trial import FrozenTrial, Trial, TrialState
from sqlalchemy.exc import DBAPIError

from hydra_plugins.hydra_study_sweeper import open_storage

log = logging.getLogger(__name__)

grid_of = OptunaSweeperImpl._to_grid_sampler_choices
TARGETS = ("optuna.*", "hydra_plugins.hydra_optuna_sweeper.*")  # what samplers and pruners are built from


def sweep(context: HydraContext, task: TaskFunction, config: DictConfig, arguments: list[str]) -> None:
    """Run trials until the study has ``n_trials``, or the time is up; a user's mistake raises HydraException."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)  # or it tells of each study, beside a mistake's one line
    options = config.hydra.sweeper
    if options.n_trials < 1 or options.n_jobs < 1 or not 0 <= options.max_failure_rate <= 1:
        raise HydraException("hydra.sweeper: give n_trials and n_jobs of at least 1, and max_failure_rate from 0 to 1")
    deadline = inf if options.max_time is None else time.time() + options.max_time
    searched, fixed = read_space([f"{key}={value}" for key, value in (options.params or {}).items()] + arguments)
    n_trials = options.n_trials
    if options.sampler._target_.endswith("GridSampler"):
        if endless := [key for key, values in searched.items() if getattr(values, "step", 1) is None]:
            raise HydraException(f"a grid over {endless[0]} has no end; give choice(...) or range(start,stop,step)")
        n_trials = min(n_trials, prod(len(grid_of(values)) for values in searched.values()))
    worker, study = Worker(task, context, config, searched, fixed, deadline, n_trials), join(options)
    if options.check:
        get_method(options.check)(study, searched, fixed, worker.compose)
    Path(config.hydra.sweep.dir).mkdir(parents=True, exist_ok=True)
    OmegaConf.save(config, Path(config.hydra.sweep.dir) / "multirun.yaml")
    log.info("study %s: %d of %d trials", options.study_name, sum(map(counts, study.trials)), n_trials)
    launch(worker, study)


def read_space(overrides: list[str]) -> tuple[dict[str, BaseDistribution], list[str]]:
    """Tell what is searched, by key, from the other overrides, as upstream's plugin does; the last of a key wins."""
    searched: dict[str, BaseDistribution] = {}
    fixed: dict[str, str] = {}
    for override in overrides:
        key = override.partition("=")[0]
        try:
            ranges, _, _ = create_params_from_overrides([override])
        except (ArithmeticError, AssertionError, NotImplementedError, TypeError, ValueError) as error:
            raise HydraException(f"cannot search {override}: {str(error) or 'no range of values'}") from error
        searched.pop(key, None)
        fixed.pop(key, None)
        searched.update(ranges)
        fixed.update({} if ranges else {key: override})
    if not searched:
        raise HydraException("there is nothing to search; give hydra.sweeper.params, or such as x='interval(0,1)'")
    return searched, [*fixed.values()]


def join(options: DictConfig, patience: float = 0.1) -> optuna.Study:
    """Make the study, or take the one of that name."""
    name, wanted = options.study_name, options.direction
    wanted = [str(one).rpartition(".")[2] for one in (wanted if OmegaConf.is_list(wanted) else [wanted])]
    try:
        storage = open_storage(options.storage)
        return optuna.create_study(study_name=name, storage=storage, directions=wanted, load_if_exists=True)
    except Exception as error:
        if patience < 2 and isinstance(error, (DBAPIError, StorageInternalError)):
            time.sleep(patience)  # several that start at once make a new database's tables at once
            return join(options, 2 * patience)
        where = re.sub(r"://([^:@/]*):[^@/]*@", r"://\1:***@", options.storage)
        reason = " ".join(str(error.__cause__ or error).partition("(Background on")[0].split())  # Optuna's says less
        raise HydraException(f"cannot open study {name} in {where}: {reason}") from error


def launch(worker: "Worker", study: optuna.Study) -> None:
    """Start workers through Hydra's launcher, and anew when one is killed and takes the others with it."""
    launcher = Plugins.instance().instantiate_launcher(worker.context, worker, worker.config)
    job = [*worker.fixed, "hydra.sweep.subdir=workers", "hydra.output_subdir=null"]
    begun = -1
    while begun < len(study.trials):
        begun = len(study.trials)
        try:
            for returned in launcher.launch([job] * worker.config.hydra.sweeper.n_jobs, initial_job_idx=0):
                _ = returned.return_value  # raises what the worker raised
            return
        except HydraException:
            raise
        except Exception as error:
            log.warning("workers ended in %s: %s", type(error).__name__, error)
    raise HydraException("workers ended before they began a trial; the log says why")


def counts(trial: FrozenTrial) -> bool:
    """Whether a trial is one of the study's ``n_trials``: not if another takes its place, or none was needed."""
    replaced = trial.user_attrs.get("requeue") or trial.user_attrs.get("surplus")
    return not (trial.state == TrialState.FAIL and replaced)


@dataclass
class Worker:
    """Stands where the launcher expects the task, and runs the task once a trial."""

    task: TaskFunction
    context: HydraContext
    config: DictConfig
    searched: dict[str, BaseDistribution]
    fixed: list[str]
    deadline: float
    n_trials: int

    def __call__(self, _: DictConfig) -> None:
        """Run trials until there are none."""
        options = self.config.hydra.sweeper
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that a trial is told as interrupted
        pruner = instantiate(options.pruner, _execution_whitelist_=TARGETS)  # the sampler looks at it
        study = optuna.load_study(study_name=options.study_name, storage=open_storage(options.storage), pruner=pruner)
        folder = Path(self.config.hydra.sweep.dir).resolve() / "workers"
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / f"{socket.gethostname()}-{os.getpid()}.lock") as life:  # until the process ends
            while trial := self.ask(study, life.lock_file):
                self.run(study, trial)

    def ask(self, study: optuna.Study, life: str) -> Trial | None:
        """Take the next trial; wait while others run the last ones, which may yet have to be run again."""
        options = self.config.hydra.sweeper
        while time.time() < self.deadline:
            with FileLock(Path(self.config.hydra.sweep.dir) / "ask.lock"):  # the workers of one machine in turn
                trials = self.tidy(study)
                failed = [trial for trial in trials if trial.state == TrialState.FAIL and counts(trial)]
                if len(failed) > options.max_failure_rate * self.n_trials:
                    raise HydraException(
                        f"{len(failed)} of {self.n_trials} trials failed, more than max_failure_rate="
                        f"{options.max_failure_rate} allows; the last: {failed[-1].user_attrs.get('reason')}"
                    )
                states = {trial.state for trial in trials}
                if TrialState.WAITING in states or sum(map(counts, trials)) < self.n_trials:
                    study.sampler = self.sampler(len(trials))
                    trial = study.ask()
                    trial.set_user_attr("worker", {"host": socket.gethostname(), "life": life})
                    if self.is_needed(study, trial):
                        return trial
                    trial.set_user_attr("surplus", value=True)
                    study.tell(trial, state=TrialState.FAIL)
                elif TrialState.RUNNING not in states:
                    break
            time.sleep(min(1.0, options.heartbeat))
        return None

    def tidy(self, study: optuna.Study) -> list[FrozenTrial]:
        """Fail the trials of dead workers, and queue what is to be run again; return all trials."""
        options, storage = self.config.hydra.sweeper, study._storage
        for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            if is_dead(trial, 4 * options.heartbeat):
                deaths = trial.user_attrs.get("deaths", 0) + 1
                told = {"reason": "its worker died", "deaths": deaths, "requeue": deaths <= options.max_deaths}
                try:
                    for key, value in told.items():
                        storage.set_trial_user_attr(trial._trial_id, key, value)
                    storage.set_trial_state_values(trial._trial_id, TrialState.FAIL)
                    log.warning("trial %d: its worker died", trial.number)
                except UpdateFinishedTrialError:
                    pass  # another worker was first
        trials = study.get_trials(deepcopy=False)
        queued = {trial.user_attrs.get("retry_of") for trial in trials}
        for trial in trials:
            told = trial.user_attrs
            if trial.state == TrialState.FAIL and told.get("requeue") and trial.number not in queued:
                carried = {"folder": told.get("folder", str(trial.number)), "deaths": told.get("deaths", 0)}
                study.enqueue_trial(trial.params, user_attrs={"retry_of": trial.number, **carried})
        return study.get_trials(deepcopy=False)

    def is_needed(self, study: optuna.Study, trial: Trial) -> bool:
        """Whether no trial before it takes its place: machines that share no files may queue and ask at once."""
        earlier = study.get_trials(deepcopy=False)[: trial.number]
        original = trial.user_attrs.get("retry_of")
        twice = original is not None and any(other.user_attrs.get("retry_of") == original for other in earlier)
        return not twice and sum(map(counts, earlier)) < self.n_trials

    def sampler(self, trials: int) -> Any:
        """Make the sampler for the next trial, which draws other numbers than for any trial before."""
        node = self.config.hydra.sweeper.sampler
        seeded = node.get("seed") is not None and not node._target_.endswith("QMCSampler")  # a sequence, with one seed
        made = instantiate(node, **({"seed": node.seed + trials} if seeded else {}), _execution_whitelist_=TARGETS)
        if not isinstance(made, optuna.samplers.BaseSampler):  # GridSampler, which wants the grid
            made = made({key: grid_of(values) for key, values in self.searched.items()})
        return made

    def run(self, study: optuna.Study, trial: Trial) -> None:
        """Run one trial, and store what came of it."""
        stopped = None
        try:
            with signs_of_life(trial, self.config.hydra.sweeper.heartbeat, self.deadline):
                result = self.run_job(trial)
        except (KeyboardInterrupt, SystemExit) as stop:
            signal.signal(signal.SIGINT, signal.default_int_handler)  # Lightning leaves it ignored
            result = stopped = stop
        gc.collect()  # or the next trial finds the memory of this one taken
        values = [*result] if isinstance(result, (list, tuple)) else [result]
        state, reason = TrialState.FAIL, f"it returned {result}, expected {len(study.directions)} numbers"
        if isinstance(result, BaseException):
            state = TrialState.PRUNED if isinstance(result, optuna.TrialPruned) else TrialState.FAIL
            reason = "interrupted" if stopped else " ".join(f"{type(result).__name__}: {result}".split())
        elif len(values) == len(study.directions) and all(isinstance(v, (int, float)) and isfinite(v) for v in values):
            state, reason = TrialState.COMPLETE, ", ".join(map("{:.6g}".format, values))
        try:
            if state != TrialState.COMPLETE:
                trial.set_user_attr("reason", reason[:1000])
                trial.set_user_attr("requeue", stopped is not None)
            study.tell(trial, values if state == TrialState.COMPLETE else None, state)
        except RuntimeError as error:  # of Optuna's grid, which would stop a loop of its own, or
            if isinstance(error, UpdateFinishedTrialError):
                stopped, reason = None, "taken for dead, and another worker's now"
        log.info("trial %d: %s %s", trial.number, state.name.lower(), reason)
        if stopped and time.time() < self.deadline:
            raise stopped

    def run_job(self, trial: Trial) -> Any:
        """Run the task on the trial's config; return what it returned or, unless it was interrupted, raised."""
        options = self.config.hydra.sweeper
        for key, space in self.searched.items():
            trial._suggest(key, space)
        config = self.compose(trial.params)
        folder = trial.user_attrs.get("folder", str(trial.number))
        trial.set_user_attr("folder", folder)
        trial.set_user_attr("overrides", OmegaConf.to_container(config.hydra.overrides.task))
        with open_dict(config):
            config.hydra.job.id = f"{options.study_name}-{trial.number}"
            config.hydra.job.num = trial.number
            config.hydra.sweep.subdir = folder
            if options.identity:
                identity = {"storage": options.storage, "study": options.study_name, "number": trial.number}
                OmegaConf.update(config, options.identity, {**identity, "pruner": options.pruner})
            last = Path(config.hydra.sweep.dir) / folder / (options.resume_file or "")
            if options.resume_key and last.is_file():
                OmegaConf.update(config, options.resume_key, str(last))

        def job(cfg: DictConfig) -> Any:
            try:
                return self.task(cfg)
            except SystemExit as stop:
                if stop.code in (130, 138, 143):  # after SIGINT, SIGUSR1 and SIGTERM, as shells have it
                    raise
                return stop
            except Exception as error:  # a result as well; Hydra would log every pruned trial as an error
                text = "".join(traceback.format_exception(error))
                (Path(HydraConfig.get().runtime.output_dir) / "ended_by.txt").write_text(text, encoding="utf-8")
                return error.with_traceback(None)

        return run_job(job, config, "hydra.sweep.dir", "hydra.sweep.subdir", self.context).return_value

    def compose(self, params: dict[str, Any]) -> DictConfig:
        """Compose a job's config, with the node `hydra`."""
        overrides = [*self.fixed, *(f"{key}={value}" for key, value in params.items())]
        return self.context.config_loader.load_sweep_config(self.config, overrides)


def is_dead(trial: FrozenTrial, patience: float) -> bool:
    """Whether a running trial's worker is gone: seen at once on its machine, after ``patience`` seconds on others."""
    worker = trial.user_attrs.get("worker", {})
    if worker.get("host") == socket.gethostname() and Path(worker["life"]).exists():
        try:
            with FileLock(worker["life"], timeout=0):
                return True
        except Timeout:
            return False
    started = trial.datetime_start.timestamp() if trial.datetime_start else 0.0
    return bool(time.time() - trial.user_attrs.get("alive", started) > patience)


@contextmanager
def signs_of_life(trial: Trial, interval: float, deadline: float) -> Iterator[None]:
    """Say every so often that the worker lives; interrupt it when the time is up or its trial was taken away."""
    done = threading.Event()

    def beat() -> None:
        while not done.wait(max(0.0, min(interval, deadline - time.time()))):
            try:
                trial.set_user_attr("alive", time.time())
                if time.time() < deadline:
                    continue
            except UpdateFinishedTrialError:
                pass
            except Exception:  # the storage is away for a moment: the next sign may get through
                log.warning("trial %d: no sign of life could be given", trial.number, exc_info=True)
                continue
            if not done.is_set():
                interrupt_main()
            break

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
