"""Evaluation: the numbers of training's own validation, and the same pictures for every method."""

import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from hydra import compose, initialize_config_dir
from PIL import Image
from rich.console import Console

import imcomp.evaluation
from imcomp.cli import config_dir
from imcomp.data.datamodule import InpaintingDataModule
from imcomp.data.loading import whole_batch
from imcomp.errors import InputError
from imcomp.evaluation import evaluate, fill_batch, inherit, leak_warning, score_part, score_table
from imcomp.inference import load_trained
from imcomp.module import InpaintingModule

DATA = {
    "source": "synthetic",
    "mask": {"name": "center", "size": 8},
    "size": 32,
    "val_fraction": 0.3,
    "seed": 5,
    "batch_size": 4,
    "num_workers": 0,
    "count": 20,
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A checkpoint after two steps, and the `val/mse` that training logged for it."""
    torch.manual_seed(0)
    module, datamodule = InpaintingModule(channels=[4, 8]), InpaintingDataModule(**DATA)
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=1,
        limit_train_batches=2,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, datamodule)
    path = tmp_path_factory.mktemp("run") / "best.ckpt"
    trainer.save_checkpoint(path)
    return path, {key: float(value) for key, value in trainer.callback_metrics.items()}


@pytest.fixture
def config(trained, tmp_path):
    """Compose ``conf/evaluate.yaml`` for the checkpoint and its data, with further overrides on top."""

    def composed(*overrides):
        with initialize_config_dir(str(config_dir())):
            return compose(
                "evaluate",
                [
                    *(f"ckpt={trained[0]}", f"paths.output_dir={tmp_path}", "device=cpu"),
                    *("data=synthetic", "data.count=20", "data.batch_size=4", "data.num_workers=0"),
                    *("data.frames_per_track=30",),
                    *overrides,
                ],
            )

    return composed


def test_mse_is_the_one_that_training_logged(trained, config):
    metrics = evaluate(config("baselines=[]"))
    for key in ("mse", "accuracy", "psnr"):
        assert metrics[key] == pytest.approx(trained[1][f"val/{key}"], rel=1e-6)
    assert metrics["count"] == 6
    assert metrics["baselines"] == {}


@pytest.mark.parametrize("part", ["train", "val", "test"])
def test_every_part_scores_as_the_trainer_does(part):
    datamodule = InpaintingDataModule(**{**DATA, "test_fraction": 0.2})
    datamodule.setup()
    datamodule.train_dataloader = lambda: torch.utils.data.DataLoader(
        datamodule.dataset("train"), batch_size=4, collate_fn=whole_batch
    )
    module = InpaintingModule(channels=[4, 8])
    trainer = pl.Trainer(
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    loaded = getattr(datamodule, f"{part}_dataloader")
    datamodule.test_dataloader = loaded
    (logged,) = trainer.test(module, datamodule=datamodule, verbose=False)
    scores = score_part(module, InpaintingDataModule(**{**DATA, "test_fraction": 0.2}), part, device="cpu").network
    assert scores.mse == pytest.approx(logged["test/mse"], rel=1e-6)
    assert scores.count == {"train": 10, "val": 6, "test": 4}[part]


def test_batches_do_not_change_the_scores():
    module = InpaintingModule(channels=[4, 8])
    by_four, at_once = (
        score_part(module, InpaintingDataModule(**{**DATA, "batch_size": size}), device="cpu").network
        for size in (4, 20)
    )
    assert by_four.mse == pytest.approx(at_once.mse, rel=1e-5)
    assert by_four.count == at_once.count == 6


def test_baselines_fill_the_same_pictures(config):
    pytest.importorskip("cv2")
    metrics = evaluate(config("limit=3", "mask=center", "mask.size=4"))
    assert list(metrics["baselines"]) == ["rim_mean", "telea", "navier_stokes"]
    assert {scores["count"] for scores in metrics["baselines"].values()} == {3}
    assert metrics["count"] == 3
    assert metrics["mask"]["size"] == 4


def test_a_fill_that_is_wrong_by_one_in_one_of_four_pixels_scores_a_quarter(tmp_path):
    Image.new("L", (16, 16), 0).save(tmp_path / "black.png")
    Image.new("L", (16, 16), 0).save(tmp_path / "too.png")
    data = InpaintingDataModule(
        "folder", {"name": "center", "size": 2}, size=16, val_fraction=0.5, num_workers=0, root=str(tmp_path)
    )

    def one_wrong(picture, hole):
        assert hole.sum() == 4
        completed = picture.copy()
        completed[tuple(np.argwhere(hole)[0])] = 255
        return completed

    fills = {"one wrong": one_wrong, "right": lambda picture, hole: picture}
    scores = score_part(InpaintingModule(channels=[4]), data, baselines=fills, device="cpu").baselines
    assert (scores["one wrong"].mse, scores["one wrong"].accuracy) == (0.25, 0)
    assert scores["one wrong"].psnr == pytest.approx(6.0206, abs=1e-4)  # 10 log10(4)
    assert (scores["right"].mse, scores["right"].accuracy, scores["right"].psnr) == (0, 1, 100)
    assert scores["right"].count == 1


def test_the_network_is_scored_unclamped(tmp_path):
    Image.new("L", (16, 16), 0).save(tmp_path / "black.png")
    Image.new("L", (16, 16), 0).save(tmp_path / "too.png")
    data = InpaintingDataModule(
        "folder", {"name": "center", "size": 2}, size=16, val_fraction=0.5, num_workers=0, root=str(tmp_path)
    )
    module = InpaintingModule(channels=[4])
    module.forward = lambda image, mask: image - 2
    assert score_part(module, data, device="cpu").network.mse == 4


@pytest.mark.parametrize("channels", [1, 3])
def test_filling_a_batch_keeps_the_layout(channels):
    pictures = torch.arange(2 * channels * 16).reshape(2, channels, 4, 4).to(torch.uint8)
    mask = torch.zeros(2, 1, 4, 4)
    mask[0, 0, 0, 1] = mask[1, 0, 2, 3] = 1

    def darken(picture, hole):
        completed = picture.copy()
        completed[hole] = 0
        return completed

    assert torch.equal(fill_batch(darken, pictures, mask), pictures * (1 - mask).to(torch.uint8))


def test_colour_goes_through():
    data = InpaintingDataModule(**{**DATA, "channels": 3})
    module = InpaintingModule(in_channels=3, channels=[4, 8])
    evaluation = score_part(module, data, baselines={"same": lambda picture, hole: picture}, device="cpu")
    assert evaluation.baselines["same"].mse == 0
    assert evaluation.network.count == 6


def test_the_file_says_what_was_evaluated(trained, config, tmp_path, capsys):
    metrics = evaluate(config("limit=1", "baselines=[rim_mean]"))
    assert json.loads((tmp_path / "metrics.json").read_text()) == metrics
    told = {
        "part": "val",
        "source": "synthetic",
        "split": "random",
        "seed": 5,
        "size": 32,
        "channels": 1,
        "limit": 1,
    }
    assert metrics.items() >= {**told, "ckpt": str(trained[0]), "mask": DATA["mask"]}.items()
    assert metrics["baselines"]["rim_mean"].keys() == {"mse", "accuracy", "psnr", "count"}
    printed = capsys.readouterr().out
    assert "rim_mean" in printed
    assert str(tmp_path) in printed


def test_missing_opencv_is_told(config, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "cv2", None)
    metrics = evaluate(config("limit=1"))
    assert list(metrics["baselines"]) == ["rim_mean"]
    assert list(metrics["skipped_baselines"]) == ["telea", "navier_stokes"]
    assert "left out: telea: OpenCV" in capsys.readouterr().out


def test_a_network_that_diverged_gives_null(config, monkeypatch, tmp_path):
    def diverged(path):
        loaded = load_trained(path)
        torch.nn.init.constant_(next(loaded.network.parameters()), float("nan"))
        return loaded

    monkeypatch.setattr(imcomp.evaluation, "load_trained", diverged)
    evaluate(config("limit=1", "baselines=[]"))
    assert json.loads((tmp_path / "metrics.json").read_text())["mse"] is None


def test_the_table_has_a_line_a_method():
    data, fills = InpaintingDataModule(**DATA), {"same": lambda picture, hole: picture}
    evaluation = score_part(InpaintingModule(channels=[4, 8]), data, baselines=fills, device="cpu", limit=2)
    console = Console(width=80)
    with console.capture() as capture:
        console.print(score_table(evaluation))
    lines = capture.get().splitlines()
    assert [name in lines[1] for name in ("method", "mse", "accuracy", "psnr", "count", "pictures/s")] == [True] * 6
    assert "network" in lines[3]
    assert "same" in lines[4]
    assert "100.00" in lines[4]


def test_inheriting():
    trained = {"size": 64, "seed": 1, "batch_size": 9}
    assert inherit({"size": None, "seed": 0, "fit": None, "batch_size": 2}, trained) == {
        "size": 64,  # the checkpoint's
        "seed": 0,  # given, though 0
        "batch_size": 2,  # not the network's business
    }  # and `fit`, which neither says, is left to the class


def test_warning_of_pictures_trained_on():
    trained = {"source": "gtsrb", "root": "a", "split": "random", "seed": 0, "val_fraction": 0.3}
    assert leak_warning(trained, {**trained, "root": "b"}) is None  # a copy
    assert leak_warning(trained, {**trained, "source": "folder", "split": "track"}) is None
    assert leak_warning(trained, {**trained, "part": "test", "split": "track"}) is None
    warning = leak_warning(trained, {**trained, "split": "track", "seed": 1})
    assert warning is not None
    assert "trained on gtsrb with split=random, seed=0" in warning
    assert "evaluated with split=track, seed=1" in warning
    folder = {**trained, "source": "folder"}
    assert leak_warning(folder, {**folder, "root": "b", "seed": 1}) is None
    assert leak_warning(folder, {**folder, "root": "./a", "seed": 1}) is not None


@pytest.mark.parametrize(
    ("overrides", "warned"),
    [([], 0), (["data.seed=6"], 1), (["data.count=19"], 1), (["part=train", "data.seed=6"], 0)],
)
def test_evaluation_warns(config, caplog, overrides, warned):
    with caplog.at_level(logging.WARNING):
        evaluate(config("limit=1", "baselines=[]", *overrides))
    assert sum("may have been trained on" in message for message in caplog.messages) == warned


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["ckpt=null"], "give ckpt=PATH"),
        (["ckpt=nowhere.ckpt"], "no checkpoint nowhere.ckpt"),
        (["part=test"], "there are no test pictures"),
        (["part=all"], "part=all is unknown; choose from train, val, test"),
        (["limit=0"], "limit=0 leaves no picture"),
        (["limit=few"], "limit=few is a str; expected int or null"),
        (["baselines=telea"], "baselines=telea is a str; expected list"),
        (["baselines=[median]"], "unknown baseline 'median'; choose from rim_mean"),
        (["mask=center", "mask.size=40"], "does not fit a picture 32 pixels"),
        (["data.channels=3"], "the network takes pictures of 1"),
        (["data.size=30"], "data.size=30 is not a multiple of 4, which this network needs; give 32"),
        (["device=abacus"], "device 'abacus' is not there"),
    ],
)
def test_mistakes_are_told_in_one_line(config, overrides, words):
    with pytest.raises(InputError, match=words) as raised:
        evaluate(config(*overrides))
    assert "\n" not in str(raised.value)


def test_the_script_runs_from_the_repository(trained, tmp_path):
    root = Path(__file__).parents[1]
    command = [
        *(
            sys.executable,
            "scripts/evaluate.py",
            f"ckpt={trained[0]}",
            f"paths.outputs={tmp_path}",
            "device=cpu",
        ),
        *("data=synthetic", "data.count=20", "data.num_workers=0", "limit=1", "baselines=[]"),
    ]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    ended = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    (file,) = tmp_path.glob("evaluate/*/metrics.json")
    assert json.loads(file.read_text())["count"] == 1


def test_how_to_split_is_the_checkpoints_on_its_own_source_alone():
    trained = {"source": "synthetic", "size": 32, "val_fraction": 0.1, "seed": 5}
    options = {"source": "synthetic", "size": None, "val_fraction": None, "seed": None}
    assert inherit(options, trained) == trained
    assert inherit({**options, "source": "gtsrb"}, trained) == {"source": "gtsrb", "size": 32}


def test_samples_show_the_first_pictures(config, tmp_path):
    evaluate(config("baselines=[]", "samples=3"))
    with Image.open(tmp_path / "samples.png") as sheet:
        # three columns and four rows of 32 pixels, 2 pixels between and around them
        assert sheet.size == (3 * 34 + 2, 4 * 34 + 2)


def test_no_samples_where_none_are_wanted(config, tmp_path):
    evaluate(config("baselines=[]", "samples=0"))
    assert not (tmp_path / "samples.png").exists()
