"""A log without its pictures: what stays, and what is refused."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

pytest.importorskip("tensorboard")
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.utils.tensorboard import SummaryWriter

SCRIPT = Path(__file__).parents[2] / "scripts" / "copy_scalars.py"


def copy(*arguments):
    return subprocess.run([sys.executable, SCRIPT, *arguments], capture_output=True, text=True, check=False)


def test_scalars_stay_and_pictures_go(tmp_path):
    for start in (0, 3):  # a run, and where it was gone on with
        with SummaryWriter(tmp_path / "log") as writer:
            writer.add_image("samples", torch.rand(1, 64, 64), start)
            for step in range(start, start + 3):
                writer.add_scalar("val/mse", 1 / (1 + step), step, walltime=1000.0 + step)
    ended = copy(tmp_path / "log", tmp_path / "out")
    assert ended.returncode == 0, ended.stderr
    (file,) = (tmp_path / "out").iterdir()
    assert file.stat().st_size < 1000
    log = EventAccumulator(str(file)).Reload()
    assert log.Tags()["images"] == []
    values = [(event.step, event.wall_time, event.value) for event in log.Scalars("val/mse")]
    assert values == [(step, 1000.0 + step, pytest.approx(1 / (1 + step))) for step in range(6)]


def test_a_folder_without_a_log_is_refused(tmp_path):
    ended = copy(tmp_path, tmp_path / "out")
    assert ended.returncode == 1
    assert ended.stderr.startswith("error: no scalars in")
    assert not (tmp_path / "out").exists()
