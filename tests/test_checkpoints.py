import random
import re

import numpy as np
import pytest
import torch

from imcomp.checkpoints import AtomicCheckpointIO, RandomState
from imcomp.errors import InputError
from imcomp.module import InpaintingModule
from imcomp.training import train


class TestAtomicCheckpointIO:
    def test_what_was_saved_can_be_read(self, tmp_path):
        AtomicCheckpointIO().save_checkpoint({"weights": torch.ones(2)}, tmp_path / "new" / "last.ckpt")

        assert torch.load(tmp_path / "new" / "last.ckpt", weights_only=True)["weights"].tolist() == [1, 1]
        assert [file.name for file in (tmp_path / "new").iterdir()] == ["last.ckpt"]

    @pytest.mark.parametrize("error", [OSError("no space left on device"), KeyboardInterrupt()])
    def test_the_old_file_stays_when_saving_fails(self, tmp_path, monkeypatch, error):
        file = tmp_path / "last.ckpt"
        file.write_text("old")

        def fail(content, path):
            path.write_text("half")
            raise error

        monkeypatch.setattr(torch, "save", fail)
        with pytest.raises(type(error)):
            AtomicCheckpointIO().save_checkpoint({}, file)

        assert file.read_text() == "old"
        assert [*tmp_path.iterdir()] == [file]

    def test_no_denormals_are_written_and_none_are_read(self, tmp_path):
        torch.set_flush_denormal(False)  # to see them
        tiny = torch.tensor([1.0, -1e-39, 1e-30, 0.0])
        content = {"state_dict": {"weight": tiny}, "optimizer_states": [{"state": {0: {"exp_avg": tiny.clone()}}}]}

        AtomicCheckpointIO().save_checkpoint(content, tmp_path / "a.ckpt")
        saved = torch.load(tmp_path / "a.ckpt", weights_only=True)
        torch.save(content, tmp_path / "foreign.ckpt")
        loaded = AtomicCheckpointIO().load_checkpoint(tmp_path / "foreign.ckpt", weights_only=True)

        for checkpoint in (saved, loaded):
            moment = checkpoint["optimizer_states"][0]["state"][0]["exp_avg"]
            assert checkpoint["state_dict"]["weight"].tolist() == moment.tolist() == [1, 0, tiny[2].item(), 0]
        assert tiny[1] != 0  # what goes on training is left alone

    def test_resuming_from_a_damaged_one_is_refused_at_once(self, train_config, tmp_path):
        (tmp_path / "a.ckpt").write_bytes(b"")

        with pytest.raises(InputError, match=re.escape(f"{tmp_path / 'a.ckpt'} is damaged or not a checkpoint")):
            train(train_config(tmp_path, f"resume={tmp_path}/a.ckpt"))


class TestBestCheckpoint:
    @staticmethod
    def best(root):
        folder = root / "run" / "checkpoints"
        assert sorted(file.name for file in folder.iterdir()) == ["best.ckpt", "last.ckpt"]
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
