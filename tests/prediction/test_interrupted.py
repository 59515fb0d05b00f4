"""A real Ctrl-C in the middle of a real run."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from PIL import Image

from imcomp.module import InpaintingModule

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="sends a POSIX signal")
def test_after_ctrl_c_files_are_whole_and_the_next_run_goes_on(tmp_path):
    module = InpaintingModule(channels=[4, 8])
    data = {"size": 32, "mask": {"name": "center", "size": 8}}
    content = {"state_dict": module.state_dict(), "hyper_parameters": dict(module.hparams)}
    torch.save({**content, "datamodule_hyper_parameters": data}, tmp_path / "a.ckpt")
    (tmp_path / "in").mkdir()
    for number in range(60):
        Image.effect_noise((600, 400), 60).save(tmp_path / "in" / f"{number:02d}.png")
    command = [sys.executable, ROOT / "predict.py", "ckpt=a.ckpt", "input=in", "device=cpu", "batch_size=2"]
    options = {"cwd": tmp_path, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}

    process = subprocess.Popen(command, **options)
    deadline = time.monotonic() + 120
    while not [*tmp_path.glob("completed/*.png")] and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=120)

    assert (process.returncode, err) == (130, "interrupted\n")
    done = [*tmp_path.glob("completed/*.png")]
    assert 0 < len(done) < 60
    for file in (*done, *tmp_path.glob("completed/side_by_side/*")):
        with Image.open(file) as image:
            image.load()
    assert not [*tmp_path.glob("completed/.[0-9]*")]

    again = subprocess.run(command, check=True, **options)
    assert f"completed {60 - len(done)} of 60 pictures" in again.stdout
    assert f"skipped {len(done)} that are done" in again.stdout
    assert len([*tmp_path.glob("completed/*.png")]) == 60
