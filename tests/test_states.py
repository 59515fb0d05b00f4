import re
import shutil

import pytest
import torch

from imcomp.errors import InputError
from imcomp.states import AtomicCheckpointIO, find_state, newest_good
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


def damage(file, place=-2000):
    """Change one byte of a tensor."""
    content = bytearray(file.read_bytes())
    content[place if place >= 0 else len(content) // 2] ^= 1
    file.write_bytes(content)


def truncate(file):
    file.write_bytes(file.read_bytes()[:-100])


def replace(file):
    file.write_bytes(b"not a checkpoint")


def strip(file):
    """Leave the weights alone."""
    saved = torch.load(file, weights_only=True)
    torch.save({key: saved[key] for key in ("state_dict", "hyper_parameters")}, file)


@pytest.fixture(scope="module")
def finished(train_config, tmp_path_factory):
    """Three epochs: `last` is at step 6, `previous` at 4."""
    root = tmp_path_factory.mktemp("finished")
    train(train_config(root, "logger=csv", "trainer.max_epochs=3"))
    return root


class TestGoingOnFromTheNewestGood:
    @pytest.fixture
    def folder(self, finished, tmp_path):
        """A copy of its checkpoints, the best no later than the one before the last."""
        copied = shutil.copytree(finished / "run" / "checkpoints", tmp_path / "run" / "checkpoints")
        shutil.copy2(copied / "previous.ckpt", copied / "best.ckpt")
        return copied

    @pytest.mark.parametrize("harm", [damage, truncate, replace, strip])
    def test_a_damaged_last_falls_back_to_the_one_before(self, train_config, tmp_path, folder, caplog, harm):
        harm(folder / "last.ckpt")

        metrics = train(train_config(tmp_path, "logger=csv", "trainer.max_epochs=4", f"resume={folder}/last.ckpt"))

        assert f"going on from {folder / 'previous.ckpt'} instead, which is at step 4" in caplog.text
        assert metrics["epoch"] <= 3
        assert torch.load(folder / "last.ckpt", weights_only=True)["global_step"] == 8

    def test_a_last_that_is_gone_is_damaged_too(self, folder):
        (folder / "last.ckpt").unlink()

        assert newest_good(folder / "last.ckpt") == folder / "previous.ckpt"
        assert find_state(folder.parent) == folder / "last.ckpt"

    def test_the_best_is_better_than_nothing(self, folder):
        damage(folder / "last.ckpt")
        damage(folder / "previous.ckpt")

        assert newest_good(folder / "last.ckpt") == folder / "best.ckpt"

    def test_all_damaged_is_an_error(self, folder):
        for file in folder.iterdir():
            truncate(file)

        with pytest.raises(InputError, match=re.escape(f"{folder / 'last.ckpt'} is damaged or not a checkpoint")):
            newest_good(folder / "last.ckpt")

    def test_another_that_is_named_is_not_exchanged(self, folder):
        damage(folder / "previous.ckpt")

        with pytest.raises(InputError, match=r"the checksum of .* differs"):
            newest_good(folder / "previous.ckpt")

    def test_lightning_does_not_read_it_either(self, folder):
        damage(folder / "last.ckpt")

        with pytest.raises(InputError, match="is damaged"):
            AtomicCheckpointIO().load_checkpoint(folder / "last.ckpt", weights_only=True)

    def test_nothing_is_no_state(self, tmp_path):
        assert find_state(tmp_path) is None
