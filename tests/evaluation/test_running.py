"""Evaluation: the numbers of training's own validation, the same pictures for all entrants, and its files."""

import csv
import json
import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from hydra import compose, initialize_config_dir
from PIL import Image
from torchvision import models

import imcomp.evaluation.running
from imcomp.cli import config_dir
from imcomp.data.datamodule import InpaintingDataModule
from imcomp.errors import InputError
from imcomp.evaluation.running import evaluate, find_checkpoints
from imcomp.inference import load_trained
from imcomp.model_card import read_evaluations
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


def train(folder, name="best.ckpt", module=None, **data):
    """A checkpoint after two steps, and the metrics that training logged for it."""
    torch.manual_seed(0)
    module = module or InpaintingModule(channels=[4, 8])
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=1,
        limit_train_batches=2,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, InpaintingDataModule(**{**DATA, **data}))
    trainer.save_checkpoint(folder / name)
    return folder / name, {key: float(value) for key, value in trainer.callback_metrics.items()}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return train(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def colour(tmp_path_factory):
    module = InpaintingModule(in_channels=3, channels=[4, 8])
    return train(tmp_path_factory.mktemp("colour"), "colour.ckpt", module, channels=3)[0]


@pytest.fixture
def config(trained, tmp_path):
    """Compose ``conf/evaluate.yaml`` for the checkpoint and its data, with further overrides on top."""

    def composed(*overrides):
        with initialize_config_dir(str(config_dir())):
            return compose(
                "evaluate",
                [
                    *(f"ckpt={trained[0]}", f"paths.output_dir={tmp_path}", f"paths.outputs={tmp_path}", "device=cpu"),
                    *("data=synthetic", "data.count=20", "data.batch_size=4", "data.num_workers=0"),
                    *("data.frames_per_track=30", "resamples=50", "samples=0"),
                    *overrides,
                ],
            )

    return composed


def means(metrics, name):
    return {key: score["mean"] for key, score in metrics["entrants"][name]["scores"].items()}


def test_mse_is_the_one_that_training_logged(trained, config):
    metrics = evaluate(config("baselines=[]"))
    for key in ("mse", "accuracy", "psnr"):
        assert means(metrics, "best")[key] == pytest.approx(trained[1][f"val/{key}"], rel=1e-6)
    assert metrics["pictures"]["count"] == 6
    assert list(metrics["entrants"]) == ["best"]


def test_so_it_is_for_a_network_that_sees_a_window(config, tmp_path):
    path, logged = train(tmp_path, "narrow.ckpt", InpaintingModule(channels=[4, 8], context=4))
    metrics = evaluate(config(f"ckpt={path}", "baselines=[]"))
    assert means(metrics, "narrow")["mse"] == pytest.approx(logged["val/mse"], rel=1e-6)


def test_a_self_ensemble_is_scored_and_told(config):
    plain = evaluate(config("baselines=[]"))
    both = evaluate(config("baselines=[]", "self_ensemble=true"))
    assert means(both, "best")["mse"] < means(plain, "best")["mse"]  # as of every mean of two that err alike
    assert [one["entrants"]["best"]["self_ensemble"] for one in (plain, both)] == [False, True]
    assert any("self-ensemble" in note for note in both["entrants"]["best"]["notes"])


def test_pictures_may_be_brought_to_few_pixels_first(config, tmp_path):
    sharp, smooth = (evaluate(config("baselines=[rim_mean]", f"data.resolution={side}")) for side in ("null", 2))
    assert means(smooth, "rim_mean")["mse"] < means(sharp, "rim_mean")["mse"]
    assert [one["pictures"]["resolution"] for one in (sharp, smooth)] == [None, 2]
    assert ", brought to 2x2 first" in (tmp_path / "report.md").read_text()


def test_all_fill_the_same_pictures(config):
    pytest.importorskip("cv2")
    metrics = evaluate(config("limit=3", "mask=center", "mask.size=4", "baselines=[rim_mean,telea,navier_stokes]"))
    assert list(metrics["entrants"]) == ["best", "rim_mean", "telea", "navier_stokes"]
    assert {one["count"] for one in metrics["entrants"].values()} == {3}
    assert [one["kind"] for one in metrics["entrants"].values()] == ["network", *["classical"] * 3]
    assert metrics["pictures"]["mask"]["size"] == 4


def test_checkpoints_are_compared(trained, config, tmp_path):
    other = tmp_path / "other.ckpt"
    content = torch.load(trained[0], weights_only=True)
    for value in content["state_dict"].values():
        value.mul_(0)
    torch.save(content, other)
    metrics = evaluate(config(f"ckpt=[{trained[0]},{other}]", "baselines=[]"))
    assert list(metrics["entrants"]) == ["best", "other"]
    assert means(metrics, "best")["mse"] != means(metrics, "other")["mse"]
    named = evaluate(config(f"ckpt={{mine: {trained[0]}, black: {other}}}", "baselines=[]"))
    assert means(named, "mine") == means(metrics, "best")
    assert means(named, "black") == means(metrics, "other")


def test_grey_and_colour_networks_on_the_same_pictures(trained, colour, config, tmp_path):
    checkpoints = f"ckpt=[{trained[0]},{colour}]"
    with pytest.raises(InputError, match=r"different data\.channels \(best: 1, colour: 3\); give data\.channels"):
        evaluate(config(checkpoints, "baselines=[]"))
    metrics = evaluate(config(checkpoints, "data.channels=3", "baselines=[rim_mean]"))
    assert metrics["entrants"]["best"]["notes"] == ["a grey network: fills colour channels one by one"]
    assert metrics["entrants"]["colour"]["notes"] == []
    assert {one["count"] for one in metrics["entrants"].values()} == {6}
    assert "best: a grey network: fills colour channels one by one" in (tmp_path / "report.md").read_text()
    metrics = evaluate(config(checkpoints, "data.channels=1", "baselines=[]"))
    assert len(metrics["entrants"]["colour"]["notes"]) == 1


def test_classical_fills_alone(config):
    metrics = evaluate(
        config(
            "ckpt=[]", "mask=center", "mask.size=8", "data.size=32", "data.seed=5", "baselines=[rim_mean]", "limit=2"
        )
    )
    assert list(metrics["entrants"]) == ["rim_mean"]


def test_other_holes_than_trained_on(config):
    metrics = evaluate(config("mask=brush_medium", "baselines=[rim_mean]"))
    areas = metrics["entrants"]["rim_mean"]["areas"]
    assert sum(one["count"] for one in areas) == 6
    assert {(one["above"], one["to"]) for one in areas} <= {(0.05, 0.1), (0.1, 0.2), (0.2, 0.3), (0.3, 0.4)}
    total = sum(one["count"] * one["scores"]["mse"]["mean"] for one in areas)
    assert total / 6 == pytest.approx(means(metrics, "rim_mean")["mse"])


def test_the_file_says_what_was_evaluated_and_is_the_same_each_time(trained, config, tmp_path, capsys):
    metrics = evaluate(config("limit=4", "baselines=[rim_mean]"))
    written = (tmp_path / "metrics.json").read_text()
    assert json.loads(written) == metrics
    told = {"part": "val", "source": "synthetic", "split": "random", "seed": 5, "size": 32, "channels": 1, "limit": 4}
    assert metrics["pictures"].items() >= {**told, "count": 4, "mask": DATA["mask"]}.items()
    assert metrics["entrants"]["best"]["ckpt"] == str(trained[0])
    assert set(means(metrics, "rim_mean")) == {"mse", "mae", "psnr", "ssim", "accuracy"}
    assert metrics["intervals"]["resamples"] == 50
    printed = capsys.readouterr().out
    assert "rim_mean" in printed
    assert str(tmp_path / "report.html") in printed
    evaluate(config("limit=4", "baselines=[rim_mean]"))
    assert (tmp_path / "metrics.json").read_text() == written


def test_a_model_card_takes_the_file(trained, config, tmp_path):
    evaluate(config("baselines=[rim_mean]"))
    (read,) = read_evaluations([tmp_path / "metrics.json"], trained[0])
    assert list(read["entrants"]) == ["**these weights**", "rim_mean"]
    assert read["pictures"]["count"] == 6


def test_the_report(config, tmp_path):
    pytest.importorskip("matplotlib")
    evaluate(config("samples=2", "mask=box", "mask.size=[2,12]", "baselines=[rim_mean]"))
    files = {
        "metrics.json",
        "pictures.csv",
        "report.md",
        "report.html",
        "curves.svg",
        "samples.png",
        "pictures_0.png",
        "pictures_1.png",
    }
    assert files <= {file.name for file in tmp_path.iterdir()}
    report = (tmp_path / "report.md").read_text()
    for words in (
        *("# 6 pictures of synthetic, val", "## Scores", "## MSE by the hole's share of the picture", "## Curves"),
        *("| rim\\_mean |", "holes: box (", "![rim\\_mean: best, median and worst by MSE"),
    ):
        assert words in report
    page = (tmp_path / "report.html").read_text()
    assert page.count("<img ") == 4
    assert "95% bootstrap intervals" in page
    with Image.open(tmp_path / "samples.png") as sheet:
        assert sheet.size == (92 + 2 * 100, 18 + 4 * 100)  # masked, best, rim_mean, original
    with Image.open(tmp_path / "pictures_1.png") as sheet:
        assert sheet.size == (92 + 6 * 100, 18 + 4 * 100)  # two each of best, median and worst


def test_the_scores_of_each_picture_average_to_those_told(config, tmp_path):
    metrics = evaluate(config("mask=box", "mask.size=[2,12]", "baselines=[rim_mean]"))
    with (tmp_path / "pictures.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for name in ("best", "rim_mean"):
        own = [row for row in rows if row["entrant"] == name]
        assert len({row["picture"] for row in own}) == 6
        for metric, mean in means(metrics, name).items():
            assert sum(float(row[metric]) for row in own) / 6 == pytest.approx(mean, rel=1e-5)


def test_no_pictures_where_none_are_wanted(config, tmp_path):
    evaluate(config("baselines=[]"))
    assert not list(tmp_path.glob("*.png"))


def test_what_cannot_run_is_told(config, monkeypatch, capsys, tmp_path):
    for package in ("cv2", "skimage.restoration", "matplotlib"):
        monkeypatch.setitem(sys.modules, package, None)
    metrics = evaluate(config("limit=1"))
    assert list(metrics["entrants"]) == ["best", "rim_mean"]
    assert list(metrics["skipped"]) == ["telea", "navier_stokes", "biharmonic", "lpips", "fid", "curves"]
    assert "left out: telea: OpenCV" in capsys.readouterr().out
    report = (tmp_path / "report.md").read_text()
    assert "left out: lpips: no backbone; give lpips.weights=FILE" in report
    assert "left out: curves: Matplotlib cannot be imported" in report
    assert "## Curves" not in report


@pytest.mark.slow
def test_lpips_and_fid_with_backbones_from_files(config, tmp_path, capsys):
    torch.save(models.squeezenet1_1().state_dict(), tmp_path / "squeeze.pth")
    torch.save(models.inception_v3(weights=None, init_weights=False).state_dict(), tmp_path / "inception.pth")
    backbones = ("lpips.net=squeeze", f"lpips.weights={tmp_path}/squeeze.pth", f"fid.weights={tmp_path}/inception.pth")
    metrics = evaluate(config("limit=2", "baselines=[rim_mean]", *backbones))
    for one in metrics["entrants"].values():
        assert one["scores"]["lpips"]["mean"] > 0
        assert one["fid"] >= 0
    assert metrics["skipped"] == {}
    assert "LPIPS" in capsys.readouterr().out
    assert "FID" in (tmp_path / "report.md").read_text()


def test_a_network_that_diverged_gives_null(config, monkeypatch, tmp_path):
    def diverged(path):
        loaded = load_trained(path)
        torch.nn.init.constant_(next(loaded.network.parameters()), float("nan"))
        return loaded

    monkeypatch.setattr(imcomp.evaluation.running, "load_trained", diverged)
    evaluate(config("limit=2", "baselines=[]", "samples=1"))
    assert json.loads((tmp_path / "metrics.json").read_text())["entrants"]["best"]["scores"]["mse"]["mean"] is None
    assert "| best | – |" in (tmp_path / "report.md").read_text()


@pytest.mark.parametrize(
    ("overrides", "warned"),
    [([], 0), (["data.seed=6"], 1), (["data.count=19"], 1), (["part=train", "data.seed=6"], 0)],
)
def test_evaluation_warns(config, caplog, overrides, warned):
    with caplog.at_level(logging.WARNING):
        metrics = evaluate(config("limit=1", "baselines=[]", *overrides))
    assert sum("may have been trained on" in message for message in caplog.messages) == warned
    assert len(metrics["warnings"]) == warned


def test_a_name_with_brackets_is_printed(trained, config, capsys, tmp_path):
    named = shutil.copy(trained[0], tmp_path / "net[wide].ckpt")
    evaluate(config(f"ckpt='{named}'", "limit=1", "baselines=[]"))
    assert "net[wide]" in capsys.readouterr().out


def test_checkpoints_as_they_may_be_given(tmp_path):
    assert find_checkpoints("gtsrb-fast", tmp_path) == {"gtsrb-fast": "gtsrb-fast"}
    assert find_checkpoints("last", tmp_path) == {"last": str(tmp_path / "latest" / "checkpoints" / "best.ckpt")}
    assert find_checkpoints(["a.ckpt", "b.ckpt"], tmp_path) == {"a": "a.ckpt", "b": "b.ckpt"}
    assert find_checkpoints({"mine": "a.ckpt"}, tmp_path) == {"mine": "a.ckpt"}
    assert find_checkpoints([], tmp_path) == {}


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["ckpt=null"], "give ckpt=PATH"),
        (["ckpt=nowhere.ckpt"], "no checkpoint nowhere.ckpt"),
        (["ckpt=3"], "ckpt=3 is no path"),
        (["ckpt=[[a]]"], "is no path"),
        (["ckpt={a: 3}"], "names something that is no path"),
        (["ckpt={telea: a.ckpt}"], "ckpt names a checkpoint telea, as a classical fill is called"),
        (["ckpt=[a.ckpt,a.ckpt]"], "is given twice"),
        (["ckpt=[]", "baselines=[]"], "there is nothing to evaluate"),
        (["ckpt=[]", "baselines=[rim_mean]"], "nothing says which holes to fill; give mask=center"),
        (["part=test"], "there are no test pictures"),
        (["part=all"], "part=all is unknown; choose from train, val, test"),
        (["limit=0"], "limit=0 leaves no picture"),
        (["limit=few"], "limit=few is a str; expected int or null"),
        (["samples=-1"], "samples=-1 is no number of samples"),
        (["resamples=-1"], "resamples=-1 is no number of resamples"),
        (["workers=many"], "workers=many is no number of processes"),
        (["baselines=telea"], "baselines=telea is a str; expected list"),
        (["baselines=[median]"], "unknown baseline 'median'; choose from rim_mean"),
        (["mask=center", "mask.size=40"], "does not fit a picture 32 pixels"),
        (["mask=center", "+mask.colour=red"], "unknown key mask.colour"),
        (["data.size=30"], "data.size=30 is not a multiple of 4, which this network needs; give 32"),
        (["device=abacus"], "device 'abacus' is not there"),
        (["lpips=null"], "lpips=None is a NoneType; expected Mapping"),
        (["lpips.weights=3"], "lpips.weights=3 is a int; expected str or null"),
        (["lpips.net=foo"], "lpips.net=foo is a str; expected alex or squeeze or vgg"),
        (["lpips.weights=nowhere.pth"], "lpips.weights=nowhere.pth: no such file"),
        (["fid.weights=nowhere.pth"], "fid.weights=nowhere.pth: no such file"),
    ],
)
def test_mistakes_are_told_in_one_line(config, overrides, words):
    with pytest.raises(InputError) as raised:
        evaluate(config(*overrides))
    assert words in str(raised.value)
    assert "\n" not in str(raised.value)


def test_the_script_runs_from_the_repository(trained, tmp_path):
    root = Path(__file__).parents[2]
    command = [sys.executable, "scripts/evaluate.py", f"ckpt={trained[0]}", f"paths.outputs={tmp_path}", "device=cpu"]
    command += ["data=synthetic", "data.count=20", "data.num_workers=0", "limit=2", "baselines=[rim_mean]", "workers=1"]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    ended = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    (file,) = tmp_path.glob("evaluate/*/metrics.json")
    assert json.loads(file.read_text())["pictures"]["count"] == 2
    assert (file.parent / "report.html").is_file()
