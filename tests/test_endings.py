import errno

import pytest
import torch
import torch.distributed as dist

from imcomp.data.pictures import UnreadablePicture
from imcomp.endings import FiniteLoss, NonFiniteLoss, is_out_of_memory, why
from imcomp.errors import RunEnded
from imcomp.losses import masked_mse
from imcomp.training import train

QUIET = ("logger=csv", "callbacks.progress=null")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (NonFiniteLoss("the loss is nan"), "the loss is nan"),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), "out of memory; give a smaller"),
        (MemoryError(), "out of memory"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), "out of memory"),
        (OSError(errno.ENOSPC, "No space left on device", "a.ckpt"), "the disk is full (a.ckpt); make room"),
        (FileNotFoundError(errno.ENOENT, "No such file or directory", "data"), "data: No such file or directory"),
        (UnreadablePicture("a.png: no such file"), "a picture can no longer be read (a.png: no such file)"),
        (
            UnreadablePicture(
                "Caught it in a worker.\nTraceback:\nimcomp.data.pictures.UnreadablePicture: a.png: gone"
            ),
            "a picture can no longer be read (UnreadablePicture: a.png: gone); bring the data back",
        ),
        (RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed."), "a process that reads pictures was"),
        (RuntimeError("[gloo/transport/tcp/pair.cc:534] Connection closed by peer [::1]:1"), "the connection to anot"),
        (dist.DistError("NCCL timed out"), "the connection to another process of this run broke off (NCCL timed"),
    ],
)
def test_what_ended_a_run_is_told(error, words):
    assert why(error).startswith(words)
    assert "\n" not in why(error)


def test_a_defect_is_no_such_thing():
    assert why(RuntimeError("shapes differ")) is None
    assert why(KeyError("mask")) is None


def test_whoever_was_lost_is_named():
    error = RuntimeError("[gloo] Connection closed by peer")

    assert why(error, "process 1 of 2 was killed by signal 9") == "process 1 of 2 was killed by signal 9"
    assert why(MemoryError(), "process 1 of 2 was killed by signal 9").startswith("out of memory")


def test_looking_never_is_refused():
    with pytest.raises(ValueError, match="give at least 1"):
        FiniteLoss(every=0)


def at_step(number, otherwise):
    """A loss that is the module's own until it has been computed so many times."""
    calls = 0

    def loss(*arguments):
        nonlocal calls
        calls += 1
        return otherwise(masked_mse(*arguments)) if calls == number else masked_mse(*arguments)

    return loss


def state(root):
    return torch.load(root / "run" / "checkpoints" / "last.ckpt", weights_only=True)


def test_a_loss_that_is_no_number_does_not_reach_the_weights(train_config, tmp_path, monkeypatch):
    # 2 to check the loop, then the second batch of training
    monkeypatch.setattr("imcomp.losses.pixels.masked_mse", at_step(4, lambda loss: loss * float("nan")))

    with pytest.raises(RunEnded) as caught:
        train(train_config(tmp_path, *QUIET))

    assert str(caught.value).startswith("the loss is nan in epoch 0, step 1; give a lower model.lr")
    assert str(caught.value).endswith(f"go on with: python train.py resume={tmp_path / 'run'}")
    assert state(tmp_path)["global_step"] == 1
    assert all(bool(value.isfinite().all()) for value in state(tmp_path)["state_dict"].values())


def test_pictures_that_vanish_leave_a_state_to_go_on_from(train_config, tmp_path, picture_folder, monkeypatch):
    def vanish(self, batch, index):
        if self.trainer.global_step == 3:
            picture_folder.rename(tmp_path / "away")

    settings = (*QUIET, f"data.root={picture_folder}", "data.cache=off", "data.batch_size=2")
    monkeypatch.setattr("imcomp.module.InpaintingModule.on_train_batch_start", vanish)

    with pytest.raises(RunEnded, match="a picture can no longer be read") as caught:
        train(train_config(tmp_path, *settings))

    assert "\n" not in str(caught.value)
    step = state(tmp_path)["global_step"]
    assert step >= 3
    (tmp_path / "away").rename(picture_folder)
    metrics = train(train_config(tmp_path, *settings, f"resume={tmp_path}/run/checkpoints/last.ckpt"))
    assert metrics["epoch"] in (0, 1)


def test_a_full_disk_leaves_the_last_state(train_config, tmp_path, monkeypatch):
    save, saved = torch.save, []

    def full(content, path):
        saved.append(path.name)
        if len(saved) > 2:
            path.write_bytes(b"half")
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        save(content, path)

    monkeypatch.setattr(torch, "save", full)

    with pytest.raises(RunEnded, match=r"the disk is full .*make room; go on with: python train.py resume="):
        train(train_config(tmp_path, *QUIET))

    assert state(tmp_path)["global_step"] == 2  # of the first epoch
    assert not [*(tmp_path / "run" / "checkpoints").glob(".*")]


class TestOutOfMemory:
    @staticmethod
    def too_large(limit):
        """A loss that has room for so many pictures."""

        def loss(output, target, mask):
            if len(output) > limit and output.requires_grad:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
            return masked_mse(output, target, mask)

        return loss

    def test_it_ends_the_run_in_one_line(self, train_config, tmp_path, monkeypatch):
        monkeypatch.setattr("imcomp.losses.pixels.masked_mse", self.too_large(7))

        with pytest.raises(RunEnded, match=r"out of memory; give a smaller data.batch_size, or halve_on_oom=true"):
            train(train_config(tmp_path, *QUIET))

    def test_half_the_batch_and_twice_the_accumulation(self, train_config, tmp_path, monkeypatch, caplog):
        monkeypatch.setattr("imcomp.losses.pixels.masked_mse", self.too_large(3))

        metrics = train(
            train_config(tmp_path, *QUIET, "halve_on_oom=true", "trainer.limit_train_batches=1.0", "data.cache=off")
        )

        assert metrics["epoch"] in (0, 1)
        assert "out of memory with 8 pictures a batch; on with 4" in caplog.text
        assert "out of memory with 4 pictures a batch; on with 2" in caplog.text
        assert state(tmp_path)["global_step"] == 12  # two epochs of 48 pictures, 8 a step

    def test_one_picture_has_no_half(self, train_config, tmp_path, monkeypatch):
        monkeypatch.setattr("imcomp.losses.pixels.masked_mse", self.too_large(0))

        with pytest.raises(RunEnded, match=r"out of memory with data.batch_size=1, which has no half"):
            train(train_config(tmp_path, *QUIET, "halve_on_oom=true"))

    def test_it_goes_on_from_the_last_epochs_end(self, train_config, tmp_path, monkeypatch):
        calls = 0

        def loss(output, target, mask):
            nonlocal calls
            calls += output.requires_grad
            if calls == 4:  # the second batch of the second epoch
                calls += 1
                raise torch.OutOfMemoryError("CUDA out of memory")
            return masked_mse(output, target, mask)

        monkeypatch.setattr("imcomp.losses.pixels.masked_mse", loss)
        settings = ("trainer.limit_train_batches=1.0", "data.batch_size=24")

        train(train_config(tmp_path, *QUIET, *settings, "halve_on_oom=true"))

        assert state(tmp_path)["global_step"] == 4  # two epochs of two steps, whatever was tried
        assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory"))
