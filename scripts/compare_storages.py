"""Measure what survives several processes better as a study's storage, Optuna's journal or SQLite.

    python scripts/compare_storages.py [PROCESSES] [TRIALS]

So many processes ask, report ten values and tell at once,
with nothing else to do, as fast as the storage lets them.
"""

import argparse
import tempfile
import time
from multiprocessing import get_context
from pathlib import Path

import optuna

from hydra_plugins.hydra_study_sweeper import open_storage

REPORTS = 10


def work(storage: str, trials: int, number: int) -> tuple[int, float, list[str]]:
    """Run trials; return how many were told, the slowest one's seconds and what was raised."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.load_study(
        study_name="s", storage=open_storage(storage), sampler=optuna.samplers.RandomSampler(seed=number)
    )
    told, slowest, raised = 0, 0.0, []
    for _ in range(trials):
        started = time.perf_counter()
        try:
            trial = study.ask({"x": optuna.distributions.FloatDistribution(0, 1)})
            for step in range(REPORTS):
                trial.report(trial.params["x"], step)
            study.tell(trial, trial.params["x"])
            told += 1
        except Exception as error:  # noqa: BLE001  # which is what is measured
            raised.append(f"{type(error).__name__}: {str(error).splitlines()[0]}")
        slowest = max(slowest, time.perf_counter() - started)
    return told, slowest, raised


def main() -> None:
    """Print one line for each storage."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("processes", nargs="?", type=int, default=8)
    parser.add_argument("trials", nargs="?", type=int, default=25, help="of each process")
    options = parser.parse_args()
    processes, trials = options.processes, options.trials
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    print(f"{processes} processes, {trials} trials each, {REPORTS} reports a trial")
    with tempfile.TemporaryDirectory() as folder:
        for name, storage in (("journal", f"{folder}/s.journal"), ("SQLite", f"sqlite:///{folder}/s.sqlite")):
            optuna.create_study(study_name="s", storage=open_storage(storage))
            with get_context("spawn").Pool(processes) as pool:
                pool.starmap(abs, [(1,)] * processes)  # the processes are up
                started = time.perf_counter()
                results = pool.starmap(work, [(storage, trials, number) for number in range(processes)], chunksize=1)
                seconds = time.perf_counter() - started
            study = optuna.load_study(study_name="s", storage=open_storage(storage))
            complete = sum(trial.state.is_finished() for trial in study.trials)
            numbers = [trial.number for trial in study.trials]
            raised = [error for _, _, errors in results for error in errors]
            size = Path(storage.removeprefix("sqlite:///")).stat().st_size / 1e6
            print(
                f"{name:8s} {complete} of {processes * trials} trials, {complete / seconds:.1f} trials/s, the slowest"
                f" {max(slowest for _, slowest, _ in results):.2f} s, {size:.2f} MB, numbers"
                f" {'in order' if numbers == [*range(len(numbers))] else 'NOT in order'}, {len(raised)} errors"
                + (f" such as {raised[0]}" if raised else "")
            )


if __name__ == "__main__":
    main()
