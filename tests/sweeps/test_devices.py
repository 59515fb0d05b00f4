"""Which GPU a worker sees."""

import os

import pytest
from omegaconf import OmegaConf

from imcomp.sweeps.devices import OneDeviceEach


def job(number, n_jobs=2, subdir="workers"):
    return OmegaConf.create(
        {"hydra": {"job": {"num": number}, "sweep": {"subdir": subdir}, "sweeper": {"n_jobs": n_jobs}}}
    )


@pytest.mark.parametrize(
    ("visible", "count", "worker", "expected"),
    [("4,6", 8, 0, "4"), ("4,6", 8, 3, "6"), (None, 3, 4, "1"), ("2", 8, 5, "2"), (None, 0, 1, None)],
)
def test_each_worker_sees_one_in_turn(monkeypatch, visible, count, worker, expected):
    monkeypatch.setattr("torch.cuda.device_count", lambda: count)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    OneDeviceEach().on_job_start(job(worker))
    assert os.environ.get("CUDA_VISIBLE_DEVICES") == expected


@pytest.mark.parametrize("config", [job(1, n_jobs=1), job(1, subdir="1")])
def test_a_trial_and_a_lone_worker_see_what_there_is(monkeypatch, config):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,6")
    OneDeviceEach().on_job_start(config)
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "4,6"
