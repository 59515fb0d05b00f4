import pickle
import random
import re

import numpy as np
import pytest
import torch

from imcomp.checkpoints import AtomicCheckpointIO, RandomState, read_checkpoint
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


class Trap:
    """Unpickling it would make a file."""

    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return (open, (str(self.file), "w"))


class TestReadCheckpoint:
    @staticmethod
    def message(path):
        with pytest.raises(InputError) as caught:
            read_checkpoint(path)
        assert "\n" not in str(caught.value)
        assert str(path) in str(caught.value)
        return str(caught.value)

    def test_a_checkpoint_is_read(self, tmp_path):
        content = {"state_dict": {"weight": torch.ones(1)}, "hyper_parameters": {"lr": 0.5}}
        torch.save(content, tmp_path / "a.ckpt")

        assert read_checkpoint(str(tmp_path / "a.ckpt")) == content

    def test_no_file(self, tmp_path):
        assert "give the path of a .ckpt file" in self.message(tmp_path / "a.ckpt")

    def test_a_folder(self, tmp_path):
        assert "give the path of a .ckpt file" in self.message(tmp_path)

    @pytest.mark.parametrize("content", [b"", b"no checkpoint at all\n", b"PK\x03\x04", bytes(range(256))])
    def test_something_else(self, tmp_path, content):
        (tmp_path / "a.ckpt").write_bytes(content)

        assert "is damaged or not a checkpoint (" in self.message(tmp_path / "a.ckpt")

    @pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.99])
    def test_a_part_of_one(self, tmp_path, share):
        torch.save({"state_dict": {"weight": torch.ones(9999)}, "hyper_parameters": {}}, tmp_path / "a.ckpt")
        content = (tmp_path / "a.ckpt").read_bytes()
        (tmp_path / "a.ckpt").write_bytes(content[: int(share * len(content))])

        assert "is damaged or not a checkpoint (" in self.message(tmp_path / "a.ckpt")

    @pytest.mark.parametrize("save", [torch.save, lambda content, file: file.write_bytes(pickle.dumps(content))])
    def test_nothing_is_executed(self, tmp_path, save):
        save({"state_dict": Trap(tmp_path / "made"), "hyper_parameters": {}}, tmp_path / "a.ckpt")

        assert "is damaged or not a checkpoint (" in self.message(tmp_path / "a.ckpt")
        assert not (tmp_path / "made").exists()

    @pytest.mark.parametrize("content", [{"state_dict": {}}, {"hyper_parameters": {}}, {}, [1, 2], torch.ones(2)])
    def test_another_programs(self, tmp_path, content):
        torch.save(content, tmp_path / "a.ckpt")

        assert "is not a checkpoint of imcomp" in self.message(tmp_path / "a.ckpt")

    def test_resuming_from_a_damaged_one_is_refused_at_once(self, train_config, tmp_path):
        (tmp_path / "a.ckpt").write_bytes(b"")

        with pytest.raises(InputError, match=re.escape(f"{tmp_path / 'a.ckpt'} is damaged or not a checkpoint")):
            train(train_config(tmp_path, f"resume={tmp_path}/a.ckpt"))
