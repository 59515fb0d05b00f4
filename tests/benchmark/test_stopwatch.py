"""The stopwatch: what it counts, what it leaves out, and that it ends a run."""

import time

import pytest
from omegaconf import OmegaConf

from imcomp.benchmark.stopwatch import read_times
from imcomp.training import train


@pytest.fixture
def timed(train_config, tmp_path):
    """Train with a stopwatch and read what it wrote."""

    def run(*overrides, **options):
        cfg = train_config(tmp_path, "test=false", *overrides)
        target = "imcomp.benchmark.stopwatch.Stopwatch"
        stopwatch = {"_target_": target, "path": str(tmp_path / "times.json"), **options}
        OmegaConf.update(cfg, "callbacks.stopwatch", stopwatch, force_add=True)
        before = time.time()
        train(cfg)
        return read_times(tmp_path / "times.json"), before, time.time()

    return run


def test_a_whole_run(timed):
    times, before, after = timed("trainer.limit_train_batches=4")
    # two epochs of 4 batches of 8: the first epoch's third batch starts the clock, the second epoch's first
    assert times.pictures == 8 * (1 + 3)
    assert times.seconds > 0
    assert before < times.first_batch < times.epoch < times.validations[0][0] < times.validations[1][0] < after
    assert [epoch for _, epoch, _ in times.validations] == [0, 1]
    assert all(mse > 0 for _, _, mse in times.validations)
    assert times.work.flops > 0
    assert times.work.kind == "float32"
    assert times.idle is None


def test_the_same_work_whatever_the_precision(timed):
    exact, *_ = timed()
    mixed, *_ = timed("trainer.precision=bf16-mixed")
    assert mixed.work.flops == exact.work.flops
    assert mixed.work.moved < exact.work.moved
    assert mixed.work.kind == "bfloat16"


def test_it_ends_an_endless_run(timed):
    times, *_ = timed("trainer.max_epochs=100000", "trainer.limit_train_batches=5", seconds=0.05, count=False)
    assert times.seconds >= 0.05
    assert times.work is None
    assert times.validations
