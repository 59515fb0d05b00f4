import os
import signal

import pytest
import torch

from imcomp.module import InpaintingModule
from imcomp.signals import StopOnSignal
from imcomp.training import train

QUIET = ("logger=csv", "callbacks.progress=null")


@pytest.fixture
def stopped(train_config, tmp_path, monkeypatch):
    """Runs until a signal in the second batch of three; returns the exit code and the step of the saved state."""

    def run(number, *overrides):
        def send(self, batch, index):
            if self.trainer.global_step == 1:
                os.kill(os.getpid(), number)

        monkeypatch.setattr(InpaintingModule, "on_train_batch_start", send)
        with pytest.raises(SystemExit) as caught:
            train(train_config(tmp_path, *QUIET, "trainer.limit_train_batches=3", *overrides))
        file = tmp_path / "run" / "checkpoints" / "last.ckpt"
        return caught.value.code, torch.load(file, weights_only=True)["global_step"]

    return run


@pytest.mark.parametrize(
    ("number", "overrides", "code"),
    [
        (signal.SIGTERM, (), 143),
        (signal.SIGUSR1, (), 138),
        (signal.SIGUSR1, ("callbacks.signals.exit_code=99",), 99),
        (signal.SIGTERM, ("callbacks.signals=null",), 143),  # Lightning's own answer
    ],
)
def test_the_batch_is_finished_and_the_state_saved(stopped, number, overrides, code):
    before = signal.getsignal(number)

    assert stopped(number, *overrides) == (code, 2)
    assert signal.getsignal(number) == before


def test_slurm_is_not_asked_by_lightning(stopped, monkeypatch):
    """Its SIGUSR1 handler would save to a place of its own, without the position in the epoch, and requeue the job."""
    for key, value in {"SLURM_JOB_ID": "7", "SLURM_NTASKS": "1", "SLURM_JOB_NAME": "train"}.items():
        monkeypatch.setenv(key, value)

    assert stopped(signal.SIGUSR1) == (138, 2)


def test_a_handler_of_submitits_stays(stopped, monkeypatch):
    def handler(number, frame):
        raise SystemExit(-1)  # as submitit does when it has requeued the job

    handler.__module__ = "submitit.core.job_environment"
    before = signal.signal(signal.SIGUSR1, handler)
    try:
        assert stopped(signal.SIGUSR1)[0] == -1
    finally:
        signal.signal(signal.SIGUSR1, before)


@pytest.mark.parametrize("code", [0, 256, -1])
def test_a_code_that_says_nothing_is_refused(code):
    with pytest.raises(ValueError, match="says nothing to a scheduler"):
        StopOnSignal(code)
