"""What Hydra calls when a sweep ends, by itself or by Ctrl-C."""

from pathlib import Path
from typing import Any

from filelock import FileLock
from hydra.core.global_hydra import GlobalHydra
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf


class StudySummary(Callback):
    """Prints the best trials and writes ``best.yaml``, plots and TensorBoard's HParams into the study's folder."""

    def on_multirun_end(self, config: DictConfig, config_name: str | None = None, **_: Any) -> None:
        # late: Hydra builds this before it is known whether there is anything to run
        from imcomp.sweeps.plots import write_hparams, write_plots
        from imcomp.sweeps.results import best_trials, load, report, write_best

        options, folder = config.hydra.sweeper, Path(config.hydra.sweep.dir)
        study = load(options.study_name, options.storage)
        if study is None or not study.trials:
            return
        names = [str(name) for name in config.objectives]
        best = best_trials(study)
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / "summary.lock"):  # workers that were started from several shells end together
            if best:
                changes, choices = changes_of(best[0].user_attrs["overrides"], config_name)
                write_best(folder, study, best[0], names, changes, choices)
            write_plots(study, names, folder / "plots")
            write_hparams(study, names, folder / "tensorboard")
        report(study, best, names, folder, options.storage)


def changes_of(overrides: list[str], config_name: str | None) -> tuple[dict[str, Any], dict[str, str]]:
    """Say what overrides change in the config, apart from what the sweep itself does.

    Args:
        overrides: a trial's, its parameters among them.
        config_name: the primary config.

    Returns:
        The changed values as nested dicts, and the options chosen in place of the default ones, by group.
    """
    chosen = _load(config_name, overrides)
    default = _load(config_name, [])
    own = ("hydra", "experiment", "sweep", "debug")
    before, now = default.hydra.runtime.choices, chosen.hydra.runtime.choices
    other = {group for group, option in now.items() if option not in (None, before.get(group))}
    choices = {
        group: option
        for group, option in now.items()
        # another network brings along a schedule of its own, so that the default one is a choice
        if option is not None and other & {group, group.rpartition("/")[0]} and group.partition("/")[0] not in own
    }
    groups = [f"{group}={option}" for group, option in choices.items()]
    sweep = chosen.hydra.runtime.choices.get("sweep")
    base = _load(config_name, [*groups, *([f"sweep={sweep}"] if sweep else [])])
    for config in (chosen, base):
        del config["hydra"]
        del config["paths"]
    changed: Any = _difference(OmegaConf.to_container(chosen), OmegaConf.to_container(base))
    return changed, choices


def _load(config_name: str | None, overrides: list[str]) -> DictConfig:
    loader = GlobalHydra.instance().config_loader()
    config = loader.load_configuration(config_name, overrides, RunMode.RUN)
    OmegaConf.set_readonly(config, value=False)
    OmegaConf.set_struct(config, value=False)
    return config


def _difference(new: Any, old: Any) -> Any:
    """The values of ``new`` that ``old`` has not, in the same nesting; None for a key that ``old`` alone has."""
    changed = dict.fromkeys(key for key in old if key not in new)
    for key, value in new.items():
        before = old.get(key)
        if isinstance(value, dict) and isinstance(before, dict):
            if inner := _difference(value, before):
                changed[key] = inner
        elif key not in old or value != before:
            changed[key] = value
    return changed
