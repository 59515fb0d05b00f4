"""Several processes are as one: the same pictures, the same steps, the same metrics; and they end together."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import ClassVar

import pytest
import torch

from imcomp.errors import InputError, RunEnded
from imcomp.module import InpaintingModule
from imcomp.processes import Company, Environment, Place, find_place
from imcomp.training import train

ROOT = Path(__file__).parents[1]

# 47 train and 13 validate: six batches of 8, the last of 7; 13 are 7 and 6
SETTINGS = (
    "data.val_fraction=0.217",
    "data.batch_size=8",
    "trainer.limit_train_batches=1.0",
    "trainer.limit_val_batches=1.0",
    "logger=csv",
    "callbacks.progress=null",
    "model.init=default",
)
TWO = (*SETTINGS, "trainer=ddp_cpu")


class TestPlace:
    TORCHRUN: ClassVar = {
        "RANK": "3",
        "WORLD_SIZE": "4",
        "LOCAL_RANK": "1",
        "LOCAL_WORLD_SIZE": "2",
        "MASTER_ADDR": "node0",
        "MASTER_PORT": "29500",
    }
    SRUN: ClassVar = {
        "SLURM_STEP_NUM_TASKS": "4",
        "SLURM_STEP_NUM_NODES": "2",
        "SLURM_PROCID": "3",
        "SLURM_LOCALID": "1",
        "SLURM_STEP_NODELIST": "gpu[07-08]",
        "SLURM_JOB_ID": "30001",
    }

    def test_torchrun_says_it(self):
        place = find_place(self.TORCHRUN)

        assert place == Place(3, 4, 1, 2, "node0", 29500)
        assert place.node == 1

    def test_srun_says_it(self):
        assert find_place(self.SRUN) == Place(3, 4, 1, 2, "gpu07", 15001)

    @pytest.mark.parametrize(
        "environ",
        [
            {},
            {**TORCHRUN, "RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "1"},
            {"SLURM_NTASKS": "4", "SLURM_PROCID": "0", "SLURM_JOB_ID": "1"},  # the batch script, outside srun
            {"RANK": "1"},  # somebody else's
        ],
    )
    def test_a_process_may_be_alone(self, environ):
        assert find_place(environ) is None

    def test_half_a_place_is_a_mistake(self):
        with pytest.raises(InputError, match="only in part"):
            find_place({"RANK": "0", "LOCAL_WORLD_SIZE": "2", "WORLD_SIZE": "2", "LOCAL_RANK": "0"})

    def test_the_first_of_as_many_as_the_trainer_says(self):
        environment = Environment(None)
        environment.set_world_size(3)

        assert (environment.global_rank(), environment.world_size(), environment.place.local_count) == (0, 3, 3)
        assert environment.creates_processes_externally


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("data.batch_size=7",), "data.batch_size=7 cannot be dealt out evenly to 2 processes; give 6 or 8"),
        (("data.batch_size=1",), "data.batch_size=1 cannot be dealt out evenly to 2 processes; give 2"),
        (("data.val_fraction=0.0167",), "the val part has 1 pictures for 2 processes"),
        (("+trainer.num_nodes=2",), "trainer.num_nodes=2 machines, and this is the only process; start it on each"),
    ],
)
def test_what_cannot_be_dealt_out_is_told_before_anything_starts(train_config, tmp_path, overrides, message):
    with pytest.raises(InputError) as caught:
        train(train_config(tmp_path, *TWO, *overrides))

    assert str(caught.value).startswith(message)


def test_a_trainer_for_one_is_refused_among_several(train_config, tmp_path):
    with pytest.raises(InputError, match="2 processes were started and this trainer is for one; give trainer=ddp"):
        train(train_config(tmp_path, *SETTINGS), Place(0, 2, 0, 2, "127.0.0.1", 1))


def scores(metrics):
    return {key: value for key, value in metrics.items() if key != "seconds"}


def weights(root):
    return torch.load(root / "run" / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]


def assert_alike(root, metrics, one):
    assert scores(metrics) == pytest.approx(scores(one[1]), rel=1e-4)
    expected, got = weights(one[0]), weights(root)
    assert all(torch.allclose(got[key], value, rtol=1e-4, atol=1e-5) for key, value in expected.items())
    assert json.loads((root / "run" / "metrics.json").read_text()) == metrics


def files(root):
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if not path.is_dir())


@pytest.fixture(scope="module")
def one(train_config, tmp_path_factory):
    """A single process's run: its root folder and its metrics."""
    root = tmp_path_factory.mktemp("one")
    return root, train(train_config(root, *SETTINGS))


@pytest.mark.slow
def test_two_processes_are_as_one(one, train_config, tmp_path):
    metrics = train(train_config(tmp_path, *TWO))

    assert_alike(tmp_path, metrics, one)
    assert files(tmp_path) == files(one[0])  # nothing was written twice


@pytest.mark.slow
def test_more_processes_than_pictures_in_the_last_batch(train_config, tmp_path):
    # 49 train: the last batch is of one picture, and one process has none of it
    settings = ("data.val_fraction=0.1833", "model=unet", "model.channels=[4,8]", "trainer.max_epochs=1")
    alone = train(train_config(tmp_path, *SETTINGS, *settings, run="alone"))
    together = train(train_config(tmp_path, *TWO, *settings, "trainer.sync_batchnorm=false"))

    assert alone["epoch"] == together["epoch"] == 0
    assert 0 < together["val/mse"] < 1


@pytest.mark.slow
def test_one_that_is_killed_ends_the_run_and_it_goes_on(one, train_config, tmp_path, monkeypatch):
    def kill_the_other(self, batch, index):
        if self.trainer.global_step == 8:
            next(other for other in self.trainer.callbacks if isinstance(other, Company))._children[0].kill()

    with monkeypatch.context() as patch:
        patch.setattr(InpaintingModule, "on_train_batch_start", kill_the_other)
        with pytest.raises(RunEnded) as caught:
            train(train_config(tmp_path, *TWO))
    assert str(caught.value).startswith("process 1 of 2 was killed by signal 9; go on with: python train.py resume=")
    assert torch.load(tmp_path / "run" / "checkpoints" / "last.ckpt", weights_only=True)["global_step"] == 8

    metrics = train(train_config(tmp_path, *TWO, f"resume={tmp_path}/run/checkpoints/last.ckpt"))

    assert_alike(tmp_path, metrics, one)


@pytest.mark.slow
def test_a_signal_to_one_stops_all_after_the_same_batch(one, train_config, tmp_path, monkeypatch):
    def terminate(self, batch, index):
        if self.trainer.global_step == 8:
            os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(InpaintingModule, "on_train_batch_start", terminate)
        with pytest.raises(SystemExit) as caught:
            train(train_config(tmp_path, *TWO))
    assert caught.value.code == 143
    assert torch.load(tmp_path / "run" / "checkpoints" / "last.ckpt", weights_only=True)["global_step"] == 9

    metrics = train(train_config(tmp_path, *TWO, f"resume={tmp_path}/run/checkpoints/last.ckpt"))

    assert_alike(tmp_path, metrics, one)


@pytest.mark.slow
def test_a_sweep_on_two_machines_under_torchrun(one, train_config, tmp_path, free_port):
    """Two groups of processes that share nothing but an address, as on two machines."""
    config = train_config(one[0], *SETTINGS)
    arguments = ["trainer=ddp_cpu", "debug=fast", "perf=plain", *SETTINGS[:-1], "model.init=default,xavier", "-m"]
    arguments += ["data=folder", f"data.root={config.data.root}", "~data.count=120", "~data.frames_per_track=4"]
    arguments += ["data.size=32", "mask.size=8", "model=autoencoder", "callbacks=default", "model.channels=[4,8]"]
    arguments += [f"paths.outputs={tmp_path}", f"hydra.sweep.dir={tmp_path}/sweep"]
    groups = [
        subprocess.Popen(
            [
                *(sys.executable, "-m", "torch.distributed.run", "--nnodes=2", f"--node-rank={node}"),
                *("--nproc-per-node=1", "--master-addr=127.0.0.1", f"--master-port={free_port}"),
                *("train.py", *arguments),
            ],
            cwd=ROOT,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdout=subprocess.DEVNULL,
            stderr=(tmp_path / f"node{node}.txt").open("w"),
        )
        for node in (0, 1)
    ]
    codes = [group.wait(timeout=240) for group in groups]

    assert codes == [0, 0], (tmp_path / "node0.txt").read_text() + (tmp_path / "node1.txt").read_text()
    assert {path.name for path in (tmp_path / "sweep").iterdir()} == {"0", "1", "multirun.yaml"}
    assert {path.name for path in tmp_path.iterdir()} == {"sweep", "latest", "node0.txt", "node1.txt"}
    first, second = (json.loads((tmp_path / "sweep" / name / "metrics.json").read_text()) for name in "01")
    assert scores(first) == pytest.approx(scores(one[1]), rel=1e-4)
    assert second["val/mse"] != first["val/mse"]
