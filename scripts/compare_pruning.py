"""Run one sweep twice at the same time, with and without pruning, and compare what each found in equal wall time.

    python scripts/compare_pruning.py SECONDS PRUNER [override ...]
    python scripts/compare_pruning.py report

The first trains on GTSRB with ``experiment=fast`` on a small share of the pictures, each arm with one thread, and
leaves its studies in ``outputs/sweeps/pruning-on`` and ``-off``. The second prints both, replays every pruner on the
curves of the trials that ran to their end, and draws ``docs/images/sweep.png``.
"""

import argparse
import os
import subprocess
import sys
from typing import Any

import matplotlib.pyplot as plt
import optuna
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from optuna.trial import TrialState

from hydra_plugins.hydra_study_sweeper import open_storage
from imcomp.cli import config_dir

ARMS = {"off": "none", "on": None}
SETTING = [
    *("experiment=fast", "trainer.max_epochs=9", "trainer.limit_train_batches=0.08", "trainer.limit_val_batches=0.06"),
    *("logger=csv", "callbacks.samples=null", "callbacks.early_stopping=null", "trainer.log_every_n_steps=100"),
    *("hydra.sweeper.n_trials=100000", "hydra.sweeper.sampler.seed=0"),
]


def study(arm: str) -> optuna.Study:
    """One arm's study."""
    name = f"pruning-{arm}"
    return optuna.load_study(study_name=name, storage=open_storage(f"outputs/sweeps/{name}/study.journal"))


def run(seconds: str, pruner: str, overrides: list[str]) -> None:
    """Run both arms."""
    processes = []
    for arm, fixed in ARMS.items():
        own = [f"hydra.sweeper.study_name=pruning-{arm}", f"hydra/sweeper/pruner={fixed or pruner}"]
        command = [
            sys.executable,
            "train.py",
            "-m",
            "sweep=optuna",
            *SETTING,
            *own,
            f"hydra.sweeper.max_time={seconds}",
        ]
        processes.append(subprocess.Popen([*command, *overrides], env={**os.environ, "OMP_NUM_THREADS": "1"}))
    for process in processes:
        process.wait()


def report() -> None:
    """Print and draw what both arms found."""
    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    for arm, name in (("off", "no pruning"), ("on", "pruning")):
        trials: list[Any] = [t for t in study(arm).trials if t.state in (TrialState.COMPLETE, TrialState.PRUNED)]
        begin = min(trial.datetime_start for trial in trials if trial.datetime_start)
        done = [trial for trial in trials if trial.state == TrialState.COMPLETE]
        best = min(done, key=lambda trial: trial.values[0])
        print(
            f"{name}: {len(trials)} trials, {len(done)} to their end, {sum(len(t.intermediate_values) for t in trials)}"
            f" validations; best {best.values[0]:.6f} in trial {best.number}: {best.params}"
        )
        minutes = [(trial.datetime_complete - begin).total_seconds() / 60 for trial in trials]
        ended = sorted(
            (minute, trial.values[0]) for minute, trial in zip(minutes, trials, strict=True) if trial in done
        )
        lowest = [min(value for _, value in ended[: number + 1]) for number in range(len(ended))]
        (line,) = axes.step(
            [*(minute for minute, _ in ended), max(minutes)], [*lowest, lowest[-1]], where="post",
            label=f"{name}: {len(trials)} trials, {len(done)} to their end",
        )  # fmt: skip
        axes.plot(*zip(*ended, strict=True), ".", color=line.get_color())
    axes.set(xlabel="minutes", ylabel="val/mse of each trial, and the lowest so far", ylim=(0.0025, 0.005))
    axes.legend()
    figure.savefig("docs/images/sweep.png", dpi=120)
    replay([trial for trial in study("off").trials if trial.state == TrialState.COMPLETE])


def replay(trials: list[Any]) -> None:
    """Let each pruner decide on the same curves, in the order in which they were run."""
    whole = sum(len(trial.intermediate_values) for trial in trials)
    lowest = min(trial.values[0] for trial in trials)
    for option in sorted((config_dir() / "hydra" / "sweeper" / "pruner").glob("*.yaml")):
        with initialize_config_dir(str(config_dir())):
            cfg = compose("train", ["sweep=optuna", f"hydra/sweeper/pruner={option.stem}"], return_hydra_config=True)
        pruner = instantiate(cfg.hydra.sweeper.pruner, _execution_whitelist_="optuna.pruners.*")
        again, paid, kept = optuna.create_study(pruner=pruner), 0, []
        for trial in trials:
            asked = again.ask(trial.distributions)
            pruned = False
            for step, value in trial.intermediate_values.items():
                paid += 1
                asked.report(value, step)
                if pruned := asked.should_prune():
                    break
            again.tell(asked, *((None, TrialState.PRUNED) if pruned else (trial.values,)))
            kept += [] if pruned else [trial.values[0]]
        print(
            f"replayed {option.stem}: {paid} of {whole} validations, {len(kept)} of {len(trials)} trials to their end,"
            f" best kept {min(kept, default=float('nan')):.6f} of {lowest:.6f}"
        )


def main() -> None:
    """Parse the command line, run or report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("seconds", help="of both arms, or `report`")
    parser.add_argument("pruner", nargs="?", help="an option of conf/hydra/sweeper/pruner")
    parser.add_argument("overrides", nargs="*", metavar="override")
    options = parser.parse_args()
    if options.seconds != "report" and not (options.seconds.isdecimal() and options.pruner):
        parser.error("give seconds and a pruner, such as 1260 successive_halving; or report alone")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    if options.seconds == "report":
        report()
    else:
        run(options.seconds, options.pruner, options.overrides)


if __name__ == "__main__":
    main()
