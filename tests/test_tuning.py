import csv
import sys

import pytest
import torch

from imcomp.cli import run
from imcomp.errors import InputError
from imcomp.training import train
from imcomp.tuning import FINDERS, find_batch_size, find_lr, suggest_rate

QUIET = ("callbacks.progress=null", "+trainer.enable_progress_bar=false")


def rates(count):
    return [10.0 ** (place / 10 - 5) for place in range(count)]


def test_the_rate_is_where_the_loss_falls_steepest():
    losses = [1.0] * 20 + [0.9, 0.5, 0.4] + [0.4] * 5 + [2.0] * 3  # from 0.9 to 0.5 at the 21st
    assert suggest_rate(rates(31), losses) == pytest.approx(10.0 ** (20 / 10 - 5))


def test_a_fall_at_the_smallest_rates_does_not_win_by_their_size():
    losses = [1.0 - 1e-4 * place for place in range(15)] + [0.9, 0.5, 0.2] + [0.1] * 3
    assert suggest_rate(rates(21), losses) >= rates(21)[15]


def test_numbers_that_are_none_are_left_out():
    losses = [1.0] * 15 + [0.5] * 5 + [float("nan")] * 3
    assert rates(23)[13] <= suggest_rate(rates(23), losses) <= rates(23)[15]


@pytest.mark.parametrize("losses", [[1.0] * 5, [float("nan")] * 20, [1.0 + place for place in range(20)]])
def test_a_loss_that_never_falls_suggests_nothing(losses):
    assert suggest_rate(rates(len(losses)), losses) is None


@pytest.mark.parametrize("scheduler", ["constant", "onecycle"])
def test_a_learning_rate_is_found_and_drawn(train_config, tmp_path, scheduler):
    cfg = train_config(tmp_path, *QUIET, f"model/scheduler={scheduler}", "trainer.max_epochs=1")

    found = find_lr(cfg)

    assert 1e-6 < found < 1
    with (tmp_path / "run" / "lr_find.csv").open() as lines:
        rows = [(float(row["lr"]), float(row["loss"])) for row in csv.DictReader(lines)]
    tried = [rate for rate, _ in rows]
    assert tried == sorted(tried)
    assert tried[0] == pytest.approx(1e-6)
    assert found in [float(f"{rate:.2g}") for rate in tried]
    assert f"model.lr={found:.2g}" in (tmp_path / "run" / "lr_find.html").read_text(encoding="utf-8")
    assert {file.name for file in (tmp_path / "run").iterdir()} == {"config.yaml", "lr_find.csv", "lr_find.html"}


def test_a_loss_below_zero_does_not_run_away(train_config, tmp_path):
    assert 1e-6 < find_lr(train_config(tmp_path, *QUIET, "loss=psnr")) < 1
    with (tmp_path / "run" / "lr_find.csv").open() as lines:
        losses = [float(row["loss"]) for row in csv.DictReader(lines)]
    assert len(losses) > 50
    assert losses[10] < 0


@pytest.mark.parametrize("find", [find_lr, find_batch_size])
def test_a_run_of_one_batch_tries_nothing(train_config, tmp_path, find):
    with pytest.raises(InputError, match=r"nothing was tried; give trainer\.fast_dev_run=false"):
        find(train_config(tmp_path, *QUIET, "+trainer.fast_dev_run=true"))


def test_a_batch_size_is_found_by_doubling(train_config, tmp_path, monkeypatch):
    sizes = set()
    monkeypatch.setattr(
        "imcomp.module.InpaintingModule.training_step",
        lambda self, batch, _: (sizes.add(len(batch.image)), self(batch.image, batch.mask).mean())[1],
    )

    found = find_batch_size(train_config(tmp_path, *QUIET))

    assert found == 32  # the largest power of two that 48 pictures fill
    assert {2, 4, 8, 16, 32} <= sizes
    assert max(sizes) == 32


def test_a_batch_that_does_not_fit_is_halved(train_config, tmp_path, monkeypatch):
    def step(self, batch, _):
        if len(batch.image) > 8:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return self(batch.image, batch.mask).mean()

    monkeypatch.setattr("imcomp.module.InpaintingModule.training_step", step)

    assert find_batch_size(train_config(tmp_path, *QUIET)) == 8


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is bounded under Linux")
def test_on_a_cpu_memory_that_is_not_there_is_no_end(train_config, tmp_path, monkeypatch):
    import resource

    before = resource.getrlimit(resource.RLIMIT_DATA)
    monkeypatch.setattr("imcomp.tuning.available_memory", lambda: 1 << 30)

    def step(self, batch, _):
        torch.empty(len(batch.image), 1 << 26)  # a quarter of a GiB for each picture
        return self(batch.image, batch.mask).mean()

    monkeypatch.setattr("imcomp.module.InpaintingModule.training_step", step)

    assert find_batch_size(train_config(tmp_path, *QUIET)) in (2, 4)
    assert resource.getrlimit(resource.RLIMIT_DATA) == before


@pytest.mark.parametrize("key", FINDERS)
def test_what_is_found_trains(train_config, tmp_path, key):
    name, find = FINDERS[key]
    found = find(train_config(tmp_path, *QUIET, run="tune"))
    assert train(train_config(tmp_path, *QUIET, f"{name}={found:g}"))["val/mse"] > 0


def test_the_command_says_it_in_one_line_and_ends(monkeypatch, capsys, tmp_path):
    arguments = ["debug=fast", "trainer=cpu", "tune=lr", f"paths.outputs={tmp_path}", "model.channels=[4,8]"]
    monkeypatch.setattr(sys, "argv", ["train.py", *arguments, "model.lr=5"])
    monkeypatch.chdir(tmp_path)

    run("train")

    lines = capsys.readouterr().out.splitlines()
    assert lines[-2].startswith("model.lr=")
    assert lines[-1].startswith("train:    imcomp train debug=fast trainer=cpu")
    assert lines[-1].endswith(lines[-2])
    assert "tune" not in lines[-1]
    assert "model.lr=5" not in lines[-1]
    assert not [*tmp_path.rglob("*.ckpt")]


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (["tune=speed"], "tune=speed is unknown; choose from lr, batch_size"),
        (["tune=lr", "resume=RUN"], "tune= looks at a run that has not begun; leave resume= out"),
    ],
)
def test_what_cannot_be_looked_for_is_said_in_one_line(monkeypatch, capsys, tmp_path, train_config, arguments, what):
    if "resume=RUN" in arguments:
        train(train_config(tmp_path, *QUIET))
        arguments = ["tune=lr", f"resume={tmp_path / 'run' / 'checkpoints' / 'last.ckpt'}"]
    monkeypatch.setattr(sys, "argv", ["train.py", "debug=fast", f"paths.outputs={tmp_path}", *arguments])
    with pytest.raises(SystemExit, match="2"):
        run("train")
    assert what in capsys.readouterr().err


def test_two_optimisers_are_refused(train_config, tmp_path):
    with pytest.raises(InputError, match=r"^tune=lr: loss.adversarial trains two networks.*loss.adversarial=0$"):
        find_lr(train_config(tmp_path, *QUIET, "loss=adversarial"))
