"""A small application of the plugin's own, which knows nothing of imcomp."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import hydra
import optuna
import pytest
from hydra.core.global_hydra import GlobalHydra

from hydra_plugins.hydra_study_sweeper import open_storage

CONFIG = """
defaults:
  - _self_
  - override hydra/sweeper: study
x: 0.0
other: 1
seconds: 0.0
resume: null
trial: {storage: null, study: null, number: null, pruner: null}
hydra:
  output_subdir: null
  job: {chdir: false}
  job_logging: {disable_existing_loggers: false}
  sweep: {dir: sweep, subdir: "${hydra.job.num}"}
  sweeper:
    n_trials: 6
    heartbeat: 0.2
    identity: trial
    resume_key: resume
    resume_file: last.txt
    params: {x: "interval(0.0, 1.0)"}
"""


@pytest.fixture
def app(tmp_path, monkeypatch):
    """Sweep a task in this process: ``app(task, "hydra.sweeper.n_trials=3")`` returns the study."""
    write_config(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")

    def sweep(task, *overrides, name="default", storage="sweep/study.journal"):
        monkeypatch.setattr(sys, "argv", ["app", "-m", f"hydra.sweeper.storage={storage}", *overrides])
        GlobalHydra.instance().clear()
        try:
            hydra.main(config_path=str(tmp_path / "conf"), config_name="config")(task)()
        finally:
            GlobalHydra.instance().clear()
        return study(name, storage)

    return sweep


@pytest.fixture(autouse=True)
def as_it_was():
    before = optuna.logging.get_verbosity(), signal.getsignal(signal.SIGTERM)
    yield
    optuna.logging.set_verbosity(before[0])
    signal.signal(signal.SIGTERM, before[1])


def write_config(folder):
    (folder / "conf").mkdir()
    (folder / "conf" / "config.yaml").write_text(CONFIG)


@pytest.fixture
def start(tmp_path):
    """Start the program as from a shell, in a folder that all its processes share: ``start("hydra.sweeper.n_jobs=2")``.

    Those that still run at the end of the test are killed.
    """
    write_config(tmp_path)
    processes = []

    def started(*overrides):
        command = [sys.executable, Path(__file__).with_name("app.py"), "--config-dir", tmp_path / "conf", "-m"]
        with (tmp_path / f"log{len(processes)}.txt").open("w") as log:
            environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"}
            process = subprocess.Popen(
                [*map(str, command), *overrides], cwd=tmp_path, env=environment, stdout=log, stderr=subprocess.STDOUT
            )
        processes.append(process)
        return process

    yield started
    for process in processes:
        if process.poll() is None:
            process.kill()
        process.wait()


def study(name="default", storage="sweep/study.journal"):
    return optuna.load_study(study_name=name, storage=open_storage(storage))
