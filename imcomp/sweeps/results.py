"""A study's best trials: as a table, and as an experiment that trains the winner again."""

import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import optuna
import yaml
from optuna.trial import FrozenTrial, TrialState
from rich.console import Console
from rich.table import Table

from hydra_plugins.hydra_study_sweeper import open_storage
from imcomp.files import write_text
from imcomp.report import program

SHOWN = 10
"""Trials in the table."""


def load(name: str, storage: str) -> optuna.Study | None:
    """Open a study; None where there is none of that name."""
    if "://" not in storage and not Path(storage).is_file():
        return None
    try:
        return optuna.load_study(study_name=name, storage=open_storage(storage))
    except Exception:  # noqa: BLE001  # of many kinds, and told by the sweep
        return None


def best_trials(study: optuna.Study) -> list[FrozenTrial]:
    """Completed trials, the best first; of several objectives, those that no other beats in all, by the first."""
    several = len(study.directions) > 1
    trials = study.best_trials if several else study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    sign = 1 if study.directions[0] == optuna.study.StudyDirection.MINIMIZE else -1
    return sorted(trials, key=lambda trial: sign * trial.values[0])


def write_best(
    folder: Path,
    study: optuna.Study,
    trial: FrozenTrial,
    names: Sequence[str],
    changes: Mapping[str, Any],
    choices: Mapping[str, str],
) -> Path:
    """Write ``experiment/best.yaml``: `train.py --config-dir FOLDER experiment=best` trains the winner again.

    Args:
        folder: the study's.
        study: it.
        trial: its best.
        names: of the objectives.
        changes: values that the winner has in place of the default ones, as nested dicts.
        choices: options that it has in place of the default ones, by group.
    """
    values = ", ".join(f"{name} {value:.6g}" for name, value in zip(names, trial.values, strict=True))
    head = f"# @package _global_\n# trial {trial.number} of the study {study.study_name}: {values}\n"
    content: dict[str, Any] = {}
    if choices:
        content["defaults"] = [{f"override /{group}": option} for group, option in choices.items()]
    path = folder / "experiment" / "best.yaml"
    write_text(path, head + yaml.safe_dump({**content, **changes}, sort_keys=False, allow_unicode=True))
    return path


def report(study: optuna.Study, best: Sequence[FrozenTrial], names: Sequence[str], folder: Path, storage: str) -> None:
    """Print the best trials, what became of the others, and what to type next."""
    console = Console(highlight=False, soft_wrap=True, markup=False)
    if best:
        table = Table()
        for title in ("trial", *names):
            table.add_column(title, no_wrap=True)
        table.add_column("parameters")
        for trial in best[:SHOWN]:
            values = [f"{value:.6g}" for value in trial.values]
            parameters = " ".join(f"{key}={_short(value)}" for key, value in trial.params.items())
            table.add_row(str(trial.number), *values, parameters)
        console.print(table)
    counted: dict[str, int] = {}
    failed = []
    for trial in study.get_trials(deepcopy=False):
        state = trial.state.name.lower()
        if trial.state == TrialState.FAIL:
            if trial.user_attrs.get("surplus"):
                continue
            if trial.user_attrs.get("requeue"):
                state = "run again"
            else:
                failed.append(trial)
        counted[state] = counted.get(state, 0) + 1
    console.print(f"study {study.study_name}: " + ", ".join(f"{count} {state}" for state, count in counted.items()))
    for trial in failed[-SHOWN:]:
        console.print(f"trial {trial.number}: {trial.user_attrs.get('reason')}")
    place = shlex.quote(str(folder))
    if best:
        console.print(f"retrain:  {program('train')} --config-dir {place} experiment=best")
    console.print(f"plots:    {place}/plots/history.html and beside it")
    console.print(f"watch:    tensorboard --logdir {place}")
    hidden = re.sub(r"://([^:@/]*):[^@/]*@", r"://\1:PASSWORD@", storage)
    console.print(f"browse:   optuna-dashboard {shlex.quote(hidden)}")


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
