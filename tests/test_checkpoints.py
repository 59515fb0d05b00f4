import os
import random
import subprocess
import sys

import numpy as np
import pytest
import torch

from imcomp.checkpoints import RandomState, TopCheckpoints
from imcomp.module import InpaintingModule
from imcomp.states import AtomicCheckpointIO
from imcomp.training import train
from imcomp.weights import read_checkpoint


class TestBestCheckpoint:
    @staticmethod
    def best(root):
        folder = root / "run" / "checkpoints"
        assert sorted(file.name for file in folder.iterdir()) == ["best.ckpt", "last.ckpt", "previous.ckpt"]
        return torch.load(folder / "best.ckpt", weights_only=True)

    @pytest.fixture
    def losses(self, monkeypatch):
        """The validation losses to log, epoch by epoch."""
        values = []

        def validation_step(self, batch, index):
            self.log("val/mse", values[self.current_epoch], batch_size=len(batch.image))
            self.log("val/psnr", 10.0 * self.current_epoch, batch_size=len(batch.image))
            return batch.image

        monkeypatch.setattr(InpaintingModule, "validation_step", validation_step)
        return values

    @pytest.mark.parametrize(
        ("scripted", "epoch"),
        [
            ([0.5, 0.375, 0.25, 0.75], 2),
            ([0.25, 0.25, 0.25, 0.25], 0),  # the first of equals
        ],
    )
    def test_the_best_epochs_weights_and_metrics_are_kept(self, train_config, tmp_path, losses, scripted, epoch):
        losses += scripted

        metrics = train(train_config(tmp_path, "trainer.max_epochs=4", "logger=csv"))

        assert metrics["epoch"] == epoch
        assert metrics["val/mse"] == min(scripted)
        assert metrics["val/psnr"] == 10 * epoch
        assert self.best(tmp_path)["epoch"] == epoch

    def test_the_best_checkpoint_knows_its_own_metrics(self, train_config, tmp_path, losses):
        losses += [0.5, 0.25]

        train(train_config(tmp_path, "logger=csv"))

        callbacks = self.best(tmp_path)["callbacks"]
        state = next(value for key, value in callbacks.items() if key.startswith("BestCheckpoint"))
        assert state["metrics"] == {"epoch": 1, "val/mse": 0.25, "val/psnr": 10.0}

    def test_going_on_from_the_best_keeps_it(self, train_config, tmp_path, losses):
        losses += [0.5, 0.25, 0.75]
        train(train_config(tmp_path, "logger=csv"))

        best = f"resume={tmp_path}/run/checkpoints/best.ckpt"
        metrics = train(train_config(tmp_path, "logger=csv", "trainer.max_epochs=3", best))

        assert (metrics["epoch"], metrics["val/mse"]) == (1, 0.25)
        assert self.best(tmp_path)["epoch"] == 1


def draw():
    """Some numbers of each library; two from a normal distribution come from one pair."""
    return (
        [random.random(), random.gauss(0, 1)],
        [*np.random.random(2), np.random.normal()],  # noqa: NPY002
        torch.rand(2).tolist(),
    )


class TestRandomState:
    def test_it_goes_on_where_it_was(self, tmp_path):
        random.seed(1)
        np.random.seed(1)  # noqa: NPY002
        torch.manual_seed(1)
        draw()
        torch.save(RandomState().state_dict(), tmp_path / "state")
        expected = draw()
        assert draw() != expected
        random.seed(2)

        restored = RandomState()
        restored.load_state_dict(torch.load(tmp_path / "state", weights_only=True))
        draw()  # what the trainer sets up
        restored.on_train_start(None, None)

        assert draw() == expected

    def test_it_is_restored_once(self):
        state = RandomState()
        state.load_state_dict(state.state_dict())
        state.on_train_start(None, None)
        first = draw()
        state.on_train_start(None, None)

        assert draw() != first

    def test_a_new_run_is_left_alone(self):
        torch.manual_seed(1)
        expected = draw()[2]
        torch.manual_seed(1)

        RandomState().on_train_start(None, None)

        assert draw()[2] == expected


class TestLastCheckpoint:
    def test_the_one_before_may_be_left_out(self, train_config, tmp_path):
        train(train_config(tmp_path, "logger=csv", "callbacks.last.keep_previous=false"))

        assert {file.name for file in (tmp_path / "run" / "checkpoints").iterdir()} == {"best.ckpt", "last.ckpt"}

    def test_the_same_command_again_goes_on(self, train_config, tmp_path, monkeypatch):
        whole = train(train_config(tmp_path, "logger=csv", "resume=auto", run="whole"))
        stop = {"calls": 0}

        def interrupt(self, batch, index):
            stop["calls"] += 1
            if stop["calls"] == 3:  # the first batch of the second epoch
                raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(InpaintingModule, "on_train_batch_start", interrupt)
            with pytest.raises(SystemExit):
                train(train_config(tmp_path, "logger=csv", "resume=auto"))
        metrics = train(train_config(tmp_path, "logger=csv", "resume=auto"))

        assert {**metrics, "seconds": 0} == {**whole, "seconds": 0}
        last = [torch.load(tmp_path / run / "checkpoints" / "last.ckpt", weights_only=True) for run in ("whole", "run")]
        weights, same = (one["state_dict"] for one in last)
        assert all(torch.equal(weights[key], same[key]) for key in weights)

    @pytest.mark.parametrize("size", [2, 3, 8])
    @pytest.mark.parametrize("steps", [3, 12])
    def test_batches_of_another_size_go_on_with_the_next_picture(
        self, train_config, tmp_path, monkeypatch, size, steps
    ):
        """Stopped in mid-epoch, and at an epoch's end: 48 pictures, in batches of 4 at first."""
        seen = []
        step = InpaintingModule.training_step

        def training_step(self, batch, index):
            if len(seen) == steps * 4 and self.trainer.datamodule.batch_size == 4:
                raise KeyboardInterrupt
            seen.extend((self.current_epoch, number) for number in batch.indices.tolist())
            return step(self, batch, index)

        monkeypatch.setattr(InpaintingModule, "training_step", training_step)
        settings = ["logger=csv", "resume=auto", "trainer.limit_train_batches=1.0"]
        with pytest.raises(SystemExit):
            train(train_config(tmp_path, *settings, "data.batch_size=4"))
        train(train_config(tmp_path, *settings, f"data.batch_size={size}"))

        assert len(seen) == len(set(seen)) == 2 * 48

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="the limit is set in a forked process")
    def test_a_disk_that_is_really_full(self, tmp_path):
        """A limit on the size of files stands in for it: torch's writer gets an error of the system's."""
        file = tmp_path / "last.ckpt"
        AtomicCheckpointIO().save_checkpoint({"weights": torch.ones(2)}, file)
        script = (
            "import resource, signal, sys, torch; from imcomp.states import AtomicCheckpointIO\n"
            "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (50000, 50000))\n"
            "try: AtomicCheckpointIO().save_checkpoint({'weights': torch.ones(100000)}, sys.argv[1])\n"
            "except OSError as error: print(error.filename)"
        )
        done = subprocess.run([sys.executable, "-c", script, file], capture_output=True, text=True, check=True)

        assert done.stdout == f"{file}\n"
        assert torch.load(file, weights_only=True)["weights"].tolist() == [1, 1]
        assert [*tmp_path.iterdir()] == [file]


class TestTopCheckpoints:
    @pytest.fixture
    def run(self, train_config, tmp_path, monkeypatch):
        """Epochs with the given losses; returns what is kept beside the best and the last."""

        def go(losses, *overrides):
            def validation_step(self, batch, index):
                self.log("val/mse", losses[self.current_epoch], batch_size=len(batch.image))
                return batch.image

            monkeypatch.setattr(InpaintingModule, "validation_step", validation_step)
            epochs = f"trainer.max_epochs={len(losses)}"
            train(train_config(tmp_path, "logger=csv", "callbacks.early_stopping=null", epochs, *overrides))
            return sorted(path.name for path in (tmp_path / "run" / "checkpoints").glob("epoch=*"))

        return go

    def test_the_best_epochs_are_kept(self, run, tmp_path):
        kept = run([0.5, 0.25, 0.75, 0.125], "callbacks.top.keep=2")

        assert kept == ["epoch=1-val_mse=0.25.ckpt", "epoch=3-val_mse=0.125.ckpt"]
        assert read_checkpoint(tmp_path / "run" / "checkpoints" / kept[0])["epoch"] == 1

    def test_none_are_by_default(self, run):
        assert run([0.5, 0.25]) == []

    def test_the_worst_go_when_there_is_no_room(self, run, tmp_path):
        # best, last and previous are some 30 KB each
        kept = run([0.5, 0.25, 0.125], "callbacks.top.keep=3", "callbacks.top.disk_gb=0.0001")

        sizes = [file.stat().st_size for file in (tmp_path / "run" / "checkpoints").iterdir()]
        assert len(kept) < 3
        assert {"best.ckpt", "last.ckpt"} <= {file.name for file in (tmp_path / "run" / "checkpoints").iterdir()}
        assert sum(sizes) <= 100_000 or not kept

    def test_they_are_remembered_on_resume(self, run, tmp_path):
        run([0.5, 0.25], "callbacks.top.keep=2")

        last = f"resume={tmp_path}/run/checkpoints/last.ckpt"
        assert run([0.5, 0.25, 0.375], "callbacks.top.keep=2", last) == [
            *("epoch=1-val_mse=0.25.ckpt", "epoch=2-val_mse=0.375.ckpt"),
        ]

    @pytest.mark.parametrize("options", [{"keep": -1}, {"disk_gb": 0}])
    def test_bounds_below_nothing_are_refused(self, tmp_path, options):
        with pytest.raises(ValueError, match="are no bounds"):
            TopCheckpoints(tmp_path, "val/mse", **options)
