"""Sweeps on clusters: every trial of a sweep comes back, and one that a cluster takes away goes on."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from imcomp.cli import config_dir

ROOT = Path(__file__).parents[1]
FAKE_SLURM = Path(__file__).with_name("fake_slurm.py")
SMALL = ["debug=fast", "data.size=32", "mask.size=8", "model.channels=[4,8]", "trainer=cpu", "callbacks.progress=null"]
SWEEP = ["-m", "model.lr=1e-3,3e-4", *SMALL]


def launcher(name, *overrides):
    with initialize_config_dir(str(config_dir())):
        cfg = compose("train", [f"hydra/launcher={name}", *overrides], return_hydra_config=True)
    return cfg.hydra.launcher


def start(*arguments, cwd, **environment):
    return subprocess.Popen(
        [sys.executable, str(ROOT / "train.py"), *arguments],
        cwd=cwd,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def slurm_commands(folder):
    """SLURM's commands, of a SLURM on this machine: the environment in which they are found."""
    commands = folder / "bin"
    commands.mkdir(parents=True)
    for name in ("sbatch", "srun", "sacct", "scontrol"):
        command = commands / name
        command.write_text(f'#!/bin/sh\nexec {sys.executable} {FAKE_SLURM} {name} "$@"\n')
        command.chmod(0o755)
    return {"FAKE_SLURM": str(folder), "PATH": f"{commands}{os.pathsep}{os.environ['PATH']}"}


def trials(folder):
    """The metrics of each trial of the only sweep."""
    files = sorted(folder.glob("outputs/multirun/*/*/metrics.json"))
    return {file.parent.name: json.loads(file.read_text()) for file in files}


def test_a_trial_on_slurm_has_a_gpu_and_is_queued_again():
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher", reason="SLURM: pip install 'imcomp[cluster]'")

    slurm = launcher("slurm", "hydra.launcher.partition=gpu", "hydra.launcher.timeout_min=60")

    assert slurm._target_.endswith("SlurmLauncher")
    assert (slurm.gpus_per_node, slurm.partition, slurm.timeout_min) == (1, "gpu", 60)
    assert slurm.max_num_timeout >= 1
    assert slurm.additional_parameters.requeue


def test_a_trial_on_ray_may_have_a_gpu_of_its_own():
    pytest.importorskip("hydra_plugins.hydra_ray_launcher", reason="Ray: pip install 'imcomp[ray]'")

    ray = launcher("ray", "hydra.launcher.ray.remote.num_gpus=1").ray

    assert ray.remote == {"num_cpus": 1, "num_gpus": 1, "max_retries": 3}


@pytest.mark.slow
def test_a_sweep_runs_on_this_machine_through_submitit(tmp_path):
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher", reason="SLURM: pip install 'imcomp[cluster]'")

    process = start(*SWEEP, "hydra/launcher=submitit_local", cwd=tmp_path)
    _, errors = process.communicate(timeout=300)

    assert process.returncode == 0, errors
    found = trials(tmp_path)
    assert sorted(found) == ["0", "1"]
    assert found["0"]["val/mse"] != found["1"]["val/mse"]


@pytest.mark.slow
def test_a_sweep_is_one_slurm_array_and_a_preempted_trial_is_queued_again(tmp_path):
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher", reason="SLURM: pip install 'imcomp[cluster]'")
    slurm = tmp_path / "slurm"
    arguments = [*SWEEP, "hydra/launcher=slurm", "trainer.max_epochs=60", "callbacks.early_stopping=null"]
    arguments.append("resume=auto")

    process = start(*arguments, cwd=tmp_path, **slurm_commands(slurm))
    deadline = time.monotonic() + 200
    while not (begun := [*tmp_path.glob("outputs/multirun/*/0/checkpoints/last.ckpt")]) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert begun
    os.kill(int((slurm / "pid-1000_0").read_text()), signal.SIGUSR2)  # as SLURM does before it takes the node
    _, errors = process.communicate(timeout=300)

    assert process.returncode == 0, errors
    script = (slurm / "submitted.sh").read_text()
    assert re.search(r"#SBATCH --array=0-1%2\b", script)  # as many at a time as there are, up to array_parallelism
    assert "#SBATCH --requeue" in script
    assert "#SBATCH --signal=USR2@300" in script
    assert (slurm / "requeued-1000_0").exists()
    assert not (slurm / "requeued-1000_1").exists()
    resumed = ["last.ckpt" in file.read_text() for file in sorted(tmp_path.glob("outputs/multirun/*/*/config.yaml"))]
    assert resumed == [True, False]
    assert sorted(trials(tmp_path)) == ["0", "1"]


@pytest.mark.slow
def test_a_sweep_runs_on_a_local_ray(tmp_path):
    pytest.importorskip("hydra_plugins.hydra_ray_launcher", reason="Ray: pip install 'imcomp[ray]'")

    local = ["+hydra.launcher.ray.init.num_cpus=2", "+hydra.launcher.ray.init.include_dashboard=false"]
    process = start(*SWEEP, "hydra/launcher=ray", *local, cwd=tmp_path)
    _, errors = process.communicate(timeout=300)

    assert process.returncode == 0, errors
    found = trials(tmp_path)
    assert sorted(found) == ["0", "1"]
    assert found["0"]["val/mse"] != found["1"]["val/mse"]
