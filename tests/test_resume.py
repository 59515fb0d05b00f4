"""Stopping and going on: a run that was stopped ends as if it never had been."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from torch import Tensor

from imcomp.errors import InputError
from imcomp.losses import masked_mse
from imcomp.module import InpaintingModule
from imcomp.training import train

# three epochs of four batches, each with a validation of two; two more come before, to check the loop
QUICK = (
    "model.dropout=0.1",
    "model.init=default",
    "model.lr=0.03",
    "trainer.max_epochs=3",
    "trainer.limit_train_batches=4",
    "logger=csv",
    "callbacks.progress=null",
)


def checkpoint(root, name="last"):
    return torch.load(root / "run" / "checkpoints" / f"{name}.ckpt", weights_only=True)


def differences(one, other, where=""):
    """Where two nested structures differ, to the last bit."""
    if isinstance(one, dict) and isinstance(other, dict):
        keys = sorted(one.keys() | other.keys(), key=str)
        return [found for key in keys for found in differences(one.get(key), other.get(key), f"{where}/{key}")]
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        pairs = enumerate(zip(one, other, strict=True))
        return [found for index, pair in pairs for found in differences(*pair, f"{where}/{index}")]
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        return [] if torch.equal(one, other) else [where]
    return [] if one == other else [where]


def state(root):
    """What decides how training goes on: weights, optimiser, schedule, random state, early stopping, best metrics."""
    saved = checkpoint(root)
    kept = {key: saved[key] for key in ("epoch", "global_step", "state_dict", "optimizer_states", "lr_schedulers")}
    kept |= {key: saved[key] for key in ("current_model_state", "averaging_state") if key in saved}  # of an average
    callbacks = saved["callbacks"]
    best = next(value for key, value in callbacks.items() if key.startswith("BestCheckpoint"))
    kept["best"] = {key: best[key] for key in ("metrics", "best_model_score", "kth_value")}
    return kept | {key: callbacks[key] for key in ("RandomState", "ForgivingEarlyStopping")}


def logged(root, name):
    """All values of a name in the order of logging, each with its epoch and step."""
    rows = []
    for version in range(len([*(root / "run" / "csv").glob("version_*")])):
        file = root / "run" / "csv" / f"version_{version}" / "metrics.csv"
        if file.is_file():
            with file.open() as lines:
                rows += csv.DictReader(lines)
    return [(int(row["epoch"]), int(row["step"]), float(row[name])) for row in rows if row.get(name)]


def validate_as(*losses):
    """A ``validation_step`` that logs what is given for each epoch."""

    def validation_step(self, batch, index):
        self.log("val/mse", losses[self.current_epoch], batch_size=len(batch.image))
        return batch.image

    return validation_step


def scores(metrics):
    return {key: value for key, value in metrics.items() if key != "seconds"}


def at_call(number, action):
    """A hook that does something when it is called for the ``number``-th time."""
    calls = 0

    def hook(self, *arguments):
        nonlocal calls
        calls += 1
        if calls == number:
            action()

    return hook


def terminate():
    os.kill(os.getpid(), signal.SIGTERM)


def interrupt():
    raise KeyboardInterrupt


@pytest.fixture(scope="module")
def calm(train_config, tmp_path_factory):
    """The run that nothing disturbs: its root folder and its metrics."""
    root = tmp_path_factory.mktemp("calm")
    return root, train(train_config(root, *QUICK))


@pytest.fixture
def stop(train_config, tmp_path, monkeypatch):
    """Runs until a hook of the module's stops it; returns the exit code."""

    def run(hook, number, action, *overrides):
        with monkeypatch.context() as patch:
            patch.setattr(InpaintingModule, hook, at_call(number, action))
            with pytest.raises(SystemExit) as caught:
                train(train_config(tmp_path, *QUICK, *overrides))
        return caught.value.code

    return run


@pytest.fixture
def resume(train_config, tmp_path):
    """Goes on with the stopped run, in its own folder; returns the metrics."""

    def run(*overrides, root=tmp_path):
        return train(train_config(root, *QUICK, f"resume={root}/run/checkpoints/last.ckpt", *overrides))

    return run


def assert_like(calm, root, metrics):
    calm_root, calm_metrics = calm
    assert differences(state(calm_root), state(root)) == []
    assert scores(metrics) == scores(calm_metrics)
    assert logged(root, "val/mse") == logged(calm_root, "val/mse")
    assert len(logged(root, "val/mse")) == 3


def test_one_epoch_and_two_more_are_three(calm, train_config, tmp_path, resume):
    # with TensorBoard, whose graph runs the network once more: that must not count either
    train(train_config(tmp_path, *QUICK, "logger=default", "trainer.max_epochs=1"))
    first = state(tmp_path)

    metrics = resume("logger=default")

    assert (first["epoch"], first["global_step"]) == (0, 4)
    assert differences(first["state_dict"], state(tmp_path)["state_dict"]) != []
    assert checkpoint(tmp_path)["global_step"] == 12
    assert_like(calm, tmp_path, metrics)


def test_a_run_repeats_itself_only_with_its_random_state(calm, train_config, tmp_path, resume, monkeypatch):
    """Or the tests of this file would tell nothing about it."""
    train(train_config(tmp_path, *QUICK, "trainer.max_epochs=1"))
    monkeypatch.setattr("imcomp.checkpoints.RandomState.load_state_dict", lambda self, state: None)

    resume()

    assert differences(state(calm[0])["state_dict"], state(tmp_path)["state_dict"])


def test_early_stopping_and_the_best_survive(train_config, tmp_path, resume, monkeypatch):
    monkeypatch.setattr(InpaintingModule, "validation_step", validate_as(0.5, 0.25, 0.75, 0.75, 0.5, 0.125))
    patience = "callbacks.early_stopping.patience=3"
    train(train_config(tmp_path, *QUICK, patience))
    best = (tmp_path / "run" / "checkpoints" / "best.ckpt").read_bytes()
    assert state(tmp_path)["ForgivingEarlyStopping"] == {"count": 1, "lowest": 0.25}

    metrics = resume(patience, "trainer.max_epochs=9")

    assert [value for _, _, value in logged(tmp_path, "val/mse")] == [0.5, 0.25, 0.75, 0.75, 0.5]  # three were worse
    assert scores(metrics) == {"epoch": 1, "val/mse": 0.25}
    assert (tmp_path / "run" / "checkpoints" / "best.ckpt").read_bytes() == best


@pytest.mark.parametrize("name", ["best", "last"])
def test_a_moved_run_still_knows_its_best(train_config, tmp_path, monkeypatch, name):
    monkeypatch.setattr(InpaintingModule, "validation_step", validate_as(0.25, 0.5, 0.75))
    old, new = tmp_path / "old", tmp_path / "new"
    old.mkdir()
    train(train_config(old, *QUICK, "trainer.max_epochs=2"))
    old.rename(new)
    folder = new / "run" / "checkpoints"
    best = (folder / "best.ckpt").read_bytes()

    metrics = train(train_config(new, *QUICK, f"resume={folder}/{name}.ckpt"))

    assert scores(metrics) == {"epoch": 0, "val/mse": 0.25}
    assert (folder / "best.ckpt").read_bytes() == best


def test_a_finished_run_has_nothing_left_to_do(calm, tmp_path, resume):
    shutil.copytree(calm[0] / "run", tmp_path / "run")
    before = (tmp_path / "run" / "checkpoints" / "last.ckpt").read_bytes()

    metrics = resume()

    assert scores(metrics) == scores(calm[1])
    assert (tmp_path / "run" / "checkpoints" / "last.ckpt").read_bytes() == before


@pytest.mark.parametrize(
    ("hook", "number"),
    [
        ("on_train_batch_start", 6),  # the second batch of the second epoch
        ("on_train_batch_start", 5),  # its first
        ("on_train_batch_start", 8),  # its last: what stops is the validation
        ("on_validation_batch_start", 6),  # the last batch of the second validation
    ],
)
def test_sigterm_is_as_if_nothing_had_happened(calm, tmp_path, stop, resume, hook, number):
    code = stop(hook, number, terminate)
    assert code == 143
    assert not (tmp_path / "run" / "metrics.json").exists()
    assert checkpoint(tmp_path)["global_step"] == (number if hook == "on_train_batch_start" else 8)

    metrics = resume()

    assert_like(calm, tmp_path, metrics)
    assert json.loads((tmp_path / "run" / "metrics.json").read_text()) == metrics


def test_a_validation_that_was_cut_short_runs_again_in_full(calm, tmp_path, stop, resume, monkeypatch):
    stop("on_validation_batch_start", 5, terminate)
    assert [epoch for epoch, _, _ in logged(tmp_path, "val/mse")] == [0]
    validated = []
    monkeypatch.setattr(
        InpaintingModule, "on_validation_batch_end", lambda self, output, batch, index: validated.append(len(output))
    )

    metrics = resume()

    # 8 and 4 of the epoch that was cut short, then those of the last; a sanity check is not run on resume
    assert validated == [8, 4, 8, 4]
    assert_like(calm, tmp_path, metrics)


@pytest.mark.parametrize(
    ("hook", "number"),
    [
        ("on_validation_batch_start", 6),
        ("on_validation_end", 3),  # early stopping has counted and the best is saved
        ("on_train_batch_end", 8),  # before the validation
        ("on_train_epoch_end", 2),
    ],
)
def test_an_interrupt_between_two_batches_is_as_if_nothing_had_happened(calm, tmp_path, stop, resume, hook, number):
    assert stop(hook, number, interrupt) == 130

    metrics = resume()

    calm_root, calm_metrics = calm
    assert differences(state(calm_root), state(tmp_path)) == []
    assert scores(metrics) == scores(calm_metrics)
    assert [*dict.fromkeys(logged(tmp_path, "val/mse"))] == logged(calm_root, "val/mse")  # one may be logged twice


@pytest.mark.parametrize(
    "options",
    [
        ("model/scheduler=onecycle",),
        ("model/scheduler=cosine", "trainer.accumulate_grad_batches=2"),
        ("callbacks=ema",),
        ("perf=default",),
        ("augment=signs", "augment.crop=[0.5,0.9]", "augment.noise=0.1"),
    ],
    ids=["onecycle", "cosine", "ema", "perf", "augment"],
)
def test_all_aids_to_training_survive(train_config, tmp_path, stop, resume, options):
    calm = tmp_path / "calm", train(train_config(tmp_path / "calm", *QUICK, *options))

    stop("on_train_batch_start", 6, terminate, *options)  # the second batch of the second epoch
    last = f"resume={tmp_path}/run/checkpoints/last.ckpt"
    stop("on_validation_batch_start", 2, interrupt, *options, last)  # where the average stands in for the weights
    stop("on_validation_batch_start", 1, terminate, *options, last)

    assert_like(calm, tmp_path, resume(*options))


def test_sigterm_waits_for_the_step_of_the_batch(train_config, tmp_path, stop, resume):
    two = "trainer.accumulate_grad_batches=2"
    calm = tmp_path / "calm", train(train_config(tmp_path / "calm", *QUICK, two))

    assert stop("on_train_batch_start", 5, terminate, two) == 143  # the first batch of the second epoch
    assert checkpoint(tmp_path)["global_step"] == 3

    assert_like(calm, tmp_path, resume(two))


@pytest.mark.parametrize(("hook", "number"), [("on_train_batch_start", 6), ("on_train_batch_end", 7)])
def test_an_interrupt_before_the_step_repeats_its_batches(train_config, tmp_path, stop, resume, hook, number):
    options = ("model.dropout=0", "trainer.accumulate_grad_batches=2")
    train(train_config(tmp_path / "calm", *QUICK, *options))

    assert stop(hook, number, interrupt, *options) == 130
    resume(*options)

    one, other = checkpoint(tmp_path / "calm"), checkpoint(tmp_path)
    learnt = [key for key, _ in InpaintingModule(**one["hyper_parameters"]).named_parameters()]
    assert [key for key in learnt if not torch.equal(one["state_dict"][key], other["state_dict"][key])] == []
    assert one["global_step"] == other["global_step"] == 6
    for name in ("train/loss", "val/mse"):
        steps = [{(epoch, step) for epoch, step, _ in logged(root, name)} for root in (tmp_path / "calm", tmp_path)]
        assert steps[0] == steps[1]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "model/scheduler=onecycle",
            "model/scheduler=step and cannot be resumed with onecycle; give the same, or init=",
        ),
        ("model/scheduler=constant", "model/scheduler=step and cannot be resumed with constant"),
        ("model.optimizer=adamw", "model.optimizer=adam and cannot be resumed with adamw"),
        ("model.decoder_lr=0.5", "model.decoder_lr=1 and cannot be resumed with other than 1"),
    ],
)
def test_another_optimiser_or_schedule_is_refused(calm, train_config, tmp_path, override, message):
    last = f"resume={calm[0]}/run/checkpoints/last.ckpt"
    with pytest.raises(InputError, match=message) as caught:
        train(train_config(tmp_path, *QUICK, last, override))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("hook", ["on_validation_end", "on_validation_epoch_end"])
def test_early_stopping_does_not_count_a_validation_twice(train_config, tmp_path, stop, resume, monkeypatch, hook):
    monkeypatch.setattr(InpaintingModule, "validation_step", validate_as(0.5, 0.75, 0.625))
    assert stop(hook, 3, interrupt) == 130  # the first is the check before training

    metrics = resume()

    assert state(tmp_path)["ForgivingEarlyStopping"] == {"count": 2, "lowest": 0.5}
    assert scores(metrics) == {"epoch": 0, "val/mse": 0.5}


def test_an_interrupt_in_the_middle_of_saving_the_best(train_config, tmp_path, resume, monkeypatch):
    monkeypatch.setattr(InpaintingModule, "validation_step", validate_as(0.5, 0.25, 0.75))
    save, saved = torch.save, []

    def interrupted(content, path):
        saved.append(path.name.split(".")[-2])
        if len(saved) == 3:
            raise KeyboardInterrupt
        save(content, path)

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", interrupted)
        with pytest.raises(SystemExit):
            train(train_config(tmp_path, *QUICK))
    assert saved == ["best", "last", "best", "last"]
    assert checkpoint(tmp_path, "best")["global_step"] == 4

    metrics = resume()

    assert checkpoint(tmp_path, "best")["global_step"] == 8
    assert scores(metrics) == {"epoch": 1, "val/mse": 0.25}
    assert state(tmp_path)["ForgivingEarlyStopping"] == {"count": 1, "lowest": 0.25}


def test_stopped_again_and_again_in_the_same_epoch(calm, tmp_path, stop, resume):
    last = f"resume={tmp_path}/run/checkpoints/last.ckpt"
    stop("on_train_batch_start", 6, terminate)
    stop("on_train_batch_start", 2, terminate, last)
    stop("on_train_start", 1, interrupt, last)  # before anything is new
    stop("on_validation_batch_start", 1, interrupt, last)
    stop("on_validation_batch_start", 1, terminate, last)
    stop("on_train_batch_start", 2, terminate, last)

    metrics = resume()

    assert_like(calm, tmp_path, metrics)


def test_an_interrupt_in_a_batch_repeats_that_batch_and_no_other(train_config, tmp_path, resume, monkeypatch):
    finished, losses = [], []

    def record(self, outputs, batch, index):
        finished.append((self.current_epoch, sorted(batch.indices.tolist())))

    def interrupted(*arguments):
        losses.append(masked_mse(*arguments))
        if len(losses) == 10:  # 2 to check the loop, 4 of training, 2 of validation: the second of the second epoch
            raise KeyboardInterrupt
        return losses[-1]

    monkeypatch.setattr(InpaintingModule, "on_train_batch_end", record)
    train(train_config(tmp_path / "whole", *QUICK))
    expected = finished.copy()
    finished.clear()
    with monkeypatch.context() as patch:
        patch.setattr("imcomp.losses.pixels.masked_mse", interrupted)
        with pytest.raises(SystemExit) as caught:
            train(train_config(tmp_path, *QUICK))
    assert caught.value.code == 130
    assert finished == expected[:5]
    assert checkpoint(tmp_path)["global_step"] == 5

    resume()

    assert finished == expected
    assert len(expected) == 12
    assert checkpoint(tmp_path)["global_step"] == 12
    assert [step for _, step, _ in logged(tmp_path, "train/loss")] == [*range(12)]
    assert [step for _, step, _ in logged(tmp_path, "val/mse")] == [3, 7, 11]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_an_interrupt_before_the_first_step_leaves_nothing_to_resume(tmp_path, stop, caplog):
    assert stop("on_train_batch_start", 1, interrupt) == 130

    assert not (tmp_path / "run" / "checkpoints").exists()
    assert "nothing was trained yet" in caplog.text


def test_the_way_on_is_told(tmp_path, stop, caplog):
    stop("on_train_batch_start", 6, terminate)

    assert f"stopped in epoch 1; go on with: python train.py resume={tmp_path / 'run'}" in caplog.text


def test_an_interrupt_in_the_test_keeps_the_last_state(tmp_path, stop, resume, monkeypatch):
    assert stop("on_test_batch_start", 1, interrupt, "data.test_fraction=0.1") == 130
    before = (tmp_path / "run" / "checkpoints" / "last.ckpt").read_bytes()
    last = f"resume={tmp_path}/run/checkpoints/last.ckpt"
    assert (
        stop("on_test_batch_start", 1, interrupt, "data.test_fraction=0.1", last) == 130
    )  # weights are the best's now

    assert (tmp_path / "run" / "checkpoints" / "last.ckpt").read_bytes() == before
    assert "test/mse" in resume("data.test_fraction=0.1")


def test_an_exception_leaves_a_checkpoint_to_go_on_from(calm, train_config, tmp_path, resume, monkeypatch):
    def fail():
        raise RuntimeError("out of memory")

    with monkeypatch.context() as patch:
        patch.setattr(InpaintingModule, "on_train_batch_start", at_call(6, fail))
        with pytest.raises(RuntimeError, match="out of memory"):
            train(train_config(tmp_path, *QUICK))

    assert checkpoint(tmp_path)["global_step"] == 5
    assert checkpoint(tmp_path, "best")["global_step"] == 4
    best = next(value for key, value in checkpoint(tmp_path)["callbacks"].items() if key.startswith("BestCheckpoint"))
    ((_, _, only),) = logged(tmp_path, "val/mse")
    assert best["metrics"]["val/mse"] == best["best_model_score"].item() == pytest.approx(only, rel=1e-6)

    # the batch had not begun to compute
    assert_like(calm, tmp_path, resume())


class Program:
    """``python train.py``, stopped from outside; a run of 3 epochs of 13 batches."""

    ROOT = Path(__file__).parents[1]
    SETTINGS = (
        "debug=fast",
        "trainer=cpu",
        "model=autoencoder",
        "callbacks=default",
        "model.dropout=0.1",
        "trainer.max_epochs=3",
        "trainer.limit_train_batches=13",
        "+logger.csv.flush_logs_every_n_steps=1",
    )

    def __init__(self, root):
        self.root = root

    def start(self, *arguments):
        command = [sys.executable, "train.py", f"paths.outputs={self.root}", *arguments]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        # no pipe: the workers inherit it, and would keep it open after a kill
        with (self.root / "terminal.txt").open("a") as terminal:
            options = {"cwd": self.ROOT, "env": environment, "stdout": terminal, "stderr": terminal}
            return subprocess.Popen(command, start_new_session=True, **options)

    def finish(self, *arguments):
        assert self.start(*arguments).wait(timeout=300) == 0, (self.root / "terminal.txt").read_text()

    def stop(self, number, *arguments, batch):
        """Start, wait until so many batches are logged, send a signal; returns the exit code and the run's folder.

        All its processes get the signal, as from a terminal or a scheduler.
        """
        process = self.start(*arguments)
        try:
            end = time.monotonic() + 300
            while time.monotonic() < end and process.poll() is None and self.batches() < batch:
                time.sleep(0.01)
            os.killpg(process.pid, number)
            code = process.wait(timeout=60)
        finally:
            process.kill()
        assert batch <= self.batches() < 26, "the signal was to come within the second epoch"
        return code, (self.root / "latest").resolve()

    def batches(self):
        files = [*self.root.glob("train/*/csv/version_*/metrics.csv")]
        return sum(bool(row.get("train/loss")) for file in files for row in csv.DictReader(file.open()))

    def last(self):
        return torch.load(self.root / "latest" / "checkpoints" / "last.ckpt", weights_only=True)


@pytest.mark.slow
@pytest.mark.parametrize(("number", "expected"), [(signal.SIGKILL, -9), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("workers", [0, 2])
def test_a_program_stopped_from_outside_goes_on_as_if_nothing_had_happened(tmp_path, number, expected, workers):
    calm, stopped = Program(tmp_path / "calm"), Program(tmp_path / "stopped")
    settings = (*Program.SETTINGS, f"data.num_workers={workers}")
    calm.root.mkdir()
    stopped.root.mkdir()
    calm.finish(*settings)

    code, folder = stopped.stop(number, *settings, batch=17)
    step = stopped.last()["global_step"]
    stopped.finish(f"resume={'last' if workers else folder}")

    assert code == expected
    assert step == 13 if number == signal.SIGKILL else 17 <= step < 26
    assert (stopped.root / "latest").resolve() == folder
    assert calm.last()["global_step"] == stopped.last()["global_step"] == 39
    for key in ("state_dict", "optimizer_states", "lr_schedulers"):
        assert differences(calm.last()[key], stopped.last()[key]) == []
    of = [json.loads((program.root / "latest" / "metrics.json").read_text()) for program in (calm, stopped)]
    assert scores(of[0]) == scores(of[1])


@pytest.mark.slow
def test_an_interrupt_from_outside_is_told_in_one_line(tmp_path):
    program = Program(tmp_path)

    code, folder = program.stop(signal.SIGINT, *Program.SETTINGS, batch=17)

    text = (tmp_path / "terminal.txt").read_text()
    assert code == 130
    assert "Traceback" not in text
    assert f"go on with: python train.py resume={folder}" in text
