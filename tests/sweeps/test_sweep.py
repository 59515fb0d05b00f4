"""``train.py -m`` as people type it, from the first trial to the retrained winner."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import optuna
import pytest
from hydra.core.hydra_config import HydraConfig

from hydra_plugins.hydra_study_sweeper import open_storage

ROOT = Path(__file__).parents[2]
SMALL = ["debug=fast", "data.size=32", "mask.size=8", "trainer=cpu", "model.channels=[4,8]", "perf=plain"]


@pytest.fixture
def runs(monkeypatch):
    """What each run of a sweep was given; it is not trained, and its val/mse is its learning rate."""
    given = []

    def trained(cfg):
        given.append([*HydraConfig.get().overrides.task])
        if cfg.model.lr == 0.013:
            raise MemoryError("CUDA out of memory")
        return {"val/mse": cfg.model.lr, "params": 10.0, "latency": 2.0}

    monkeypatch.setattr("imcomp.training.train", trained)
    return given


def study(name="default", folder="outputs/sweeps/default"):
    return optuna.load_study(study_name=name, storage=open_storage(f"{folder}/study.journal"))


def test_m_alone_is_the_default_study(command, runs):
    code, out, err = command("train", "-m", "hydra.sweeper.n_trials=2")
    assert code == 0, err
    assert "study default: 2 complete" in out
    space = {"model.lr", "model.weight_decay", "model/scheduler", "data.batch_size", "model.channels"}
    space |= {"++loss.l1.weight", "++loss.gradient.weight"}
    assert all({*trial.params} == space for trial in study().trials)
    assert study().trials[0].distributions["model.lr"].log
    code, out, _ = command("train", "-m", "hydra.sweeper.n_trials=3")  # goes on
    assert "study default: 3 complete" in out
    assert len(runs) == 3


def test_a_grid_is_hydras_own(command, runs, tmp_path):
    code, _, err = command("train", "-m", "seed=1,2", "model.lr=0.3,0.4")
    assert code == 0, err
    assert runs == [[f"seed={seed}", f"model.lr={lr}"] for seed in (1, 2) for lr in (0.3, 0.4)]
    assert not (tmp_path / "outputs" / "sweeps").exists()


def test_every_key_can_be_searched_in_hydras_syntax(command, runs):
    own = ["model.lr=tag(log, interval(1e-5, 1e-2))", "seed=range(1,4)", "model/scheduler=constant"]
    code, _, err = command("train", "-m", "sweep=optuna", "sweep/width=none", "hydra.sweeper.n_trials=2", *own)
    assert code == 0, err
    trial = study().trials[0]
    assert {"model.lr", "model.weight_decay", "data.batch_size", "seed"} < {*trial.params}
    assert not {"model/scheduler", "model.channels"} & {*trial.params}
    assert (trial.distributions["model.lr"].low, trial.distributions["seed"].high) == (1e-5, 3)
    assert "model/scheduler=constant" in runs[0]


@pytest.mark.parametrize("objective", ["params", "latency"])
def test_two_objectives_have_a_front(command, runs, objective):
    directions = "hydra.sweeper.direction=[minimize,minimize]"
    code, out, err = command("train", "-m", f"objectives=[val/mse,{objective}]", directions, "hydra.sweeper.n_trials=2")
    assert code == 0, err
    assert [trial.values[1] for trial in study().trials] == [10.0 if objective == "params" else 2.0] * 2
    assert Path("outputs/sweeps/default/plots/pareto_front.html").is_file()
    assert "retrain:" in out


def test_a_trial_that_runs_out_of_memory_is_told_at_the_end(command, runs):
    space = ["sweep/width=none", "model.lr=choice(0.013,0.01)", "hydra/sweeper/sampler=grid", "data.batch_size=8"]
    fixed = [
        "loss.l1=0",
        "loss.gradient=0",
        "model.weight_decay=0",
        "model/scheduler=constant",
        "hydra.sweeper.max_failure_rate=0.5",
    ]
    code, out, err = command("train", "-m", "sweep=optuna", *space, *fixed, "hydra.sweeper.n_trials=2")
    assert code == 0, err
    assert "1 complete, 1 fail" in out.replace("1 fail, 1 complete", "1 complete, 1 fail")
    assert "MemoryError: CUDA out of memory" in out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["model.lrr=interval(0,1)"], "unknown key model.lrr; did you mean model.lr?"),
        (["model.lr=interval(1,0)"], "cannot search model.lr=interval(1,0)"),
        (["sweep=optuna", "model.lr=choice(0.1,fast)"], "model.lr=fast is a str; expected float"),
        (["sweep=optuna", "data.size=choice(256,250)"], "data.size=250 is not a multiple of 16"),
        (["hydra.sweeper.n_trails=5"], "unknown key hydra.sweeper.n_trails; did you mean hydra.sweeper.n_trials?"),
        (["seed=1,2", "hydra.sweeper.n_trials=5"], "give sweep=optuna"),
        (["hydra.sweeper.n_trials=many"], "could not be converted to Integer"),
        (["model=fast,unet", "sweep=optuna"], "give sweep/width=none"),
        (["objectives=[val/mse,params]"], "give hydra.sweeper.direction=[minimize,...]"),
        (["hydra.sweeper.storage=nonsense://x"], "cannot open study default in nonsense://x"),
        (["sweep=optnua"], "sweep=optnua is unknown; did you mean optuna?"),
    ],
)
def test_a_mistake_ends_in_one_line_before_the_first_trial(command, runs, arguments, words):
    code, out, err = command("train", "-m", *arguments)
    assert code == 2
    assert words in err
    assert err.count("\n") == 1
    assert runs == []
    assert "retrain" not in out


def test_a_sweep_prunes_shares_the_cache_and_its_winner_can_be_trained_again(command, tmp_path, monkeypatch):
    monkeypatch.setenv("IMCOMP_CACHE", str(tmp_path / "cache"))
    options = ["hydra.sweeper.n_trials=3", "hydra.sweeper.sampler.seed=0", "hydra.sweeper.pruner.n_startup_trials=1"]
    code, out, err = command("train", "-m", *SMALL, *options)
    assert code == 0, err
    trials = study().trials
    assert {trial.state.name for trial in trials} <= {"COMPLETE", "PRUNED"}
    assert all(trial.intermediate_values for trial in trials)
    assert len([*(tmp_path / "cache").glob("*.pictures")]) == 1
    assert not any("test/" in path.read_text() for path in tmp_path.glob("outputs/sweeps/default/*/metrics.json"))
    assert "val/mse=" not in out  # of each run the sweep tells one line
    code, _, err = command(
        "train", "--config-dir", "outputs/sweeps/default", "experiment=best", "callbacks.progress=null"
    )
    assert code == 0, err
    metrics = json.loads((tmp_path / "outputs" / "latest" / "metrics.json").read_text())
    assert metrics["val/mse"] == study().best_value


@pytest.mark.slow
@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_an_interrupted_trial_goes_on_from_its_checkpoint(tmp_path, stop):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    long = [*SMALL, "trainer.max_epochs=40", "hydra.sweeper.n_trials=1", "callbacks.early_stopping=null"]
    line = [sys.executable, str(ROOT / "train.py"), "-m", *long]

    def reported():
        file = tmp_path / "outputs/sweeps/default/study.journal"
        trials = study(folder=str(file.parent)).trials if file.is_file() and file.stat().st_size else []
        return len(trials[0].intermediate_values) if trials else 0

    with subprocess.Popen(line, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True) as first:
        ends = time.monotonic() + 90
        while not (tmp_path / "outputs/sweeps/default/study.journal").is_file() or reported() < 3:
            assert time.monotonic() < ends
            assert first.poll() is None
            time.sleep(0.2)
        first.send_signal(stop)
        out, _ = first.communicate(timeout=60)
    assert first.returncode == 128 + stop
    assert "1 run again" in out  # the summary is printed on Ctrl-C as well
    second = subprocess.run(line, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert "1 run again, 1 complete" in second.stdout
    before, after = study(folder=str(tmp_path / "outputs/sweeps/default")).trials
    assert [*after.intermediate_values] == [*range(1, 41)]
    shared = before.intermediate_values.keys() & after.intermediate_values.keys()
    assert {step: after.intermediate_values[step] for step in shared} == before.intermediate_values
    log = (tmp_path / "outputs/sweeps/default/0/train.log").read_text()
    assert "stopped in epoch" in log
